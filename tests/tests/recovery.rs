//! Failures that the appliance recovers from by itself.

use std::time::{Duration, Instant};

use testbed::figures;
use tests::*;

const OFTEN: Duration = Duration::from_millis(200);
/// The timeout of the hardware watchdog, and some more for an emulated clock that lags.
const BITE: Duration = Duration::from_secs(120);

#[test]
fn a_killed_service_is_back_at_once() -> Result<()> {
    let machine = appliance()?;
    let before = main_pid(&machine)?;
    let start = Instant::now();
    machine.sh("systemctl kill --signal KILL climate")?;
    another_service(&machine, &before, SOON)?;
    took(
        "a service is killed, until another process of it is ready",
        start,
    );
    healthy(&machine)
}

#[test]
fn a_frozen_service_is_noticed_and_replaced() -> Result<()> {
    let machine = appliance()?;
    let before = main_pid(&machine)?;
    let start = Instant::now();
    machine.sh("systemctl kill --signal STOP climate")?;
    another_service(&machine, &before, Duration::from_secs(180))?;
    took(
        "a service freezes, until another process of it is ready",
        start,
    );
    healthy(&machine)
}

#[test]
fn a_kernel_that_hangs_is_reset_by_the_watchdog() -> Result<()> {
    let machine = appliance()?;
    // A kernel that panics and does not reboot by itself: nothing runs any more.
    let crash =
        "sysctl -q kernel.panic=0; (sleep 0.5; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 &";
    hang(&machine, crash)?;
    // It panicked first, and said why.
    let said = "Kernel panic - not syncing: sysrq triggered crash";
    assert_eq!(last_reset(&machine, "panic")?, said);
    Ok(())
}

#[test]
#[ignore = "slow: a boot; ./lichen test --slow"]
fn an_init_that_hangs_is_reset_by_the_watchdog() -> Result<()> {
    let machine = appliance()?;
    // Only PID 1 is frozen; everything else, including sshd, continues as if nothing were wrong.
    hang(&machine, "echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze")?;
    last_reset(&machine, "watchdog").map(drop)
}

#[test]
fn a_service_that_does_not_stay_up_costs_a_reboot_and_the_next_time_the_device_stays_up()
-> Result<()> {
    let machine = appliance()?;
    let before = machine.boot_id()?;
    at_once(&machine)?;
    crash(&machine)?;
    let start = Instant::now();
    machine.wait_for_another_boot(&before, BOOT)?;
    healthy(&machine)?;
    took("a service is given up, a reboot until healthy", start);
    let why = last_reset(&machine, "recovery")?;
    assert_eq!(why, "climate.service does not stay up");
    let told = machine.sh("lichenctl status")?;
    ensure!(told.contains("1 of 4 reboots of a day are used"), "{told}");
    tells(&machine, "lichen_resets_total{reason=\"recovery\"} 1")?;

    // No more reboots are left: it goes on without the service, says so, and keeps trying.
    let before = machine.boot_id()?;
    machine.sh("echo '{\"reboots\":1}' > /etc/lichen/recovery.json")?;
    at_once(&machine)?;
    crash(&machine)?;
    machine.wait_until("the device to say so", SOON, || {
        let told = machine.sh("lichenctl status")?;
        let stays = "the device stays up without climate.service";
        ensure!(told.contains(stays), "{told}");
        Ok(())
    })?;
    machine.sh("systemctl is-active lichen-recovery.timer")?;
    // Not without a break: the next time that it fails is no turn of its.
    machine.sh("systemctl start lichen-recover@climate; systemctl is-failed climate")?;
    machine.sh("systemctl start lichen-recovery")?;
    healthy(&machine)?;
    tells(&machine, "lichen_recovery_waiting 1")?;
    machine.sh("systemctl start lichen-recovery")?;
    tells(&machine, "lichen_recovery_waiting 0")?;
    assert_eq!(machine.boot_id()?, before);
    Ok(())
}

#[test]
fn a_generation_whose_service_cannot_start_is_left_for_the_good_one_before_it() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let greeting = Generation::named("greeting")?;
    let done = greeting.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    Event::Reboot.happen(&machine)?;
    blessed(&machine, 2)?;
    let why = last_reset(&machine, "asked")?;
    ensure!(why.contains("the last login was by root from"), "{why}");

    let before = machine.boot_id()?;
    at_once(&machine)?;
    let start = Instant::now();
    machine.sh("truncate --size 20 /etc/climate/config.json; systemctl restart climate || true")?;
    machine.wait_for_another_boot(&before, BOOT)?;
    blessed(&machine, 1)?;
    took(
        "a configuration is bad, until the earlier generation is blessed",
        start,
    );
    assert_eq!(running(&machine)?, old);
    let why = last_reset(&machine, "recovery")?;
    ensure!(why.ends_with("back to generation 1"), "{why}");
    healthy(&machine)
}

#[test]
fn a_plug_pulled_while_it_writes_costs_no_reading_that_was_told() -> Result<()> {
    let machine = appliance()?;
    let _hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, Duration::from_millis(100))?;
    climate.measures(50)?;
    let now: u64 = machine.sh("date +%s")?.trim().parse()?;
    // What comes after these ten readings keeps being written while the plug is pulled.
    climate.measures(10)?;
    let told = climate.history(now - 600, now)?;
    ensure!(told.len() >= 5, "it has measured, and tells only {told:?}");
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    healthy(&machine)?;
    last_reset(&machine, "power")?;
    assert_eq!(Climate::of(&machine)?.history(now - 600, now)?, told);
    Ok(())
}

#[test]
#[ignore = "slow: a boot that power cuts are judged by, too; ./lichen test --slow"]
fn a_superblock_torn_by_a_power_cut_is_mended() -> Result<()> {
    let machine = appliance()?;
    // The first of its two sectors is written, with another date of the last write in it; the second is not.
    machine.sh(
        "data=$(findmnt -nvo SOURCE /run/data); sync; \
         printf '\\001\\002\\003' | dd of=$data bs=1 seek=$((1024 + 0x30)) conv=notrunc,fsync status=none",
    )?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    let console = std::fs::read_to_string(machine.console().path())?;
    ensure!(
        console.contains("a torn superblock got its checksum"),
        "{console}"
    );
    healthy(&machine)?;
    let data = machine.sh("findmnt -no OPTIONS /run/data")?;
    ensure!(data.starts_with("rw,"), "{data}");
    Ok(())
}

#[test]
fn a_full_data_partition_is_no_end() -> Result<()> {
    let machine = appliance()?;
    let _hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
    let climate = Climate::impatient(&machine, OFTEN)?;
    climate.shows(21.5, 45.0, 1013.2, SOON)?;
    // To the last block, those kept for root included; what the disk has no room for is told by dd's status.
    machine.sh(
        "fallocate -l $(df --output=avail -B1 /var | tail -1) /var/full; \
                dd if=/dev/zero of=/var/fuller bs=4k status=none; test -e /var/fuller",
    )?;
    assert_eq!(machine.sh("df --output=avail /var | tail -1")?.trim(), "0");
    climate.measures(5)?;
    Event::Reboot.happen(&machine)?;
    machine.wait_until("the API of an appliance whose DATA is full", SOON, || {
        Climate::of(&machine)?.health()
    })?;
    machine.sh("rm /var/full /var/fuller")?;
    Event::Reboot.happen(&machine)?;
    healthy(&machine)
}

/// Makes the appliance hang by the command `how`; the watchdog has to reset it, and it has to come back.
fn hang(machine: &Machine, how: &str) -> Result<()> {
    let before = machine.boot_id()?;
    let start = Instant::now();
    machine.sh(how)?;
    machine.qmp(|qmp| qmp.event("WATCHDOG", BITE))?;
    took("a hang, until the watchdog resets the machine", start);
    machine.wait_for_another_boot(&before, BOOT)?;
    healthy(machine)?;
    took("a hang, until healthy", start);
    Ok(())
}

/// Reports how long a level of recovery took.
fn took(what: &str, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    figures(format!("recovery: {what}: {seconds:.1} s"));
}

/// Has recovery act at once, as on a device that has been up for ten minutes; until the next boot.
fn at_once(machine: &Machine) -> Result<()> {
    let folder = "/run/systemd/system/lichen-recover@climate.timer.d";
    let timer = "[Timer]\nOnBootSec=\nOnBootSec=1s\n";
    machine.sh(&format!("mkdir -p {folder}"))?;
    machine.write_file(&format!("{folder}/now.conf"), timer.as_bytes())?;
    machine.sh("systemctl daemon-reload").map(drop)
}

/// Kills the service until systemd does not start it any more.
fn crash(machine: &Machine) -> Result<()> {
    let kill = "systemctl kill --kill-whom main --signal KILL climate 2> /dev/null";
    machine
        .sh(&format!(
            "until systemctl is-failed --quiet climate; do {kill}; sleep 0.2; done"
        ))
        .map(drop)
}

/// Checks the reason of the last reset, and returns what is known besides.
fn last_reset(machine: &Machine, reason: &str) -> Result<String> {
    let status = status(machine)?;
    let resets = status["recovery"]["resets"].as_array();
    let last = resets.and_then(|resets| resets.last());
    let last = last.with_context(|| format!("no reset: {status}"))?;
    ensure!(last["reason"] == reason, "it is {last}");
    Ok(last["why"].as_str().unwrap_or_default().to_owned())
}

/// Checks that the service passes on this metric of the device.
fn tells(machine: &Machine, metric: &str) -> Result<()> {
    let metrics = machine.sh("curl -s http://127.0.0.1:8080/metrics")?;
    let told = metrics.lines().any(|line| line == metric);
    ensure!(told, "{metric} is not in {metrics}");
    Ok(())
}

fn main_pid(machine: &Machine) -> Result<String> {
    machine.sh("systemctl show climate -P MainPID")
}

fn another_service(machine: &Machine, before: &str, within: Duration) -> Result<()> {
    machine.wait_until("another climate process", within, || {
        let now = main_pid(machine)?;
        ensure!(
            now != before && now.trim() != "0",
            "its PID is {}",
            now.trim()
        );
        ensure!(
            machine.try_sh("systemctl is-active climate")?.status == 0,
            "it is not active"
        );
        Ok(())
    })
}

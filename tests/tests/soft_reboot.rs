//! Soft-reboots: userspace starts over, and firmware, kernel and initrd do not.

use std::time::{Duration, Instant};

use testbed::figures;
use tests::*;

/// Userspace that stops and starts, and becomes healthy.
const THERE: Duration = Duration::from_secs(480);
/// The same, a deadline, and a boot into the good one.
const THERE_AND_BACK: Duration = Duration::from_secs(600);
/// The timeout of the hardware watchdog, and some more for an emulated clock that lags.
const BITE: Duration = Duration::from_secs(120);

/// How often userspace has started over on this kernel.
const COUNT: &str = "systemctl show -P SoftRebootsCount";

#[test]
fn another_bus_takes_a_soft_reboot_and_is_blessed() -> Result<()> {
    let machine = appliance()?;
    let boot = machine.boot_id()?;
    let bus = Generation::named("another-bus")?;
    bus.copy_to(&machine)?;
    let dry = bus.activate(&machine, "dry-activate")?;
    ensure!(
        dry.status == 0
            && dry
                .stdout
                .starts_with("soft-reboot, as dbus.service cannot be restarted while it is in use"),
        "{dry:?}"
    );
    machine.sh("test ! -e /run/nextroot")?;

    let start = Instant::now();
    let done = bus.activate(&machine, "switch")?;
    ensure!(
        done.status == 0 && done.stderr.contains("soft-rebooting into generation 2"),
        "{done:?}"
    );
    blessed(&machine, 2)?;
    let soft = start.elapsed();
    bus.runs_on(&machine)?;
    healthy(&machine)?;
    assert_eq!(machine.boot_id()?, boot, "the kernel goes on");
    assert_eq!(machine.sh(COUNT)?.trim(), "1");
    assert_eq!(
        machine.sh("systemctl show -P LimitNOFILE dbus")?.trim(),
        "16000"
    );
    let listed = machine.sh("lichenctl list")?;
    ensure!(
        listed.lines().count() == 2 && listed.contains("running, good"),
        "{listed}"
    );
    looks_booted(&machine)?;
    figures(format!(
        "soft-reboot: {:.1} s from command to blessed",
        soft.as_secs_f64()
    ));
    Ok(())
}

#[test]
#[ignore = "slow: two soft-reboots and two boots; ./lichen test --slow"]
fn what_may_be_done_with_a_booted_device_may_be_done_with_a_soft_rebooted_one() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let bus = Generation::named("another-bus")?;
    let done = bus.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    blessed(&machine, 2)?;

    let retention = Generation::named("retention")?;
    let dry = retention
        .copy_to(&machine)?
        .activate(&machine, "dry-activate")?;
    ensure!(dry.stdout.starts_with("soft-reboot"), "{dry:?}");
    let live = machine.try_sh(&format!("lichenctl test {}", retention.toplevel))?;
    ensure!(live.status == 0, "{live:?}");
    retention.runs_on(&machine)?;
    machine.sh("lichenctl rollback")?;
    bus.runs_on(&machine)?;
    machine.sh("lichenctl rollback 1")?;
    blessed(&machine, 1)?;
    assert_eq!(running(&machine)?, old);
    assert_eq!(machine.sh(COUNT)?.trim(), "2");
    looks_booted(&machine)?;
    for_each_event(&machine, [Event::PowerCut], |machine| {
        ensure!(running(machine)? == old, "it runs {}", running(machine)?);
        Ok(())
    })?;

    // The same way with a boot.
    let start = Instant::now();
    let done = bus.activate(&machine, "boot")?;
    ensure!(done.status == 0, "{done:?}");
    machine.sh("systemctl reboot")?;
    blessed(&machine, 2)?;
    figures(format!(
        "trial boot of the same generation: {:.1} s from command to blessed",
        start.elapsed().as_secs_f64()
    ));
    bus.runs_on(&machine)?;
    healthy(&machine)
}

#[test]
#[ignore = "slow: a soft-reboot, a deadline and a boot; ./lichen test --slow"]
fn a_soft_reboot_that_never_becomes_healthy_ends_with_the_good_generation() -> Result<()> {
    let machine = appliance()?;
    let bad = Generation::named("another-bus-never-healthy")?;
    bad.copy_to(&machine)?;
    let start = Instant::now();
    goes_back(&machine, || {
        let done = bad.activate(&machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        Ok(())
    })?;
    figures(format!(
        "soft-reboot into what is never healthy: {:.1} s until the old generation runs again, 20 s of them its deadline",
        start.elapsed().as_secs_f64()
    ));
    let journal = machine.sh("journalctl -b -1 -t lichenctl -p err -o cat")?;
    ensure!(journal.contains("check never"), "{journal}");
    Ok(())
}

#[test]
fn a_plug_pulled_during_a_soft_reboot_costs_the_new_generation() -> Result<()> {
    let machine = appliance()?;
    let bus = Generation::named("another-bus")?;
    bus.copy_to(&machine)?;
    goes_back(&machine, || {
        // It is delayed, to see how the device behaves meanwhile.
        let done = machine.sh(&format!(
            "{}/bin/switch-to-configuration switch 2>&1; systemctl stop 'run-*.timer'",
            bus.toplevel
        ))?;
        ensure!(done.contains("soft-rebooting into generation 2"), "{done}");
        let status = status(&machine)?;
        assert_eq!(status["soft_reboot"], 2, "{status}");
        assert_eq!(status["next_boot"], 1, "{status}");
        let second = machine.try_sh("lichenctl boot /run/current-system")?;
        ensure!(second.stderr.contains("is on trial"), "{second:?}");

        let by_hand = machine.try_sh("systemctl soft-reboot")?;
        ensure!(by_hand.stderr.contains("by dependency only"), "{by_hand:?}");
        // The connection may go before the command has ended.
        let _ = machine.try_sh(
            "systemctl start --no-block --job-mode=replace-irreversibly lichen-soft-reboot.target",
        );
        machine.wait_until("userspace to be stopping", SOON, || {
            let gone = machine.ssh().attempt(&[], "true")?.status == 255;
            ensure!(gone, "it lets us in");
            Ok(())
        })?;
        machine.pull_plug()?;
        machine.power_on()
    })
}

#[test]
#[ignore = "slow: a soft-reboot and a boot; ./lichen test --slow"]
fn a_service_manager_that_hangs_is_reset_into_the_good_generation() -> Result<()> {
    let machine = appliance()?;
    let bus = Generation::named("another-bus")?;
    bus.copy_to(&machine)?;
    // In place of the new systemd, once its root is there.
    machine.write_file("/run/hangs", b"#!/bin/sh\nexec sleep 1000000\n")?;
    machine.sh("chmod +x /run/hangs; cat > /run/replace <<'EOF'
         until [ -e /run/nextroot/.booted ]; do sleep 0.05; done
         mount --bind /run/hangs /run/nextroot/usr/lib/systemd/systemd
EOF
         systemd-run --quiet sh /run/replace")?;
    goes_back(&machine, || {
        let done = bus.activate(&machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        machine.qmp(|qmp| qmp.event("WATCHDOG", BITE)).map(drop)
    })
}

#[test]
#[ignore = "slow: a soft-reboot more; ./lichen test --slow"]
fn a_deploy_by_soft_reboot_is_confirmed_and_waited_for() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let bus = Generation::named("another-bus")?;
    let start = Instant::now();
    let done = owner.lichen(&["deploy"], &[&bus.toplevel])?;
    ensure!(
        done.status == 0
            && done.stderr.contains("soft-reboot, as dbus.service")
            && done.stdout.contains("generation 2 runs and is good"),
        "{done:?}"
    );
    figures(format!(
        "deploy by soft-reboot: {:.1} s from command to confirmed and blessed",
        start.elapsed().as_secs_f64()
    ));
    bus.runs_on(&machine)?;
    let journal = machine.sh("journalctl -b -t lichenctl -o cat")?;
    ensure!(journal.contains("generation 2 is confirmed"), "{journal}");
    healthy(&machine)
}

/// Waits until this generation is the good one.
fn blessed(machine: &Machine, generation: u64) -> Result<()> {
    machine.wait_until("the generation to be blessed", THERE, || {
        let status = status(machine).inspect_err(|_| machine.ssh().hang_up())?;
        ensure!(
            status["generation"] == generation && status["standing"] == "good",
            "{status}"
        );
        Ok(())
    })
}

/// What is mounted where, and what else a boot leaves, is the same after a soft-reboot.
fn looks_booted(machine: &Machine) -> Result<()> {
    let mounts = machine.sh("findmnt -rno TARGET | grep -v '^/\\(proc\\|sys\\|dev\\)' | sort")?;
    for place in [
        "/",
        "/boot",
        "/etc",
        "/nix",
        "/run",
        "/run/data",
        "/usr",
        "/var",
    ] {
        let count = mounts.lines().filter(|mount| *mount == place).count();
        ensure!(count == 1, "{place} is mounted {count} times: {mounts}");
    }
    let layers = mounts
        .lines()
        .filter(|mount| mount.starts_with("/run/layers/"))
        .count();
    let declared = machine.sh("wc -l < /run/current-system/layers")?;
    ensure!(
        declared.trim() == layers.to_string(),
        "{declared} layers: {mounts}"
    );
    ensure!(!mounts.contains("/run/nextroot"), "{mounts}");
    machine.sh("test \"$(readlink /run/booted-system)\" = \"$(readlink /run/current-system)\"")?;
    let status = status(machine)?;
    ensure!(
        status["soft_reboot"].is_null() && status["failed_trial"].is_null(),
        "{status}"
    );
    Ok(())
}

/// Makes a soft-reboot fail; then the old generation has to run, after a single attempt.
fn goes_back(machine: &Machine, soft_reboot: impl FnOnce() -> Result<()>) -> Result<()> {
    let old = running(machine)?;
    let before = machine.boot_id()?;
    soft_reboot()?;
    machine.wait_until("the old generation to be back", THERE_AND_BACK, || {
        let now = machine.boot_id().inspect_err(|_| machine.ssh().hang_up())?;
        ensure!(now != before, "it is still the same boot");
        ensure!(running(machine)? == old, "it runs {}", running(machine)?);
        Ok(())
    })?;
    healthy(machine)?;
    let boots = machine.sh("journalctl --list-boots -q | wc -l")?;
    assert_eq!(boots.trim(), "2", "one try is all there was");
    let status = status(machine)?;
    assert_eq!(status["failed_trial"], 2, "{status}");
    Ok(())
}

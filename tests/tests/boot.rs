//! Booting, losing power, and booting again.

use tests::*;

#[test]
fn the_first_boot_ends_healthy_with_nothing_failed() -> Result<()> {
    let machine = appliance()?;
    healthy(&machine)?;
    assert_eq!(machine.sh("systemctl --failed --plain --no-legend")?, "");
    assert_eq!(
        machine
            .sh("cat /sys/class/watchdog/watchdog0/state")?
            .trim(),
        "active"
    );
    Ok(())
}

#[test]
fn it_answers_to_its_name_and_its_console_says_where_it_is() -> Result<()> {
    let machine = appliance()?;
    let links = machine.sh("resolvectl mdns")?;
    let answers = |line: &str| line.starts_with("Link") && line.trim_end().ends_with(": yes");
    ensure!(links.lines().any(answers), "{links}");
    machine.sh("ss --udp --listening --numeric | grep -q ':5353 '")?;
    machine.sh("nft list ruleset | grep -q 'udp dport 5353 accept'")?;
    let name = machine.sh("cat /proc/sys/kernel/hostname")?;
    // Addresses that came after the start are seen within a minute, or now.
    machine.sh("systemctl start lichenctl-vitals")?;
    let console = machine.sh("cat /run/issue.d/lichen.issue")?;
    for told in [
        &format!("http://{}.local:8080\n", name.trim()),
        "http://10.0.2.15:8080\n",
        "ssh root@10.0.2.15\n",
        "has proved itself\n",
    ] {
        ensure!(console.contains(told), "no {told} in {console}");
    }
    Ok(())
}

#[test]
fn the_kernel_misses_no_firmware() -> Result<()> {
    let machine = appliance()?;
    let missed = machine.try_sh("journalctl -b -k -o cat --grep 'firmware load .* failed'")?;
    ensure!(missed.status == 1, "{}", missed.stdout);
    Ok(())
}

#[test]
fn data_fills_the_card() -> Result<()> {
    let machine = appliance()?;
    let size: u64 = machine
        .sh("findmnt --bytes --noheadings --output SIZE /var")?
        .trim()
        .parse()?;
    ensure!(
        size > CARD * 8 / 10,
        "DATA has {size} of the card's {CARD} bytes"
    );
    Ok(())
}

#[test]
#[ignore = "slow: a boot that power cuts are judged by, too; ./lichen test --slow"]
fn with_both_state_slots_torn_it_boots_after_all_and_is_who_it_was() -> Result<()> {
    without(&["st0.env", "st1.env"])
}

#[test]
#[ignore = "slow: a boot that power cuts are judged by, too; ./lichen test --slow"]
fn with_a_state_slot_torn_it_boots_from_the_other() -> Result<()> {
    without(&["st0.env"])
}

/// These state slots are torn, and the plug is pulled.
fn without(slots: &[&str]) -> Result<()> {
    let machine = appliance()?;
    let identity = "cat /etc/machine-id /var/lib/ssh/*.pub /etc/hostname";
    let before = machine.sh(identity)?;
    for slot in slots {
        machine.write_file(&format!("/boot/{slot}"), &[0x5a; 512])?;
    }
    machine.sh("sync --file-system /boot")?;
    Event::PowerCut.happen(&machine)?;
    healthy(&machine)?;
    let arguments = machine.sh("cat /proc/cmdline")?;
    ensure!(
        arguments.contains("lichen.generation=1 "),
        "it booted {arguments}"
    );
    let now = machine.sh(identity)?;
    ensure!(now == before, "{before}became\n{now}");
    Ok(())
}

#[test]
#[ignore = "slow: two first boots of its own; ./lichen test --slow"]
fn a_clock_that_is_wrong_by_years_keeps_nothing_from_working() -> Result<()> {
    let card = card()?.write_boot_file("lichen.toml", &lichen_toml()?)?;
    let hardware = Hardware {
        clock: Some("2001-02-03T04:05:06"),
        ..Hardware::default()
    };
    let mut machine = Machine::boot(card, hardware)?;
    machine.wait_for_ssh(BOOT)?;
    let deploy = |machine: &Machine, name: &str| -> Result<Generation> {
        healthy(machine)?;
        let next = Generation::named(name)?;
        let done = next.copy_to(machine)?.activate(machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        next.runs_on(machine)?;
        healthy(machine)?;
        Ok(next)
    };
    let greeting = deploy(&machine, "greeting").context("at a first boot in 2001")?;

    machine.pull_plug()?;
    machine.set_clock("2099-02-03T04:05:06")?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    greeting.runs_on(&machine)?;
    blessed(&machine, 2)?;
    deploy(&machine, "retention").context("in 2099")?;
    Ok(())
}

/// QEMU's Raspberry Pi 4 has no network, so the story can only read its console.
#[test]
#[ignore = "slow: run by ./lichen test --slow"]
fn the_same_image_boots_on_a_raspberry_pi_4() -> Result<()> {
    // What QEMU's board lacks, of what its device tree promises: a watchdog that does not bite the moment it is
    // armed, HDMI with its interrupts, its I²C and its clocks, the GPU, and anyone to look at the screen.
    let extra = "extra=nokaslr mitigations=off console=ttyS1,115200 clk_ignore_unused \
                 initcall_blacklist=brcmstb_l2_driver_init,brcmstb_i2c_driver_init \
                 module_blacklist=bcm2835_wdt,vc4,v3d\n";
    let disk = card()?.write_boot_file("extra.env", extra)?;
    let machine = Machine::boot(disk, Hardware::raspberry_pi_4())?;
    machine.wait_until("the login prompt of a Raspberry Pi 4", BOOT * 3, || {
        let console = machine.console().text();
        ensure!(
            console.contains("RPI 4 Model B"),
            "it is no Raspberry Pi yet"
        );
        ensure!(console.contains("climate login:"), "no prompt yet");
        Ok(())
    })
}

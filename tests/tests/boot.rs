//! Being switched on, and off, and on again.

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
fn with_one_state_slot_torn_or_both_a_generation_is_found() -> Result<()> {
    let machine = appliance()?;
    for torn in [&["st0.env"][..], &["st0.env", "st1.env"]] {
        for slot in torn {
            machine.write_file(&format!("/boot/{slot}"), &[0x5a; 512])?;
        }
        machine.sh("sync --file-system /boot")?;
        machine.reboot(BOOT)?;
        healthy(&machine)?;
        let arguments = machine.sh("cat /proc/cmdline")?;
        ensure!(
            arguments.contains("lichen.generation=1 "),
            "with {torn:?} torn it booted {arguments}"
        );
    }
    Ok(())
}

#[test]
fn who_it_is_outlives_reboots_and_power_cuts() -> Result<()> {
    let machine = appliance()?;
    let identity = "cat /etc/machine-id /var/lib/ssh/*.pub /etc/hostname";
    let before = machine.sh(identity)?;
    for_each_event(&machine, [Event::Reboot, Event::PowerCut], |machine| {
        let now = machine.sh(identity)?;
        ensure!(now == before, "it was\n{before}and is\n{now}");
        Ok(())
    })
}

#[test]
fn a_clock_that_is_wrong_by_years_keeps_nothing_from_working() -> Result<()> {
    for clock in ["2001-02-03T04:05:06", "2099-02-03T04:05:06"] {
        let card = card()?.write_boot_file("lichen.toml", &lichen_toml()?)?;
        let hardware = Hardware {
            clock: Some(clock),
            ..Hardware::default()
        };
        let machine = Machine::boot(card, hardware)?;
        machine.wait_for_ssh(BOOT)?;
        healthy(&machine).context(clock)?;
        let greeting = Generation::named("greeting")?;
        let done = greeting.copy_to(&machine)?.activate(&machine, "switch")?;
        ensure!(done.status == 0, "{clock}: {done:?}");
        for_each_event(&machine, [Event::PowerCut], |machine| {
            greeting.runs_on(machine)
        })?;
    }
    Ok(())
}

/// QEMU's Raspberry Pi 4 has no network, so its console is all there is to go by.
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

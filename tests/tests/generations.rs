//! Updates: what they do, and what they leave alone.

use tests::*;

#[test]
fn a_live_switch_touches_only_what_changed_and_the_way_back_is_as_short() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let greeting = Generation::named("greeting")?;
    greeting.copy_to(&machine)?;
    let pids = "systemctl show -P MainPID ssh climate systemd-networkd dbus";
    let before = machine.sh(pids)?;

    let dry = greeting.activate(&machine, "dry-activate")?;
    ensure!(dry.status == 0, "{dry:?}");
    ensure!(
        dry.stdout.contains("live switch") && dry.stdout.contains("start    greeting.service"),
        "{dry:?}"
    );
    assert_eq!(running(&machine)?, old, "a dry run changes nothing");

    let done = greeting.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)?;
    assert_eq!(
        machine.sh(pids)?,
        before,
        "services that did not change go on"
    );
    assert_eq!(machine.sh("cat /etc/motd")?, "the new generation\n");
    assert_eq!(machine.sh("systemctl is-active greeting")?.trim(), "active");
    machine.sh("htop --version")?;
    assert_eq!(
        machine.sh("cat /etc/hostname")?.trim(),
        HOSTNAME,
        "lichen.toml stays in force"
    );
    healthy(&machine)?;

    machine.sh("lichenctl rollback")?;
    assert_eq!(running(&machine)?, old);
    assert_eq!(machine.sh(pids)?, before);
    assert_ne!(machine.try_sh("systemctl is-active greeting")?.status, 0);
    assert_ne!(machine.try_sh("command -v htop")?.status, 0);
    assert_eq!(status(&machine)?["standing"], "good");
    healthy(&machine)
}

#[test]
#[ignore = "slow: a boot; ./lichen test --slow"]
fn a_switched_generation_proves_itself_at_its_first_boot() -> Result<()> {
    let machine = appliance()?;
    let greeting = Generation::named("greeting")?;
    let done = greeting.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    assert_eq!(status(&machine)?["boot"]["good"], 1);
    for_each_event(&machine, [Event::PowerCut], |machine| {
        greeting.runs_on(machine)
    })?;
    blessed(&machine, 2)?;
    let link = machine.sh("readlink /nix/var/nix/profiles/system")?;
    assert_eq!(link.trim(), "system-2-link");
    Ok(())
}

#[test]
fn a_changed_service_is_restarted_and_no_other() -> Result<()> {
    let machine = appliance()?;
    let pid = |unit: &str| machine.sh(&format!("systemctl show -P MainPID {unit}"));
    let (ssh, climate) = (pid("ssh")?, pid("climate")?);
    let retention = Generation::named("retention")?;
    let done = retention.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    assert_eq!(pid("ssh")?, ssh);
    assert_ne!(pid("climate")?, climate);
    healthy(&machine)
}

#[test]
fn a_plug_pulled_in_the_middle_of_a_switch_costs_the_switch_and_nothing_else() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let retention = Generation::named("retention")?;
    retention.copy_to(&machine)?;
    machine.sh(&format!(
        "nix-env -p /nix/var/nix/profiles/system --set {}",
        retention.toplevel
    ))?;
    let switch = format!("{}/bin/switch-to-configuration switch", retention.toplevel);
    Unattended::begin(&machine, &switch)?.says("starting climate", SOON)?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    healthy(&machine)?;
    assert_eq!(running(&machine)?, old);
    let profile = machine.sh("readlink -f /nix/var/nix/profiles/system")?;
    assert_eq!(profile.trim(), old);
    // The second attempt succeeds.
    let done = retention.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    retention.runs_on(&machine)
}

#[test]
#[ignore = "slow: a boot; ./lichen test --slow"]
fn what_is_on_test_is_gone_with_the_next_boot() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let greeting = Generation::named("greeting")?;
    let boot = machine.sh("cat /boot/st?.env | sha256sum; ls /boot/gen")?;
    let done = greeting.copy_to(&machine)?.activate(&machine, "test")?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)?;
    assert_eq!(
        machine.sh("cat /boot/st?.env | sha256sum; ls /boot/gen")?,
        boot
    );
    // What runs is kept, although it is not a generation.
    machine.sh("nix-store --gc")?;
    machine.sh(&format!("test -e {}/layers", greeting.toplevel))?;
    for_each_event(&machine, [Event::ServiceRestart], |machine| {
        greeting.runs_on(machine)
    })?;
    machine.reboot(BOOT)?;
    healthy(&machine)?;
    assert_eq!(running(&machine)?, old);
    Ok(())
}

#[test]
fn a_factory_reset_leaves_generations_and_nothing_else() -> Result<()> {
    let machine = appliance()?;
    let before = machine.sh("cat /etc/machine-id")?;
    let old = running(&machine)?;
    let boot = machine.boot_id()?;
    machine.sh("touch /var/lib/climate/left-behind")?;
    machine.write_file("/boot/lichen.toml", lichen_toml()?.as_bytes())?;
    machine.sh("lichenctl factory-reset --yes")?;
    machine.wait_for_another_boot(&boot, BOOT)?;
    healthy(&machine)?;
    assert_ne!(machine.sh("cat /etc/machine-id")?, before);
    assert_ne!(
        machine
            .try_sh("test -e /var/lib/climate/left-behind")?
            .status,
        0
    );
    assert_eq!(running(&machine)?, old);
    Ok(())
}

//! Updates: good ones, and those that have to be survived.

use std::time::Duration;

use tests::*;

/// Three boots that fail, and one that does not.
const FALL_BACK: Duration = Duration::from_secs(600);

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
fn a_switched_generation_proves_itself_at_its_first_boot() -> Result<()> {
    let machine = appliance()?;
    let greeting = Generation::named("greeting")?;
    let done = greeting.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    assert_eq!(status(&machine)?["boot"]["good"], 1);
    for_each_event(&machine, [Event::Reboot, Event::PowerCut], |machine| {
        greeting.runs_on(machine)
    })?;
    machine.wait_until("the generation to be blessed", SOON, || {
        ensure!(status(&machine)?["boot"]["good"] == 2, "not yet");
        Ok(())
    })?;
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
        "nix-env -p /nix/var/nix/profiles/system --set {0}; \
         nohup {0}/bin/switch-to-configuration switch > /run/switch.log 2>&1 & \
         until grep -q 'starting climate' /run/switch.log; do sleep 0.1; done",
        retention.toplevel
    ))?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    healthy(&machine)?;
    assert_eq!(running(&machine)?, old);
    let profile = machine.sh("readlink -f /nix/var/nix/profiles/system")?;
    assert_eq!(profile.trim(), old);
    // The second attempt goes through.
    let done = retention.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    retention.runs_on(&machine)
}

#[test]
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
    // What runs is kept, though it is no generation.
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
fn of_two_deploys_at_once_one_is_turned_away() -> Result<()> {
    let machine = appliance()?;
    let (first, second) = (
        Generation::named("greeting")?,
        Generation::named("retention")?,
    );
    first.copy_to(&machine)?;
    second.copy_to(&machine)?;
    machine.sh(&format!(
        "nohup {}/bin/switch-to-configuration switch > /run/first.log 2>&1 & \
         until grep -q 'switching live' /run/first.log; do sleep 0.1; done",
        first.toplevel
    ))?;
    let refused = second.activate(&machine, "switch")?;
    assert_eq!(refused.status, 1, "{refused:?}");
    ensure!(refused.stderr.contains("another lichenctl"), "{refused:?}");
    machine.wait_until("the first deploy to be done", SOON, || {
        let log = machine.sh("cat /run/first.log")?;
        ensure!(log.contains("generation 2 runs and is healthy"), "{log}");
        Ok(())
    })?;
    first.runs_on(&machine)?;
    healthy(&machine)
}

#[test]
fn where_keys_are_trusted_nothing_unsigned_runs() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let greeting = Generation::named("greeting")?;
    greeting.copy_to(&machine)?;
    machine.sh(
        "nix-store --generate-binary-cache-key fleet-1 /run/secret /run/public; \
         echo trusted-public-keys = $(cat /run/public) >> /etc/nix/nix.conf",
    )?;
    for verb in ["switch", "test", "boot", "dry-activate"] {
        let refused = greeting.activate(&machine, verb)?;
        assert_eq!(refused.status, 1, "{verb}: {refused:?}");
        ensure!(
            refused.stderr.contains("is not trusted"),
            "{verb}: {refused:?}"
        );
    }
    assert_eq!(running(&machine)?, old);
    assert_eq!(machine.sh("lichenctl list | wc -l")?.trim(), "1");

    machine.sh(&format!(
        "nix store sign --recursive --key-file /run/secret {}",
        greeting.toplevel
    ))?;
    let done = greeting.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)
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

#[test]
fn a_release_whose_service_is_broken_is_undone_at_once() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let broken = Generation::named("broken-service")?;
    broken.copy_to(&machine)?;
    // As a client does before it activates.
    machine.sh(&format!(
        "nix-env -p /nix/var/nix/profiles/system --set {}",
        broken.toplevel
    ))?;
    let done = broken.activate(&machine, "switch")?;
    assert_eq!(done.status, 4, "{done:?}");
    assert_eq!(running(&machine)?, old);
    let journal = machine.sh("journalctl -b -t lichenctl -p err -o cat")?;
    ensure!(
        journal.contains("climate.service"),
        "the reason is not in the journal: {journal}"
    );
    let profile = machine.sh("readlink -f /nix/var/nix/profiles/system")?;
    assert_eq!(profile.trim(), old);
    healthy(&machine)?;
    for_each_event(&machine, [Event::PowerCut], |machine| {
        ensure!(running(machine)? == old, "it runs {}", running(machine)?);
        Ok(())
    })
}

#[test]
fn a_kernel_that_never_boots_is_left_for_the_one_that_does() -> Result<()> {
    let machine = appliance()?;
    let bad = Generation::named("never-boots")?;
    let said = bad.copy_to(&machine)?.activate(&machine, "dry-activate")?;
    ensure!(
        said.stdout
            .starts_with("trial boot, as the kernel's arguments are others"),
        "{said:?}"
    );
    falls_back(&machine, || {
        let done = bad.activate(&machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        Ok(())
    })
}

#[test]
#[ignore = "slow: three trials end by the watchdog, more than four minutes; ./lichen test --slow"]
fn a_userspace_that_hangs_is_left_for_the_one_that_does_not() -> Result<()> {
    let machine = appliance()?;
    let bad = Generation::named("hangs")?;
    bad.copy_to(&machine)?;
    falls_back(&machine, || {
        let done = bad.activate(&machine, "boot")?;
        ensure!(done.status == 0, "{done:?}");
        machine.sh("systemctl reboot").map(drop)
    })
}

#[test]
fn a_kernel_needs_room_on_boot_and_a_damaged_one_is_given_up() -> Result<()> {
    let machine = appliance()?;
    let bad = machine.sh(DAMAGED_INITRD)?;
    let bad = bad.trim();
    let before = machine.sh("lichenctl list; ls -R /boot/k")?;

    // 10 MB short of full: neither kernel nor initrd could be left out.
    machine.sh("fallocate -l $(($(df --output=avail -B1 /boot | tail -1) - 10000000)) /boot/full; sync -f /boot")?;
    let refused = machine.try_sh(&format!("lichenctl boot {bad}"))?;
    assert_eq!(refused.status, 1, "{refused:?}");
    ensure!(refused.stderr.contains("BOOT is full"), "{refused:?}");
    assert_eq!(machine.sh("lichenctl list; ls -R /boot/k")?, before);
    machine.sh("rm /boot/full")?;

    falls_back(&machine, || {
        machine.sh(&format!("lichenctl boot {bad}"))?;
        machine.sh("systemctl reboot").map(drop)
    })?;
    // Its kernel goes when nothing needs it any more.
    machine.sh("lichenctl rollback 1; lichenctl gc --keep 0")?;
    assert_eq!(machine.sh("ls /boot/k | wc -l")?.trim(), "1");
    assert_eq!(machine.sh("lichenctl list | wc -l")?.trim(), "1");
    healthy(&machine)
}

/// Makes a toplevel on the device whose initrd is cut short, and prints it.
const DAMAGED_INITRD: &str = r#"set -e
    old=$(readlink /run/current-system); work=$(mktemp -d /nix/work.XXXXXX)
    cp -rL --no-preserve=mode $old/kernel $work/kernel-folder
    truncate -s 500000 $work/kernel-folder/initrd
    kernel=$(nix-store --add $work/kernel-folder)
    cp -a $old $work/lichen-damaged; chmod u+w $work/lichen-damaged
    ln -sfn $kernel $work/lichen-damaged/kernel
    nix-store --add $work/lichen-damaged
    chmod -R u+w $work; rm -rf $work"#;

/// Deploys what does not boot, and waits for the old generation to be back by itself.
fn falls_back(machine: &Machine, deploy: impl FnOnce() -> Result<()>) -> Result<()> {
    let old = running(machine)?;
    let before = machine.boot_id()?;
    deploy()?;
    machine.wait_until("the old generation to be back", FALL_BACK, || {
        let now = machine.boot_id().inspect_err(|_| machine.ssh().hang_up())?;
        ensure!(now != before, "it is still the same boot");
        ensure!(running(machine)? == old, "it runs {}", running(machine)?);
        Ok(())
    })?;
    healthy(machine)?;
    let status = status(machine)?;
    assert_eq!(status["failed_trial"], 2, "{status}");
    let journal = machine.sh("journalctl -b -t lichenctl -p err -o cat")?;
    ensure!(
        journal.contains("generation 2 was tried and never blessed"),
        "{journal}"
    );
    Ok(())
}

fn running(machine: &Machine) -> Result<String> {
    Ok(machine
        .sh("readlink /run/current-system")?
        .trim()
        .to_owned())
}

//! Bad deploys, which the appliance has to survive without help.

use std::time::Duration;

use tests::*;

/// Long enough for somebody outside to try a new connection in vain, in seconds.
const CONFIRM: u64 = 10;
/// Long enough to notice that it is gone, and to go back.
const UNDONE: Duration = Duration::from_secs(180);
/// Long enough for all tries of a generation that does not boot, and for the boot of the old one.
const FALL_BACK: Duration = Duration::from_secs(600);

#[test]
fn a_release_whose_service_is_broken_is_undone_at_once() -> Result<()> {
    let machine = appliance()?;
    let what = "(a) a broken service";
    let undone = undone(&machine, what, "broken-service")?;
    ensure!(undone.contains("climate.service"), "{undone}");
    Ok(())
}

#[test]
fn a_release_whose_service_ends_again_and_again_is_undone_early_in_its_own_words() -> Result<()> {
    let machine = appliance()?;
    let what = "(h) a service that ends after three seconds each time";
    let undone = undone(&machine, what, "ends-again")?;
    // At the fourth failure its own limit ends the restarts; long before the deadline of five minutes.
    let told = "climate.service failed, saying “error: the sensor is on fire”";
    ensure!(undone.contains(told), "no `{told}` in {undone}");
    Ok(())
}

#[test]
fn a_release_that_never_becomes_healthy_is_undone_at_its_deadline() -> Result<()> {
    let machine = appliance()?;
    let what = "(f) a check that never passes, with a deadline of 20 s";
    let undone = undone(&machine, what, "never-healthy")?;
    ensure!(undone.contains("check never"), "{undone}");
    Ok(())
}

#[test]
fn a_release_that_fills_the_disk_is_undone_though_it_is_full() -> Result<()> {
    let machine = appliance()?;
    let undone = undone(&machine, "(g) a full disk", "fills-disk")?;
    ensure!(undone.contains("fill.service"), "{undone}");
    assert_eq!(machine.sh("df --output=avail /var | tail -1")?.trim(), "0");
    let old = running(&machine)?;
    for_each_event(&machine, [Event::PowerCut], |machine| {
        ensure!(running(machine)? == old, "it runs {}", running(machine)?);
        Ok(())
    })?;
    // With room again the next deploy goes through.
    machine.sh("rm /var/fill")?;
    let greeting = Generation::named("greeting")?;
    let done = greeting.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)
}

#[test]
fn a_release_that_cuts_off_its_deployer_is_undone() -> Result<()> {
    let machine = appliance()?;
    for name in ["no-ssh", "no-network"] {
        let bad = Generation::named(name)?;
        bad.copy_to(&machine)?;
        // Both consider themselves healthy.
        let what = format!("(b) {name}, to be confirmed within {CONFIRM} s");
        survives(&machine, &what, || {
            let switch = format!(
                "lichenctl switch {} --confirm-within {CONFIRM}",
                bad.toplevel
            );
            let switch = Unattended::begin(&machine, &switch)?;
            switch.says("waiting for `lichenctl confirm`", UNDONE)?;
            let outside = machine.ssh().attempt(&[], "true")?;
            ensure!(
                outside.status == 255 && !outside.stderr.contains("Permission denied"),
                "somebody answered: {outside:?}"
            );
            switch.says("switched back to the previous generation", UNDONE)
        })?;
        let journal = machine.sh("journalctl -b -t lichenctl -p err -o cat")?;
        ensure!(journal.contains("not confirmed within"), "{journal}");
    }
    Ok(())
}

#[test]
fn a_kernel_that_never_boots_is_left_for_the_one_that_does() -> Result<()> {
    let machine = appliance()?;
    let bad = Generation::named("never-boots")?;
    let said = bad.copy_to(&machine)?.activate(&machine, "dry-activate")?;
    ensure!(
        said.stdout
            .starts_with("trial boot, as the kernel's arguments change"),
        "{said:?}"
    );
    falls_back(&machine, "(c) a kernel that panics, three trials", || {
        let done = bad.activate(&machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        Ok(())
    })
}

#[test]
#[ignore = "slow: a trial ends by the watchdog, and another boot; ./lichen test --slow"]
fn a_userspace_that_hangs_is_left_for_the_one_that_does_not() -> Result<()> {
    let machine = appliance()?;
    let bad = Generation::named("hangs")?;
    bad.copy_to(&machine)?;
    falls_back(&machine, "(e) a userspace that hangs, one try", || {
        machine.sh(&format!("lichenctl boot {} --tries 1", bad.toplevel))?;
        machine.sh("systemctl reboot").map(drop)
    })
}

#[test]
#[ignore = "slow: a trial ends by the watchdog, and another boot; ./lichen test --slow"]
fn an_initrd_that_hangs_is_left_for_the_one_that_does_not() -> Result<()> {
    let machine = appliance()?;
    // The kernel unpacks what follows the initrd over it.
    let hangs = cpio(
        "bin/assemble",
        b"#!/bin/busybox sh\nexec /bin/busybox sleep 1000000\n",
    );
    machine.write_file("/run/hangs.cpio", &hangs)?;
    let bad = another_initrd(
        &machine,
        "truncate -s %4 initrd; cat /run/hangs.cpio >> initrd",
    )?;
    falls_back(&machine, "(d) an initrd that hangs, one try", || {
        machine.sh(&format!("lichenctl boot {bad} --tries 1"))?;
        machine.sh("systemctl reboot").map(drop)
    })
}

#[test]
fn a_kernel_needs_room_on_boot() -> Result<()> {
    let machine = appliance()?;
    let other = another_initrd(&machine, "truncate -s 500000 initrd")?;
    let before = machine.sh("lichenctl list; ls -R /boot/k")?;

    // 10 MB short of full: neither kernel nor initrd could be left out.
    machine.sh("fallocate -l $(($(df --output=avail -B1 /boot | tail -1) - 10000000)) /boot/full; sync -f /boot")?;
    let refused = machine.try_sh(&format!("lichenctl boot {other}"))?;
    assert_eq!(refused.status, 1, "{refused:?}");
    ensure!(refused.stderr.contains("BOOT is full"), "{refused:?}");
    assert_eq!(machine.sh("lichenctl list; ls -R /boot/k")?, before);

    machine.sh(&format!("rm /boot/full; lichenctl boot {other}"))?;
    assert_eq!(machine.sh("ls /boot/k | wc -l")?.trim(), "2");
    // It goes when nothing needs it any more.
    machine.sh("lichenctl rollback 1; lichenctl gc --keep 0")?;
    assert_eq!(machine.sh("ls /boot/k | wc -l")?.trim(), "1");
    assert_eq!(machine.sh("lichenctl list | wc -l")?.trim(), "1");
    healthy(&machine)
}

#[test]
#[ignore = "slow: a boot that fails, and another; ./lichen test --slow"]
fn a_damaged_initrd_is_given_up() -> Result<()> {
    let machine = appliance()?;
    let bad = another_initrd(&machine, "truncate -s 500000 initrd")?;
    falls_back(&machine, "(c) half an initrd, one try", || {
        machine.sh(&format!("lichenctl boot {bad} --tries 1"))?;
        machine.sh("systemctl reboot").map(drop)
    })
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
    // Nor what was signed by another key of the same name.
    let forge = format!(
        "nix-store --generate-binary-cache-key fleet-1 /run/forged /run/forged.pub; \
         nix store sign --recursive --key-file /run/forged {}",
        greeting.toplevel
    );
    for (what, signed) in [("no signature", ""), ("a forged signature", &forge)] {
        machine.sh(signed)?;
        let what = format!("(h) {what}, refused");
        let switch = survives(&machine, &what, || greeting.activate(&machine, "switch"))?;
        let others = ["test", "boot", "dry-activate"].map(|verb| greeting.activate(&machine, verb));
        for refused in [Ok(switch)].into_iter().chain(others) {
            let refused = refused?;
            assert_eq!(refused.status, 1, "{refused:?}");
            ensure!(refused.stderr.contains("is not trusted"), "{refused:?}");
        }
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

/// Switches, as clients do, to a generation that must not stay, and returns the reason given in the journal.
fn undone(machine: &Machine, what: &str, name: &str) -> Result<String> {
    let old = running(machine)?;
    let bad = Generation::named(name)?;
    bad.copy_to(machine)?;
    let done = survives(machine, what, || {
        // Before it is known to be any good.
        let profile = "nix-env -p /nix/var/nix/profiles/system --set";
        machine.sh(&format!("{profile} {}", bad.toplevel))?;
        bad.activate(machine, "switch")
    })?;
    assert_eq!(done.status, 4, "{done:?}");
    let profile = machine.sh("readlink -f /nix/var/nix/profiles/system")?;
    assert_eq!(profile.trim(), old);
    machine.sh("journalctl -b -t lichenctl -p err -o cat")
}

/// Makes a toplevel on the device whose kernel folder `edit` was done to, and gives its path.
fn another_initrd(machine: &Machine, edit: &str) -> Result<String> {
    let made = machine.sh(&format!(
        r#"set -e
        old=$(readlink /run/current-system); work=$(mktemp -d /nix/work.XXXXXX)
        cp -rL --no-preserve=mode $old/kernel $work/kernel-folder
        (cd $work/kernel-folder; {edit})
        kernel=$(nix-store --add $work/kernel-folder)
        cp -a $old $work/lichen-other; chmod u+w $work/lichen-other
        ln -sfn $kernel $work/lichen-other/kernel
        nix-store --add $work/lichen-other
        chmod -R u+w $work; rm -rf $work"#
    ))?;
    Ok(made.trim().to_owned())
}

/// One executable file as a cpio archive, in the "newc" format of Linux's
/// Documentation/driver-api/early-userspace/buffer-format.rst.
fn cpio(path: &str, contents: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, contents) in [(path, 0o100_755, contents), ("TRAILER!!!", 0, &b""[..])] {
        let (size, name_size) = (contents.len(), name.len() + 1);
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        let numbers = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        archive.extend(b"070701");
        archive.extend(numbers.iter().flat_map(|n| format!("{n:08x}").into_bytes()));
        for part in [[name.as_bytes(), b"\0"].concat().as_slice(), contents] {
            archive.extend(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}

/// Deploys a generation that does not boot, and waits until the old one is back without help.
fn falls_back(machine: &Machine, what: &str, deploy: impl FnOnce() -> Result<()>) -> Result<()> {
    let (old, before) = (running(machine)?, machine.boot_id()?);
    survives(machine, what, || {
        deploy()?;
        machine.wait_until("another boot of the old generation", FALL_BACK, || {
            let now = machine.boot_id().inspect_err(|_| machine.ssh().hang_up())?;
            ensure!(now != before, "it is still the same boot");
            ensure!(running(machine)? == old, "it runs {}", running(machine)?);
            Ok(())
        })
    })?;
    let status = status(machine)?;
    assert_eq!(status["failed_trial"], 2, "{status}");
    let journal = machine.sh("journalctl -b -t lichenctl -p err -o cat")?;
    ensure!(
        journal.contains("the trial of generation 2 failed, as it was never blessed"),
        "{journal}"
    );
    Ok(())
}

//! What the owner writes onto the card.

use tests::*;

#[test]
fn what_the_owner_wrote_is_in_force_kept_safe_and_wiped_from_the_card() -> Result<()> {
    let machine = appliance()?;
    assert_eq!(machine.sh("hostname")?.trim(), HOSTNAME);
    assert_eq!(
        machine.sh("readlink -f /etc/localtime")?.trim(),
        format!("/usr/share/zoneinfo/{TIME_ZONE}")
    );
    let stored = "/var/lib/lichen/credentials/climate.bearer-token";
    assert_eq!(
        machine.sh(&format!("stat -c '%a %U' {stored}"))?.trim(),
        "600 root"
    );
    assert_eq!(
        machine.sh("stat -c '%a %U' /var/lib/lichen")?.trim(),
        "700 root"
    );
    ensure!(
        machine.try_sh("test -e /boot/lichen.toml")?.status == 1,
        "lichen.toml is still on BOOT"
    );
    let on_boot = machine.try_sh(&format!(
        "grep -c -a -F {TOKEN} /dev/disk/by-partlabel/BOOT"
    ))?;
    assert_eq!(
        on_boot.stdout.trim(),
        "0",
        "the token can still be found on BOOT"
    );
    // `lichen flash` and the modules judge time zones by a list.
    let zones = machine.sh(
        "cd /usr/share/zoneinfo; find . -type f -o -type l | xargs grep -l -a ^TZif | cut -c 3- | grep -v -x -e localtime -e posixrules",
    )?;
    let on_device: std::collections::BTreeSet<&str> = zones.lines().collect();
    let in_list: std::collections::BTreeSet<&str> = protocol::zones::known().collect();
    assert_eq!(on_device, in_list, "crates/protocol/src/zones.txt");
    Ok(())
}

#[test]
fn a_bad_file_is_reported_and_kept_and_the_device_boots_as_before() -> Result<()> {
    let machine = appliance()?;
    let bad = "hostname = \"rack 8!\"\n[ssh]\nauthorized_keys = [\"no key\"]\n[secrets\n";
    machine.sh(&format!(
        "mount -o remount,rw /boot; cat > /boot/lichen.toml <<'END'\n{bad}END\nsync"
    ))?;
    machine.reboot(BOOT)?;
    healthy(&machine)?;
    assert_eq!(machine.sh("hostname")?.trim(), HOSTNAME);
    assert_eq!(machine.sh("cat /boot/lichen.toml")?, bad);
    let journal = machine.sh("journalctl -b -o cat --grep lichen.toml")?;
    ensure!(
        journal.contains("lichen.toml"),
        "the journal does not say so: {journal}"
    );
    ensure!(
        machine.console().text().contains("lichen.toml"),
        "the console does not say so"
    );
    Ok(())
}

#[test]
#[ignore = "slow: a boot; ./lichen test --slow"]
fn a_second_file_changes_what_it_names_and_nothing_else() -> Result<()> {
    let machine = appliance()?;
    machine
        .sh("mount -o remount,rw /boot; echo 'hostname = \"rack8\"' > /boot/lichen.toml; sync")?;
    machine.reboot(BOOT)?;
    healthy(&machine)?;
    assert_eq!(machine.sh("hostname")?.trim(), "rack8");
    assert_eq!(
        machine.sh("readlink -f /etc/localtime")?.trim(),
        format!("/usr/share/zoneinfo/{TIME_ZONE}")
    );
    Ok(())
}

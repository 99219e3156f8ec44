//! Backups: what a device has learnt outlives its card.

use std::collections::BTreeSet;
use std::fs;

use tests::*;

/// A machine whose climate measures every two seconds, with no sensor needed.
fn measuring(machine: &Machine) -> Result<Climate<'_>> {
    let climate = Climate::of(machine)?;
    climate.configure(|config| {
        config["sensor"]["kind"] = "simulated".into();
        config["sensor"]["interval_seconds"] = 2.into();
    })?;
    climate.measures(3)?;
    Ok(climate)
}

/// What the clock of a machine says, in seconds.
fn clock(machine: &Machine) -> Result<u64> {
    Ok(machine.sh("date +%s")?.trim().parse()?)
}

/// The times of all that was measured in the ten minutes from `begin`, whatever the time is now: a point of the history
/// is then a third of a second, and the same one whenever it is asked for.
fn history(machine: &Machine, begin: u64) -> Result<BTreeSet<String>> {
    let points = Climate::of(machine)?.history(begin, begin + 600)?;
    Ok(points.iter().map(|point| point["t"].to_string()).collect())
}

/// Reboots, and waits until the generation on trial is good.
fn passes_its_trial(machine: &Machine) -> Result<()> {
    machine.reboot(BOOT)?;
    healthy(machine)?;
    machine.wait_until("a generation that is good", BOOT, || {
        let status = status(machine)?;
        let is_done = status["standing"] == "good" && status["busy"] == false;
        ensure!(is_done, "{status}");
        Ok(())
    })
}

#[test]
fn a_new_card_gets_the_history_back_from_a_backup() -> Result<()> {
    let old = appliance()?;
    let owner = Deployer::of(&old)?;
    let begin = clock(&old)?;
    measuring(&old)?;
    let before = history(&old, begin)?;
    ensure!(before.len() >= 3, "{before:?}");

    let file = owner.file("rack7.backup");
    let name = file.to_string_lossy().into_owned();
    let none = owner.lichen(&["backup", "--to", &name], &[])?;
    ensure!(
        none.status == 1 && none.stderr.contains("lichen key backup") && !file.exists(),
        "{none:?}"
    );
    let key = owner.make_backup_key()?;
    ensure!(key.stdout.contains("lichen.backup.recipients"), "{key:?}");
    let made = owner.lichen(&["backup", "--to", &name], &[])?;
    ensure!(
        made.status == 0 && made.stderr.contains("read back and intact: climate of"),
        "{made:?}"
    );
    let left = old.sh("ls -A /var/lib/lichen/backup")?;
    ensure!(left.is_empty(), "{left}");
    let end = clock(&old)?;
    drop(old);

    // Another card, flashed from the same image, and later: a machine goes on with the clock of its snapshot.
    let new = appliance()?;
    new.sh(&format!("date --set=@{end}"))?;
    let owner_of_new = Deployer::of(&new)?;
    let identity = owner.file("lichen/backup-key");
    let identity = identity.to_string_lossy().into_owned();
    let verb = ["restore", "--identity", &identity];

    // One byte of it is another one.
    let whole = fs::read(&file)?;
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let bad = owner.file("damaged.backup");
    fs::write(&bad, damaged)?;
    let bad = bad.to_string_lossy().into_owned();
    let refused = owner_of_new.lichen(&verb, &[&bad])?;
    ensure!(
        refused.status == 1
            && refused.stderr.contains("damaged.backup: ")
            && refused.stderr.contains("the file is damaged"),
        "{refused:?}"
    );

    let restored = owner_of_new.lichen(&verb, &[&name])?;
    ensure!(restored.status == 0, "{restored:?}");
    healthy(&new)?;
    let after = history(&new, begin)?;
    ensure!(before.is_subset(&after), "{before:?} became {after:?}");
    assert_eq!(
        new.sh("stat -c %U /var/lib/climate/climate.db")?.trim(),
        "climate"
    );
    new.sh("test -e /var/lib/lichen/state/climate/replaced-1/climate.db")?;
    measuring(&new)?;
    let later = history(&new, begin)?;
    ensure!(later.len() > after.len(), "{after:?} became {later:?}");
    Ok(())
}

#[test]
fn a_newer_generation_takes_an_earlier_backup_and_an_earlier_one_no_later() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    owner.make_backup_key()?;
    let begin = clock(&machine)?;
    measuring(&machine)?;
    let before = history(&machine, begin)?;
    let [earlier, later] =
        ["earlier", "later"].map(|name| owner.file(name).to_string_lossy().into_owned());
    let made = owner.lichen(&["backup", "--to", &earlier], &[])?;
    ensure!(made.status == 0, "{made:?}");

    let newer = Generation::named("newer-data")?;
    newer.copy_to(&machine)?;
    let done = newer.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    // Until the boot that follows, the earlier generation might come back with its own copies.
    let refused = owner.lichen(&["restore"], &[&earlier])?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("is not good yet"),
        "{refused:?}"
    );
    passes_its_trial(&machine)?;
    machine.sh("systemctl stop climate && rm -r /var/lib/climate/* && systemctl start climate")?;
    let restored = owner.lichen(&["restore"], &[&earlier])?;
    ensure!(restored.status == 0, "{restored:?}");
    healthy(&machine)?;
    let after = history(&machine, begin)?;
    ensure!(before.is_subset(&after), "{before:?} became {after:?}");
    let made = owner.lichen(&["backup", "--to", &later], &[])?;
    ensure!(made.status == 0, "{made:?}");

    let back = machine.try_sh("lichenctl rollback")?;
    ensure!(back.status == 0, "{back:?}");
    passes_its_trial(&machine)?;
    let refused = owner.lichen(&["restore"], &[&later])?;
    ensure!(
        refused.status == 1
            && refused.stderr.contains("data of climate in version 2")
            && refused.stderr.contains("nothing was restored"),
        "{refused:?}"
    );
    Ok(())
}

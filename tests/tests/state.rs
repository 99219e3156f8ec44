//! Protecting state: a generation migrates data to another version, and is then reverted.

use std::collections::BTreeSet;

use tests::*;

const COPY: &str = "/var/lib/lichen/state/climate";

#[test]
fn a_migration_that_breaks_a_service_costs_none_of_its_history() -> Result<()> {
    let machine = appliance()?;
    let climate = Climate::of(&machine)?;
    climate.configure(|config| {
        config["sensor"]["kind"] = "simulated".into();
        config["sensor"]["interval_seconds"] = 2.into();
    })?;
    climate.measures(3)?;
    let now: u64 = machine.sh("date +%s")?.trim().parse()?;
    let history = || -> Result<BTreeSet<String>> {
        let points = climate.history(now - 300, now + 1)?;
        Ok(points.iter().map(|point| point["t"].to_string()).collect())
    };
    let before = history()?;
    ensure!(before.len() >= 3, "{before:?}");

    let migrates = Generation::named("migrates")?;
    migrates.copy_to(&machine)?;
    let dry = migrates.activate(&machine, "dry-activate")?;
    ensure!(
        dry.stdout
            .contains("climate's data are copied before the change: version 1 → 2"),
        "{dry:?}"
    );
    let done = migrates.activate(&machine, "switch")?;
    assert_eq!(done.status, 4, "{done:?}");
    ensure!(
        done.stderr.contains("a copy of version 1 is kept"),
        "{done:?}"
    );
    healthy(&machine)?;
    let after = history()?;
    ensure!(before.is_subset(&after), "{before:?} became {after:?}");
    assert_eq!(
        machine.sh("stat -c %U /var/lib/climate/climate.db")?.trim(),
        "climate"
    );
    assert_eq!(
        machine.sh(&format!("cat {COPY}/newer-1/climate.db"))?,
        "newer\n"
    );

    // The same, with the plug pulled after the migration: the next boot puts it right.
    machine.sh(&format!(
        "nohup {}/bin/switch-to-configuration switch > /run/switch.log 2>&1 & \
         until grep -qs newer /var/lib/climate/climate.db; do sleep 0.1; done; sync",
        migrates.toplevel
    ))?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    healthy(&machine)?;
    let after = history()?;
    ensure!(before.is_subset(&after), "{before:?} became {after:?}");
    ensure!(
        machine
            .try_sh("test -e /var/lib/lichen/state/changes.json")?
            .status
            != 0,
        "the change is still open"
    );

    // Without a copy nothing is changed.
    machine.sh("mv /var/lib/climate/climate.db /run/")?;
    let refused = migrates.activate(&machine, "switch")?;
    assert_eq!(refused.status, 1, "{refused:?}");
    ensure!(
        refused.stderr.contains("nothing was changed"),
        "{refused:?}"
    );
    assert_eq!(status(&machine)?["standing"], "good");
    Ok(())
}

#[test]
fn a_rollback_by_hand_offers_the_data_of_then_and_keeps_those_of_now() -> Result<()> {
    let machine = appliance()?;
    let newer = Generation::named("newer-data")?;
    newer.copy_to(&machine)?;
    let mark = "/var/lib/climate/mark";
    for restore in [false, true] {
        let done = newer.activate(&machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        machine.sh(&format!("touch {mark}"))?;
        let option = if restore { "--restore-state" } else { "" };
        let back = machine.try_sh(&format!("lichenctl rollback {option}"))?;
        ensure!(back.status == 0, "{back:?}");
        ensure!(
            back.stderr.contains("--restore-state") != restore,
            "{back:?}"
        );
        let stays = machine.try_sh(&format!("test -e {mark}"))?.status == 0;
        ensure!(stays != restore, "asked to restore: {restore}");
        healthy(&machine)?;
    }
    machine.sh(&format!("test -e {COPY}/newer-1/mark"))?;
    let none = machine.try_sh("lichenctl rollback 1 --restore-state")?;
    ensure!(none.stderr.contains("nothing can be restored"), "{none:?}");
    machine.sh("lichenctl gc --keep 0")?;
    assert_eq!(machine.sh(&format!("ls {COPY} | grep -v newer"))?, "1\n");
    Ok(())
}

#[test]
#[ignore = "slow: two boots; ./lichen test --slow"]
fn a_trial_that_nobody_confirms_gives_the_data_back_at_the_next_boot() -> Result<()> {
    let machine = appliance()?;
    let newer = Generation::named("newer-data")?;
    newer.copy_to(&machine)?;
    machine.sh(&format!(
        "lichenctl boot {} --confirm-within 20",
        newer.toplevel
    ))?;
    machine.reboot(BOOT)?;
    newer.runs_on(&machine)?;
    let trial = machine.boot_id()?;
    machine.sh("touch /var/lib/climate/mark; sync")?;
    machine.wait_for_another_boot(&trial, BOOT)?;
    healthy(&machine)?;
    let undone = status(&machine)?;
    assert_eq!(
        (&undone["generation"], &undone["failed_trial"]),
        (&1.into(), &2.into())
    );
    assert_eq!(
        machine.sh("journalctl --list-boots -q | wc -l")?.trim(),
        "3",
        "one boot is enough"
    );
    let journal = machine.sh("journalctl -b -1 -t lichenctl -p err -o cat")?;
    ensure!(journal.contains("not confirmed within 20 s"), "{journal}");
    assert_ne!(machine.try_sh("test -e /var/lib/climate/mark")?.status, 0);
    machine
        .sh(&format!("test -e {COPY}/newer-1/mark"))
        .map(drop)
}

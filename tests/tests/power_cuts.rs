//! Power cuts at every write of a whole machine.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use testbed::cuts::{Fate, Sampling};
use testbed::{figures, turn};
mod power;

use power::{Effort, Kind, Specimen, Truth};
use tests::*;

const SAMPLING: Sampling = Sampling {
    // Changed to see other samples of what a disk may do; the same ones for the same seed.
    seed: 20_261_124,
    torn: 4,
    reordered: 2,
};
/// Every boundary between two writes, and some samples of torn and reordered writes at it. One in 50 different file
/// systems is also checked by the real e2fsck, to show that what is read of them here is right.
const EFFORT: Effort = Effort {
    sampling: Sampling {
        torn: 16,
        reordered: 1,
        ..SAMPLING
    },
    fsck: 50,
};
/// As many samples as are worth the time.
const ALL: Effort = Effort {
    sampling: Sampling {
        torn: 1,
        reordered: 8,
        ..SAMPLING
    },
    fsck: 3,
};

/// How many cards are booted in one machine; there are two at a time, as there are turns.
const CARDS: usize = 3;

#[test]
fn every_cut_leaves_the_old_generation_or_the_new_one() -> Result<()> {
    judge_all(EFFORT)
}

#[test]
#[ignore = "slow: many more samples of torn and reordered writes; ./lichen test --slow"]
fn however_a_disk_orders_its_writes_the_old_generation_is_left_or_the_new_one() -> Result<()> {
    judge_all(ALL)
}

#[test]
#[ignore = "slow, 15 min: dozens of boots; ./lichen test --slow"]
fn cuts_between_writes_really_boot() -> Result<()> {
    boot_all(Fate::Whole)
}

#[test]
#[ignore = "slow, 15 min: dozens of boots; ./lichen test --slow"]
fn cuts_that_tear_a_write_really_boot() -> Result<()> {
    boot_all(Fate::Torn)
}

#[test]
#[ignore = "slow, 15 min: dozens of boots; ./lichen test --slow"]
fn cuts_among_reordered_writes_really_boot() -> Result<()> {
    boot_all(Fate::Reordered)
}

#[test]
fn a_cut_in_each_phase_really_boots() -> Result<()> {
    let _turn = turn("power cuts")?;
    let recordings = recordings()?;
    let phases = power::one_of_each_phase(&power::kinds(&recordings)?, SAMPLING)?;
    ensure!(
        phases.len() >= 10,
        "there are cuts in only {} phases",
        phases.len()
    );
    assert_eq!(boot(&phases)?, phases.len());
    Ok(())
}

#[test]
fn damage_is_found() -> Result<()> {
    let recordings = recordings()?;
    let truth = Truth::of(&recordings, &lichen_toml()?)?;
    let mut disk = Specimen::of(&recordings[1], &truth)?;
    disk.boots_the_new_generation()?;

    disk.every_layer_has_to_be_whole()?;
    disk.one_valid_boot_state_is_needed()?;
    disk.the_kernel_has_to_be_whole()?;
    disk.the_kernel_has_to_be_there_before_the_boot_state_names_it()?;
    disk.u_boot_has_to_be_whole()?;
    disk.the_database_of_nix_has_to_be_readable()?;
    disk.nix_has_to_know_the_version_of_its_tables()?;
    disk.the_readings_have_to_be_readable()?;
    disk.no_reading_that_was_told_may_be_missing()?;
    disk.a_superblock_may_be_torn_but_not_belong_to_another_file_system()?;
    disk.another_generation_may_not_boot()
}

fn recordings() -> Result<[Recording; 2]> {
    Ok([power::first_boot()?, power::life()?])
}

fn judge_all(effort: Effort) -> Result<()> {
    // Judging and booting both need all processors, so these stories run one after the other.
    let _turn = turn("power cuts")?;
    let recordings = recordings()?;
    let truth = Truth::of(&recordings, &lichen_toml()?)?;
    let tally = power::judge_all(&recordings, &truth, effort)?.verdict()?;
    figures(format!(
        "power cuts: {tally}; none else ended wrong (seed {})",
        effort.sampling.seed
    ));
    ensure!(tally.boundaries() >= 2000, "{tally}");
    Ok(())
}

/// Boots a cut of every kind with this fate of its writes.
fn boot_all(fate: Fate) -> Result<()> {
    let _turn = turn("power cuts")?;
    let recordings = recordings()?;
    let mut kinds = power::kinds(&recordings)?;
    kinds.retain(|kind| kind.fate == fate);
    let booted = boot(&kinds)?;
    ensure!(booted >= 8, "only {booted} cuts were booted");
    Ok(())
}

fn boot(kinds: &[Kind<'_>]) -> Result<usize> {
    let start = Instant::now();
    let left = Mutex::new(kinds.chunks(CARDS));
    let machine = || -> Result<usize> {
        let mut booted = 0;
        loop {
            // The machine is given up after each group of cards, so that other stories get a turn.
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(kinds) = next else {
                return Ok(booted);
            };
            booted += power::boot(kinds, SAMPLING, |what| eprintln!("booted: {what}"))?;
        }
    };
    let booted = thread::scope(|scope| {
        let machines = [machine, machine].map(|machine| scope.spawn(machine));
        let booted = machines.map(|machine| machine.join().expect("whoever boots panicked"));
        booted.into_iter().sum::<Result<usize>>()
    })?;
    figures(format!(
        "power cuts: {booted} really booted in {} s, all into the old generation or the new one (seed {})",
        start.elapsed().as_secs(),
        SAMPLING.seed
    ));
    Ok(booted)
}

//! Power cuts at every write of a whole machine.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use testbed::cuts::{self, Ext4, Fat, Fate, Remains, Sampling};
use testbed::{Log, figures, turn};
mod power;

use power::{Effort, Expected, Judge, Kind, Truth};
use tests::*;

const SAMPLING: Sampling = Sampling {
    // Changed to see other samples of what a disk may do; the same ones for the same seed.
    seed: 20_261_124,
    torn: 4,
    reordered: 2,
};
/// Every boundary, and some of what may become of writes at it. Few different file systems need to go through the real
/// e2fsck for what is read of them here to be believed.
const EFFORT: Effort = Effort {
    sampling: Sampling {
        torn: 16,
        reordered: 1,
        ..SAMPLING
    },
    fsck: 50,
};
/// As much as is worth waiting for.
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
#[ignore = "slow: dozens of boots; ./lichen test --slow"]
fn cuts_between_writes_really_boot() -> Result<()> {
    boot_all(Fate::Whole)
}

#[test]
#[ignore = "slow: dozens of boots; ./lichen test --slow"]
fn cuts_that_tear_a_write_really_boot() -> Result<()> {
    boot_all(Fate::Torn)
}

#[test]
#[ignore = "slow: dozens of boots; ./lichen test --slow"]
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
    let life = &recordings[1];
    let log = Log::open(&life.log)?;
    let mark = |name: &str| {
        life.marks
            .iter()
            .find(|mark| mark.name == name)
            .context(name.to_owned())
    };
    let (before, after) = (mark("boot given up")?, mark("trial boot")?);
    let new = after.note["toplevel"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let disk = cuts::moment(life, &log, after.entries)?;
    let old_disk = cuts::moment(life, &log, before.entries)?;
    let expected = Expected::after(after.entries, &life.marks, "");
    let mut judge = Judge::new(&truth);
    assert_eq!(judge.judge(&disk, &expected)?, new);

    let fat = Fat::read(&disk, disk.partition("BOOT")?)?;
    let data = Ext4::mount(&disk, disk.partition("DATA")?)?;
    let layers = data.text(&format!("{new}/layers"))?.unwrap_or_default();
    let kernel = (fat
        .files
        .iter()
        .rev()
        .find(|file| file.path.ends_with("/image")))
    .context("no kernel")?
    .path
    .clone();
    let all = judge.data(&disk)?.readings.len();
    let one_more = Expected {
        told: Some((0, i64::MAX / 1000, all + 1)),
        ..expected.clone()
    };
    let zero = |disk: &mut Remains, at: u64, length: u64| disk.write(at, &vec![0; length as usize]);
    let mut found = |what: &str,
                     expected: &Expected,
                     change: &dyn Fn(&mut Remains) -> Result<()>|
     -> Result<()> {
        let mut damaged = disk.clone();
        change(&mut damaged)?;
        match judge.judge(&damaged, expected) {
            Err(error) if format!("{error:#}").contains(what) => Ok(()),
            other => bail!("not found: {what}; instead: {other:?}"),
        }
    };

    for layer in layers.lines() {
        found("is not what it was", &expected, &|disk| {
            let block = *data.places(layer)?.last().context("an empty layer")?;
            zero(disk, block, 4096)
        })?;
    }
    found("no valid boot state", &expected, &|disk| {
        for slot in ["st0.env", "st1.env"] {
            zero(disk, fat.places(slot)[0].start, 512)?;
        }
        Ok(())
    })?;
    found("is not what it should be", &expected, &|disk| {
        let places = fat.places(&kernel);
        for place in &places[places.len() / 2..] {
            zero(disk, place.start, place.end - place.start)?;
        }
        Ok(())
    })?;
    // As if the slot had been written before the kernel.
    found("is not what it should be", &expected, &|disk| {
        for place in fat.places(&kernel) {
            let mut bytes = vec![0; (place.end - place.start) as usize];
            old_disk.read(place.start, &mut bytes)?;
            disk.write(place.start, &bytes)?;
        }
        Ok(())
    })?;
    found("u-boot.bin on BOOT has changed", &expected, &|disk| {
        zero(disk, fat.places("u-boot.bin")[0].start, 512)
    })?;
    found("db.sqlite", &expected, &|disk| {
        // Not the first page, which says what it is.
        let places = data.places("/nix/var/nix/db/db.sqlite")?;
        places[1..]
            .iter()
            .try_for_each(|place| zero(disk, *place, 4096))
    })?;
    found("climate.db", &expected, &|disk| {
        // How many readings are in the log by now, and how many in the database, is a matter of time.
        let database = data.places("/var/lib/climate/climate.db")?;
        let log = data.places("/var/lib/climate/climate.db-wal")?;
        database
            .iter()
            .skip(1)
            .chain(&log)
            .try_for_each(|place| zero(disk, *place, 4096))
    })?;
    found("readings were told", &one_more, &|_| Ok(()))?;
    // Whom the file system belongs to is not what a torn superblock is wrong about; when it was written last is, and
    // that is mended.
    let superblock = disk.partition("DATA")?.start + assemble::superblock::AT;
    found("and not by being torn", &expected, &|disk| {
        zero(disk, superblock + 0x68, 16)
    })?;
    let mut torn = disk.clone();
    zero(&mut torn, superblock + 0x30, 4)?;
    let mut old = expected.clone();
    old.toplevels = [before.note["toplevel"]
        .as_str()
        .unwrap_or_default()
        .to_owned()]
    .into();
    found("which is none of", &old, &|_| Ok(()))?;
    assert_eq!(judge.judge(&torn, &expected)?, new);
    Ok(())
}

fn recordings() -> Result<[Recording; 2]> {
    Ok([power::first_boot()?, power::life()?])
}

fn judge_all(effort: Effort) -> Result<()> {
    // Judging takes all processors, and booting does: one story after the other.
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

/// Every kind that there is of cuts after which the disk has made this of its writes.
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
            // A machine is given up now and then, for others to have a turn.
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

//! Confirmation: a healthy generation may still have cut off whoever deployed it, which only they can tell. Where
//! it was asked for, a generation stays only if `lichenctl confirm` arrives in time, over a new connection.
//!
//! What is awaited is a file, and to confirm is to remove it: of a confirmation and a deadline at the same moment
//! one finds the file gone. For a live switch it is in memory, as a cut ends that anyway. For a trial boot it is
//! on DATA before the slot names the generation, one per generation, so that whatever is cut, no trial goes without
//! the confirmation it was to have.

use crate::durable::{self, cut};
use crate::generations::{Booted, Running};
use crate::hint::Hint;
use crate::journal::{note, say, tell};
use crate::lock::GenerationsLock;
use crate::root::Root;
use crate::state::{BootState, Generation, Trial};
use anyhow::{Context, Result};
use protocol::progress::Event;
use protocol::status::Awaited;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LIVE: &str = "run/lichen/confirm.json";
const TRIALS: &str = "var/lib/lichen/confirm";
const STATE: &str = "var/lib/lichen";
const PAUSE: Duration = Duration::from_millis(100);

/// A confirmation that is asked for.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// Seconds that it has, from when the generation is found healthy.
    pub within: u64,
    /// The file whose removal it is, after a live switch; else [`confirm`] gives it.
    pub canary: Option<PathBuf>,
}

/// Why there is nothing to confirm.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// Nobody asked for it, or it is too late.
    #[error("no confirmation is awaited")]
    NotAwaited,
    /// It will be, after the reboot.
    #[error("generation {0} is to be confirmed, and does not run yet")]
    NotYet(Generation),
}

impl Hint for ConfirmError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotAwaited => "`lichenctl status` shows what runs",
            Self::NotYet(_) => "confirm once it was booted",
        }
    }
}

/// Nobody confirmed in time.
#[derive(Debug, thiserror::Error)]
#[error("not confirmed within {0} s: whoever deployed it may be cut off")]
pub struct Unconfirmed(pub u64);

/// Awaits the confirmation of what was switched to, or of what is about to be booted.
pub fn wait_live(root: &Root, awaited: &Awaited, canary: Option<&Path>) -> Result<()> {
    let path = canary.map_or_else(|| root.at(LIVE), Path::to_owned);
    put(&path, awaited)?;
    match canary {
        None => tell(&Event::AwaitingConfirmation {
            within: awaited.within,
        }),
        Some(path) => say(&format!("waiting for {} to be removed", path.display())),
    }
    // Whoever finds the file gone was second.
    if confirmed(&path, awaited.within) || !durable::remove(&path)? {
        return Ok(());
    }
    Err(Unconfirmed(awaited.within).into())
}

/// Before the slot names `generation`: whether it will have to be confirmed once it was booted.
pub fn demand(
    root: &Root,
    generation: Generation,
    toplevel: &str,
    within: Option<u64>,
) -> Result<()> {
    let path = of_trial(root, generation);
    let Some(within) = within else {
        return durable::remove(&path).map(drop);
    };
    durable::directory(&root.at(STATE), 0o700)?;
    durable::directory(&root.at(TRIALS), 0o700)?;
    put(
        &path,
        &Awaited {
            generation: Some(generation),
            toplevel: toplevel.to_owned(),
            within,
        },
    )
}

/// What the booted generation still needs besides being healthy.
pub fn demanded(root: &Root) -> Option<(Generation, Awaited)> {
    let booted = Booted::read(root);
    let generation = booted.generation?;
    let awaited = read(&of_trial(root, generation))?;
    (Some(&awaited.toplevel) == booted.toplevel.as_ref()).then_some((generation, awaited))
}

/// Awaits the confirmation of the booted generation. Without it the trial is over, however many tries were left:
/// it would not be reachable the next time, either.
pub fn wait_trial(root: &Root, generation: Generation, awaited: &Awaited) -> Result<()> {
    let path = of_trial(root, generation);
    tell(&Event::AwaitingConfirmation {
        within: awaited.within,
    });
    if confirmed(&path, awaited.within) {
        return Ok(());
    }
    let _lock = GenerationsLock::wait(root)?;
    if !path.exists() {
        return Ok(());
    }
    BootState::load(&root.at("boot"))?
        .give_up(generation)?
        .write()?;
    durable::remove(&path)?;
    Err(Unconfirmed(awaited.within).into())
}

/// Confirms what runs.
pub fn confirm(root: &Root) -> Result<Awaited> {
    let live = read(&root.at(LIVE))
        .filter(|awaited| Some(&awaited.toplevel) == Running::read(root).toplevel.as_ref());
    let (awaited, path, _lock) = if let Some(awaited) = live {
        // The switch that awaits it holds the lock.
        (awaited, root.at(LIVE), None)
    } else if let Some((generation, awaited)) = demanded(root) {
        (
            awaited,
            of_trial(root, generation),
            Some(GenerationsLock::wait(root)?),
        )
    } else if let Some(generation) = next(root).and_then(|awaited| awaited.generation) {
        return Err(ConfirmError::NotYet(generation).into());
    } else {
        return Err(ConfirmError::NotAwaited.into());
    };
    if !durable::remove(&path)? {
        return Err(ConfirmError::NotAwaited.into());
    }
    let what = awaited
        .generation
        .map_or_else(|| awaited.toplevel.clone(), |g| format!("generation {g}"));
    note(&format!("{what} is confirmed"));
    Ok(awaited)
}

/// What is awaited now, or will be after the next boot.
pub fn pending(root: &Root) -> Option<Awaited> {
    read(&root.at(LIVE))
        .or_else(|| demanded(root).map(|(_, awaited)| awaited))
        .or_else(|| next(root))
}

/// At boot: what was demanded of trials that are over is forgotten.
pub fn forget_others(root: &Root, booted: Generation, trial: Option<Trial>) -> Result<()> {
    let next = trial.filter(|trial| trial.tries > 0).map(|t| t.generation);
    let spared = [Some(booted), next].map(|g| g.map(|g| of_trial(root, g)));
    for entry in fs::read_dir(root.at(TRIALS)).into_iter().flatten() {
        let path = entry.context("cannot read what is to be confirmed")?.path();
        if !spared.contains(&Some(path.clone())) {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

/// What the generation on trial will need.
fn next(root: &Root) -> Option<Awaited> {
    let trial = BootState::load(&root.at("boot")).ok()?.state().trial?;
    read(&of_trial(root, trial.generation))
}

fn of_trial(root: &Root, generation: Generation) -> PathBuf {
    root.at(TRIALS).join(format!("{generation}.json"))
}

fn put(path: &Path, awaited: &Awaited) -> Result<()> {
    durable::atomic_write(path, &serde_json::to_vec(awaited)?, 0o600)?;
    cut::point("demand");
    Ok(())
}

fn read(path: &Path) -> Option<Awaited> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn confirmed(path: &Path, within: u64) -> bool {
    until(Duration::from_secs(within), || !path.exists())
}

/// Whether it comes true in time.
pub(crate) fn until(within: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !so() {
        if begin.elapsed() >= within {
            return false;
        }
        sleep(PAUSE);
    }
    true
}

#[cfg(test)]
#[path = "confirm_tests.rs"]
mod tests;

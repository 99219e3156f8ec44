//! Confirmation: a generation may be healthy and yet have cut off the person who deployed it. If a confirmation was
//! requested, the generation stays only if `lichenctl confirm` arrives in time, over a new connection.
//!
//! A file stands for the awaited confirmation, and removing it confirms. If a confirmation and the deadline coincide,
//! only one of the two succeeds in removing the file. For a live switch the file is in memory, because a power cut ends
//! the switch anyway. For a trial boot it is on DATA, one file per generation, and is written before the slot names the
//! generation, so that no power cut can start a trial without its required confirmation.

use crate::generations::{Booted, Running};
use crate::hint::Hint;
use crate::journal::{note, say, tell};
use crate::lock::GenerationsLock;
use crate::root::Root;
use crate::state::{BootState, Generation, Trial};
use anyhow::{Context, Result};
use durable::cut;
use protocol::command::UNCONFIRMED;
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

/// A requested confirmation.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// Seconds to wait, counted from when the generation is found healthy.
    pub within: u64,
    /// The file whose removal confirms a live switch; otherwise [`confirm`] names it.
    pub canary: Option<PathBuf>,
}

/// Why there is nothing to confirm.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// No confirmation was requested, or the deadline has passed.
    #[error("no confirmation is awaited")]
    NotAwaited,
    /// The confirmation is expected only after the reboot.
    #[error("generation {0} needs a confirmation, but is not running yet")]
    NotYet(Generation),
}

impl Hint for ConfirmError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotAwaited => {
                "`lichenctl status` shows the running generation and any confirmation that is awaited"
            }
            Self::NotYet(_) => "confirm it after the device has booted it",
        }
    }
}

/// The confirmation did not arrive in time.
#[derive(Debug, thiserror::Error)]
#[error("{UNCONFIRMED} {0} s: whoever deployed it may be cut off")]
pub struct Unconfirmed(pub u64);

/// Waits for the confirmation of the generation that was switched to or is about to be booted.
pub fn wait_live(root: &Root, awaited: &Awaited, canary: Option<&Path>) -> Result<()> {
    let path = canary.map_or_else(|| root.at(LIVE), Path::to_owned);
    put(&path, awaited)?;
    match canary {
        None => tell(&Event::AwaitingConfirmation {
            within: awaited.within,
        }),
        Some(path) => say(&format!("waiting for {} to be removed", path.display())),
    }
    // If the file is already gone, the confirmation arrived first.
    if confirmed(&path, awaited.within) || !durable::remove(&path)? {
        return Ok(());
    }
    Err(Unconfirmed(awaited.within).into())
}

/// Records, before the slot names `generation`, whether it must be confirmed after its boot.
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

/// What the booted generation needs in addition to being healthy.
pub fn demanded(root: &Root) -> Option<(Generation, Awaited)> {
    let booted = Booted::read(root);
    let generation = booted.generation?;
    let awaited = read(&of_trial(root, generation))?;
    (Some(&awaited.toplevel) == booted.toplevel.as_ref()).then_some((generation, awaited))
}

/// Waits for the confirmation of the booted generation. Without it the trial ends, even if tries are left, because
/// the device would be unreachable on the next try, too.
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

/// Confirms the running generation.
pub fn confirm(root: &Root) -> Result<Awaited> {
    let live = read(&root.at(LIVE))
        .filter(|awaited| Some(&awaited.toplevel) == Running::read(root).toplevel.as_ref());
    let (awaited, path, _lock) = if let Some(awaited) = live {
        // The switch that waits for the confirmation holds the lock.
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

/// The confirmation that is awaited now, or after the next boot.
pub fn pending(root: &Root) -> Option<Awaited> {
    read(&root.at(LIVE))
        .or_else(|| demanded(root).map(|(_, awaited)| awaited))
        .or_else(|| next(root))
}

/// At boot: removes the confirmation files of trials that have ended.
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

/// The confirmation that the generation on trial needs.
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

/// Waits until the condition holds; false if it did not in time.
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

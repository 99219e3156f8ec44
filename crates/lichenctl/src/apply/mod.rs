//! Switch, test, boot, dry-run, rollback: from a toplevel to what runs, and what boots next.
//!
//! A generation that was switched to live is not good yet: it has never booted. The next boot is its trial, and
//! the good one stays the one that is known to boot. The state slot is written after the new generation was
//! found healthy, so that a cut in the middle of a switch boots what ran before. A soft-reboot is a trial with a
//! single try, which is counted in the slot before it begins.

mod change;
mod origin;
mod switch;
#[cfg(test)]
mod tests;

pub use protocol::command::Verb;

use self::change::Change;
use self::origin::Origin;
use crate::confirm::Confirmation;
use crate::generations::{self, Booted, Running, TRIES};
use crate::hint::Hint;
use crate::lock::GenerationsLock;
use crate::plan::Plan;
use crate::profile;
use crate::record;
use crate::root::Root;
use crate::state::{BootState, Generation, State};
use crate::toplevel::Toplevel;
use crate::trust;
use anyhow::Result;
use assemble::Stack;
use std::path::Path;

/// Why a generation does not run, though nothing else is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It ran and was not healthy. Worth an exit status of its own.
    #[error("{what}; {then}")]
    Unsuccessful {
        /// What went wrong.
        what: String,
        /// What was done about it.
        then: String,
    },
    /// There must be no second change before the first has proved itself.
    #[error("generation {0} is on trial: it has to be blessed, or to fail, first")]
    OnTrial(Generation),
    /// There is none to go back to.
    #[error("there is no generation to go back to")]
    NoneBefore,
    /// It is not on BOOT.
    #[error("there is no generation {0} on this device")]
    NoSuch(Generation),
    /// No service has other data now than when it was left.
    #[error("there is nothing to restore for generation {0}: no copy of data in its versions")]
    NoCopy(Generation),
}

impl Hint for ApplyError {
    fn hint(&self) -> &'static str {
        match self {
            Self::Unsuccessful { .. } => "`journalctl -b -p warning` shows what the units said",
            Self::OnTrial(_) => "`lichenctl status` shows it; `lichenctl rollback` gives it up",
            Self::NoCopy(_) => "without --restore-state the data stay as they are",
            Self::NoneBefore | Self::NoSuch(_) => "`lichenctl list` shows them all",
        }
    }
}

/// What [`apply`] would do, without doing any of it.
pub fn dry_run(root: &Root, toplevel: &Path) -> Result<Plan> {
    let _lock = GenerationsLock::take(root)?;
    let to = Toplevel::load(root, toplevel)?;
    to.verify(root)?;
    trust::check(root, &to.path)?;
    let origin = Origin::read(root)?;
    let (plan, _) = origin.plan(root, &to)?;
    Stack::forget_others(&[&origin.stack])?;
    Ok(plan)
}

/// How a change is to be carried out.
#[derive(Clone, Copy)]
struct How<'a> {
    verb: Verb,
    /// Whether what ran before runs again if this does not get healthy.
    go_back: bool,
    /// How many boots a trial gets.
    tries: u64,
    confirmation: Option<&'a Confirmation>,
    /// The generation that a rollback leads to, and whether to restore its data.
    rollback: Option<(Generation, bool)>,
}

/// Does `verb` to a toplevel whose closure is on the device. Where that takes a trial boot, there are so many `tries`.
pub fn apply(
    root: &Root,
    toplevel: &Path,
    verb: Verb,
    tries: u64,
    confirmation: Option<&Confirmation>,
) -> Result<()> {
    let lock = GenerationsLock::take(root)?;
    let how = How {
        verb,
        go_back: true,
        tries,
        confirmation,
        rollback: None,
    };
    let result = admit(root, toplevel).and_then(|to| carry_out(root, &to, how, &lock));
    if result.is_err()
        && let Some(generation) = Running::read(root).generation
    {
        // A client sets the profile before it activates, and does not take that back.
        profile::point(root, generation)?;
    }
    result
}

/// Whether there may be a change at all, and to this.
fn admit(root: &Root, toplevel: &Path) -> Result<Toplevel> {
    let to = Toplevel::load(root, toplevel)?;
    to.verify(root)?;
    trust::check(root, &to.path)?;
    match on_trial(root)? {
        Some(generation) => Err(ApplyError::OnTrial(generation).into()),
        None => Ok(to),
    }
}

/// Returns to generation `number`; without one to the good one, or from that to the one before. It stays there,
/// unless a confirmation was asked for.
pub fn rollback(
    root: &Root,
    number: Option<Generation>,
    restore: bool,
    confirmation: Option<&Confirmation>,
) -> Result<()> {
    let lock = GenerationsLock::take(root)?;
    let on_boot = generations::on_boot(root)?;
    let state = BootState::load(&root.at("boot"))?.state();
    let from = Running::read(root);
    let running = from.generation;
    let numbers: Vec<_> = on_boot
        .iter()
        .filter(|(_, env)| env.toplevel.is_some())
        .map(|(g, _)| *g)
        .collect();
    let target = target(number, &numbers, running, state)?;
    let env = on_boot.into_iter().find(|(g, _)| *g == target);
    let toplevel = env
        .and_then(|(_, env)| env.toplevel)
        .ok_or(ApplyError::NoSuch(target))?;
    let to = Toplevel::load(root, Path::new(&toplevel))?;
    to.verify(root)?;
    let how = How {
        verb: Verb::Switch,
        go_back: confirmation.is_some(),
        tries: TRIES,
        confirmation,
        rollback: Some((target, restore)),
    };
    carry_out(root, &to, how, &lock)?;
    let left = from.toplevel.filter(|left| *left != to.path);
    left.map_or(Ok(()), |left| record::rolled_back(root, &left))
}

/// Where a rollback leads.
fn target(
    asked: Option<Generation>,
    all: &[Generation],
    running: Option<Generation>,
    state: State,
) -> Result<Generation, ApplyError> {
    if let Some(number) = asked {
        let known = all.contains(&number);
        return known.then_some(number).ok_or(ApplyError::NoSuch(number));
    }
    if running != Some(state.good) {
        return Ok(state.good);
    }
    let before = all.iter().copied().filter(|g| *g < state.good);
    before.max().ok_or(ApplyError::NoneBefore)
}

/// The generation that was booted, or is about to be by a soft-reboot, while it is on trial.
fn on_trial(root: &Root) -> Result<Option<Generation>> {
    let state = BootState::load(&root.at("boot"))?.state();
    let booted = Booted::soon(root).unwrap_or_else(|| Booted::read(root));
    let trial = state.trial.map(|trial| trial.generation);
    Ok(trial
        .filter(|generation| Some(*generation) == booted.generation && *generation != state.good))
}

/// Prepare, run, commit: until it runs nothing has changed, and until it is committed the next boot is of what ran
/// before.
fn carry_out(root: &Root, to: &Toplevel, how: How<'_>, lock: &GenerationsLock) -> Result<()> {
    let mut change = Change::prepare(root, to, how, lock)?;
    change.run()?;
    change.commit()
}

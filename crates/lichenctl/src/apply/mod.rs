//! Switch, test, boot, dry-run and rollback: change the running generation and the one that boots next.
//!
//! A generation that was switched to live is not good yet, because it has never booted. Its next boot is its trial;
//! until then, the good generation remains the one that is known to boot. The state slot is written only after the new
//! generation was found healthy, so after a power cut during a switch the previous generation boots. A soft-reboot is a
//! trial with a single try, which is counted in the slot before the soft-reboot begins.

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

/// Why a generation does not run although the command itself worked.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The generation ran and was not healthy. This has an exit status of its own.
    #[error("{what}; {then}")]
    Unsuccessful {
        /// What went wrong.
        what: String,
        /// What was done about it.
        then: String,
    },
    /// A trial must end before another change begins.
    #[error(
        "generation {0} is on trial: no other change is possible until it is blessed or has failed"
    )]
    OnTrial(Generation),
    /// There is no generation to go back to.
    #[error("there is no generation to go back to")]
    NoneBefore,
    /// The generation is not on BOOT.
    #[error("there is no generation {0} on this device")]
    NoSuch(Generation),
    /// There is no copy of service data to restore.
    #[error(
        "nothing can be restored for generation {0}: there is no copy of service data in the versions that it needs"
    )]
    NoCopy(Generation),
}

impl Hint for ApplyError {
    fn hint(&self) -> &'static str {
        match self {
            Self::Unsuccessful { .. } => {
                "`journalctl -b -p warning` shows the warnings and errors of the units"
            }
            Self::OnTrial(_) => "`lichenctl status` shows the trial; `lichenctl rollback` ends it",
            Self::NoCopy(_) => {
                "leave out --restore-state to roll back and leave the data as they are"
            }
            Self::NoneBefore | Self::NoSuch(_) => {
                "`lichenctl list` shows the generations on this device"
            }
        }
    }
}

/// Reports what [`apply`] would do, without doing it.
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
    /// Whether to return to the previous generation if the new one does not become healthy.
    go_back: bool,
    /// How many boots a trial gets.
    tries: u64,
    confirmation: Option<&'a Confirmation>,
    /// The generation that a rollback leads to, and whether to restore its data.
    rollback: Option<(Generation, bool)>,
}

/// Applies `verb` to a toplevel whose closure is on the device. A trial boot gets `tries` attempts.
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
    let ran_before = generations::known_as(root, toplevel);
    let result = admit(root, toplevel).and_then(|to| carry_out(root, &to, how, &lock));
    if result.is_err() {
        // A client sets the profile before it activates, and does not undo that.
        if let Some(generation) = Running::read(root).generation {
            profile::point(root, generation)?;
        }
        let toplevel = toplevel
            .canonicalize()
            .unwrap_or_else(|_| toplevel.to_owned());
        profile::forget(root, &toplevel.to_string_lossy(), &ran_before)?;
    }
    result
}

/// Whether a change to this toplevel is possible now.
fn admit(root: &Root, toplevel: &Path) -> Result<Toplevel> {
    let to = Toplevel::load(root, toplevel)?;
    to.verify(root)?;
    trust::check(root, &to.path)?;
    match on_trial(root)? {
        Some(generation) => Err(ApplyError::OnTrial(generation).into()),
        None => Ok(to),
    }
}

/// Returns to generation `number`. Without a number it returns to the good generation, or from the good one to the
/// one before it. The device stays there, unless a confirmation was requested.
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

/// Has generation `number`, which ran here before, boot next: on trial, with a single try.
pub fn try_earlier(root: &Root, number: Generation, lock: &GenerationsLock) -> Result<()> {
    let toplevel = generations::toplevel(root, number).ok_or(ApplyError::NoSuch(number))?;
    let to = Toplevel::load(root, Path::new(&toplevel))?;
    to.verify(root)?;
    let how = How {
        verb: Verb::Boot,
        go_back: true,
        tries: 1,
        confirmation: None,
        rollback: Some((number, false)),
    };
    carry_out(root, &to, how, lock)
}

/// The generation that a rollback leads to.
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
    // What was tried and failed is no way back.
    let failed = state.out_of_tries();
    let before = all
        .iter()
        .copied()
        .filter(|g| *g < state.good && Some(*g) != failed);
    before.max().ok_or(ApplyError::NoneBefore)
}

/// The generation on trial, if it is the one that was booted or that a soft-reboot is about to start.
pub(crate) fn on_trial(root: &Root) -> Result<Option<Generation>> {
    let state = BootState::load(&root.at("boot"))?.state();
    let booted = Booted::soon(root).unwrap_or_else(|| Booted::read(root));
    let trial = state.trial.map(|trial| trial.generation);
    Ok(trial
        .filter(|generation| Some(*generation) == booted.generation && *generation != state.good))
}

/// Prepares, runs and commits a change. Nothing has changed until the new generation runs; until the commit, the next
/// boot starts the previous one.
fn carry_out(root: &Root, to: &Toplevel, how: How<'_>, lock: &GenerationsLock) -> Result<()> {
    let mut change = Change::prepare(root, to, how, lock)?;
    change.run()?;
    change.commit()
}

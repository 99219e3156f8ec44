//! The boot state: which generation is good, and which one is on trial.
//!
//! It is stored on BOOT in two slots. The boot script and this crate read the slot with the higher `seq` and write the
//! other one, so a torn write loses the change but never the state. Load → decide (pure) → write:
//!
//! ```no_run
//! # use lichenctl::state::{BootState, Generation};
//! BootState::load("/boot".as_ref())?.boot(Generation(12), 3)?.write()?;
//! # Ok::<(), lichenctl::state::StateError>(())
//! ```
//!
//! It refuses to bless a generation that was not on trial, and never counts tries for the good one: after a few power
//! cuts that would leave a device with nothing to boot.

mod slot;
#[cfg(test)]
pub(crate) mod tests;

pub use protocol::Generation;
#[cfg(test)]
pub(crate) use slot::encode;
pub use slot::{SLOT_SIZE, SlotError};

use crate::hint::Hint;
use durable::cut;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// A generation that is booted before it is blessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The generation on trial (`next`).
    pub generation: Generation,
    /// How many more boots it gets before the good one is booted again.
    pub tries: u64,
}

/// What one slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Counts writes; the higher one wins.
    pub seq: u64,
    /// The generation that is known to be healthy.
    pub good: Generation,
    /// The generation to try first, if there is one.
    pub trial: Option<Trial>,
}

impl State {
    /// The boot script's decision for this state: the generation that it boots, and the state that it writes first.
    pub fn at_boot(self) -> (Generation, Option<State>) {
        match self.trial {
            Some(trial) if trial.tries > 0 && trial.generation != self.good => {
                let counted = Trial {
                    tries: trial.tries - 1,
                    ..trial
                };
                (
                    trial.generation,
                    Some(State {
                        seq: self.seq.saturating_add(1),
                        trial: Some(counted),
                        ..self
                    }),
                )
            }
            _ => (self.good, None),
        }
    }

    /// The generation whose tries are used up: it was tried and never blessed, unless it is on its last try now.
    pub fn out_of_tries(self) -> Option<Generation> {
        self.trial
            .filter(|t| t.tries == 0 && t.generation != self.good)
            .map(|t| t.generation)
    }

    fn with(self, good: Generation, trial: Option<Trial>) -> Result<State, StateError> {
        if (self.good, self.trial) == (good, trial) {
            return Ok(self);
        }
        let seq = self.seq.checked_add(1).ok_or(StateError::Exhausted)?;
        Ok(State { seq, good, trial })
    }
}

/// Why the boot state cannot be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Neither slot is valid.
    #[error("no valid boot state in {}: st0.env {zero}, st1.env {one}", dir.display())]
    NoValidSlot {
        /// The directory of the slots.
        dir: PathBuf,
        /// What is wrong with the first slot.
        zero: SlotError,
        /// What is wrong with the second slot.
        one: SlotError,
    },
    /// The generation was not on trial.
    #[error("generation {running} was not on trial: generation {good} is good{}", trial_words(.trial))]
    NotOnTrial {
        /// The generation that was to be blessed.
        running: Generation,
        /// The good generation.
        good: Generation,
        /// The generation on trial.
        trial: Option<Trial>,
    },
    /// A trial without tries would never be booted.
    #[error("generation {0} needs at least one try")]
    NoTries(Generation),
    /// The number is at its maximum of 2⁶⁴ − 1, so it must be damaged.
    #[error("the sequence number of the boot state cannot be increased any further")]
    Exhausted,
    /// The other slot could not be written; the state is unchanged.
    #[error("cannot write the boot state to {}: {source}", path.display())]
    Write {
        /// The slot's file.
        path: PathBuf,
        /// Why the write failed.
        source: std::io::Error,
    },
}

fn trial_words(trial: &Option<Trial>) -> String {
    trial.map_or_else(String::new, |t| {
        format!(", generation {} is on trial", t.generation)
    })
}

impl Hint for StateError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoValidSlot { .. } => {
                "check with `findmnt /boot` that BOOT is mounted; if it is, write the image to the card again"
            }
            Self::NotOnTrial { .. } | Self::Exhausted => "`lichenctl status` shows the boot state",
            Self::NoTries(_) => "the usual number of tries is 3",
            Self::Write { .. } => {
                "BOOT must be mounted, writable and not full: check with `findmnt /boot` and `df /boot`"
            }
        }
    }
}

/// The boot state of a device, as loaded from BOOT or decided anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootState {
    dir: PathBuf,
    /// The slot that the state was loaded from; this slot is never written.
    current: usize,
    loaded: State,
    state: State,
}

impl BootState {
    /// Loads the valid slot with the highest `seq`; on a tie the first, as the boot script does.
    pub fn load(dir: &Path) -> Result<Self, StateError> {
        let (current, state) = match (slot::read(&path(dir, 0)), slot::read(&path(dir, 1))) {
            (Ok(zero), Ok(one)) if one.seq > zero.seq => (1, one),
            (Ok(zero), _) => (0, zero),
            (Err(_), Ok(one)) => (1, one),
            (Err(zero), Err(one)) => {
                return Err(StateError::NoValidSlot {
                    dir: dir.into(),
                    zero,
                    one,
                });
            }
        };
        Ok(Self {
            dir: dir.into(),
            current,
            loaded: state,
            state,
        })
    }

    /// The state as it is, or as decided and not yet written.
    pub fn state(&self) -> State {
        self.state
    }

    /// Boot: `generation` is tried at the next boot. The good generation needs no trial and gets no tries.
    pub fn boot(self, generation: Generation, tries: u64) -> Result<Self, StateError> {
        if tries == 0 {
            return Err(StateError::NoTries(generation));
        }
        let trial = (generation != self.state.good).then_some(Trial { generation, tries });
        let good = self.state.good;
        self.decide(good, trial)
    }

    /// Soft-reboot: `generation` is tried immediately, without the boot script. As in the boot script, the try is
    /// counted before it begins. It is the only try: any reset in between boots the good generation.
    pub fn try_now(self, generation: Generation) -> Result<Self, StateError> {
        let good = self.state.good;
        let trial = (generation != good).then_some(Trial {
            generation,
            tries: 0,
        });
        self.decide(good, trial)
    }

    /// Bless: the running generation was on trial and is healthy. Blessing the good generation changes nothing, so a
    /// unit may bless at every boot.
    pub fn bless(self, running: Generation) -> Result<Self, StateError> {
        let State { good, trial, .. } = self.state;
        match trial {
            Some(t) if t.generation == running => self.decide(running, None),
            _ if running == good => Ok(self),
            _ => Err(StateError::NotOnTrial {
                running,
                good,
                trial,
            }),
        }
    }

    /// Give up: the good generation boots next, however many tries `generation` has left. The state still shows which
    /// trial failed.
    pub fn give_up(self, generation: Generation) -> Result<Self, StateError> {
        let State { good, trial, .. } = self.state;
        let over = |trial: Trial| match trial.generation == generation {
            true => Trial { tries: 0, ..trial },
            false => trial,
        };
        self.decide(good, trial.map(over))
    }

    /// Rollback: ends the trial; the good generation boots next.
    pub fn rollback(self) -> Result<Self, StateError> {
        let good = self.state.good;
        self.decide(good, None)
    }

    fn decide(self, good: Generation, trial: Option<Trial>) -> Result<Self, StateError> {
        Ok(Self {
            state: self.state.with(good, trial)?,
            ..self
        })
    }

    /// Writes the decision over the slot that is *not* current; does nothing if nothing was decided.
    pub fn write(self) -> Result<Self, StateError> {
        if self.state == self.loaded {
            return Ok(self);
        }
        // Several decisions in a row become a single write.
        let state = State {
            seq: self
                .loaded
                .seq
                .checked_add(1)
                .ok_or(StateError::Exhausted)?,
            ..self.state
        };
        let other = 1 - self.current;
        let path = path(&self.dir, other);
        heal(&path)
            .and_then(|()| durable::overwrite(&path, &slot::encode(state)))
            .map_err(|source| StateError::Write { path, source })?;
        cut::point("slot");
        Ok(Self {
            current: other,
            loaded: state,
            state,
            ..self
        })
    }
}

fn path(dir: &Path, slot: usize) -> PathBuf {
    dir.join(["st0.env", "st1.env"][slot])
}

/// Restores the size of 512 bytes of a slot that was deleted, or truncated by a file-system repair. A valid slot is
/// never resized; an invalid one holds nothing that could be lost.
fn heal(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if file.metadata()?.len() != SLOT_SIZE as u64 {
        file.set_len(SLOT_SIZE as u64)?;
        file.sync_all()?;
        durable::sync_entry(path)?;
    }
    Ok(())
}

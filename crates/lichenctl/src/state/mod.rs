//! The boot state: which generation is good, and which one is on trial.
//!
//! It lives on BOOT in two slots, of which the boot script and this crate read the one with the higher `seq`
//! and write the other: a torn write costs the change, never the state. Load → decide (pure) → write:
//!
//! ```no_run
//! # use lichenctl::state::{BootState, Generation};
//! BootState::load("/boot".as_ref())?.boot(Generation(12), 3)?.write()?;
//! # Ok::<(), lichenctl::state::StateError>(())
//! ```
//!
//! It refuses to bless a generation that was not on trial, and never counts tries for one that is good
//! already: that would, after a few unlucky power cuts, leave a device with nothing to boot.

mod slot;
#[cfg(test)]
pub(crate) mod tests;

pub use protocol::Generation;
#[cfg(test)]
pub(crate) use slot::encode;
pub use slot::{SLOT_SIZE, SlotError};

use crate::durable::{self, cut};
use crate::hint::Hint;
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
    /// What the boot script does with this state: the generation it boots, and the state it writes before.
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

    /// The generation whose tries are used up: it was tried and never blessed, unless this is its last try.
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

/// Why the boot state can't be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Neither slot can be used.
    #[error("no valid boot state in {}: st0.env {zero}, st1.env {one}", dir.display())]
    NoValidSlot {
        /// The folder of the slots.
        dir: PathBuf,
        /// What is wrong with the first.
        zero: SlotError,
        /// What is wrong with the second.
        one: SlotError,
    },
    /// The generation was not on trial.
    #[error("generation {running} was not on trial: generation {good} is good{}", trial_words(.trial))]
    NotOnTrial {
        /// The generation to be blessed.
        running: Generation,
        /// The good one.
        good: Generation,
        /// The one that is on trial.
        trial: Option<Trial>,
    },
    /// A trial without a try would never be booted.
    #[error("generation {0} needs at least one try")]
    NoTries(Generation),
    /// 2⁶⁴ writes; the number is damaged.
    #[error("the boot state's seq can't be counted any further")]
    Exhausted,
    /// The other slot could not be written; the state is as it was.
    #[error("cannot write the boot state to {}: {source}", path.display())]
    Write {
        /// The slot's file.
        path: PathBuf,
        /// Why not.
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
                "is BOOT mounted? `findmnt /boot`; else write the image to the card anew"
            }
            Self::NotOnTrial { .. } | Self::Exhausted => "`lichenctl status` shows the boot state",
            Self::NoTries(_) => "3 tries are usual",
            Self::Write { .. } => "`findmnt /boot`: BOOT must be mounted, writable, and not full",
        }
    }
}

/// The boot state of a device, as loaded from BOOT or decided anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootState {
    dir: PathBuf,
    /// The slot the state was loaded from; never the one that is written.
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

    /// Boot: `generation` is tried at the next boot. A good one needs no trial and gets no count.
    pub fn boot(self, generation: Generation, tries: u64) -> Result<Self, StateError> {
        if tries == 0 {
            return Err(StateError::NoTries(generation));
        }
        let trial = (generation != self.state.good).then_some(Trial { generation, tries });
        let good = self.state.good;
        self.decide(good, trial)
    }

    /// Soft-reboot: `generation` is tried at once, without the boot script. The try is counted before it is made, as
    /// the boot script does, and it is the only one: whatever resets the device in between boots the good one.
    pub fn try_now(self, generation: Generation) -> Result<Self, StateError> {
        let good = self.state.good;
        let trial = (generation != good).then_some(Trial {
            generation,
            tries: 0,
        });
        self.decide(good, trial)
    }

    /// Bless: the running generation was on trial and is healthy. Blessing the good one changes nothing, so
    /// that a unit may bless at every boot.
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

    /// Give up: whatever tries are left to `generation`, the good one is booted next. Which trial failed stays
    /// known.
    pub fn give_up(self, generation: Generation) -> Result<Self, StateError> {
        let State { good, trial, .. } = self.state;
        let over = |trial: Trial| match trial.generation == generation {
            true => Trial { tries: 0, ..trial },
            false => trial,
        };
        self.decide(good, trial.map(over))
    }

    /// Rollback: no trial any more; the good generation is booted next.
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

    /// Writes what was decided over the slot that is *not* current; nothing, if nothing was decided.
    pub fn write(self) -> Result<Self, StateError> {
        if self.state == self.loaded {
            return Ok(self);
        }
        // However many verbs led here, this is one write.
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

/// Gives a slot that was deleted, or cut short by a repair of the file system, its 512 bytes back. A slot in
/// order is never resized; one that is not was not valid, so there is nothing in it to lose.
fn heal(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    if file.metadata()?.len() != SLOT_SIZE as u64 {
        file.set_len(SLOT_SIZE as u64)?;
        file.sync_all()?;
        durable::sync_dir(path)?;
    }
    Ok(())
}

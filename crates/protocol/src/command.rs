//! The commands that a host sends to a device, and their exit statuses.
//!
//! The host builds its command lines here, and a test of `lichenctl` parses each of them, so the two cannot diverge.

use crate::{Generation, progress};

/// The longest time limit for a confirmation, in seconds: lichen-bless.service is given that much more time.
pub const LONGEST_CONFIRMATION: u64 = 600;

/// How a device begins to say that nobody confirmed a change in time. Hosts only choose a hint by it.
pub const UNCONFIRMED: &str = "not confirmed within";

/// What to do with a toplevel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it now, and boot it from then on.
    Switch,
    /// Run it now, until the next boot.
    Test,
    /// Boot it from the next boot on.
    Boot,
}

/// A command for `lichenctl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Print a [`crate::status::Status`] as JSON.
    Status,
    /// Print a [`crate::transfer::Missing`] as JSON, about the store paths on standard input, one per line.
    Missing,
    /// Receive the stream on standard input, and print a [`crate::transfer::Received`] as JSON.
    Receive,
    /// Print, for people, what a switch would do.
    DryRun {
        /// The store path of the toplevel.
        toplevel: &'a str,
    },
    /// Activate a toplevel.
    Apply {
        /// How to activate it.
        verb: Verb,
        /// Its store path.
        toplevel: &'a str,
        /// Roll back unless [`Command::Confirm`] arrives within this many seconds after it is healthy.
        confirm_within: Option<u64>,
    },
    /// Return to a generation, or to the good one.
    Rollback {
        /// The generation.
        generation: Option<Generation>,
    },
    /// Confirm that the device can be reached, so the running generation stays.
    Confirm,
    /// Write a backup to standard output, encrypted to the keys of the device's configuration and to these.
    Backup {
        /// Public keys of age.
        recipients: &'a [String],
    },
    /// Restore the decrypted backup on standard input.
    Restore,
    /// Give a secret that the device made a new value.
    RotateSecret {
        /// Its name.
        name: &'a str,
    },
}

impl Command<'_> {
    /// The arguments of `lichenctl`.
    pub fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Status => words(&["status", "--json"]),
            Self::Missing => words(&["missing"]),
            Self::Receive => words(&["receive"]),
            Self::DryRun { toplevel } => words(&["dry-run", toplevel]),
            Self::Apply {
                verb,
                toplevel,
                confirm_within,
            } => {
                let verb = match verb {
                    Verb::Switch => "switch",
                    Verb::Test => "test",
                    Verb::Boot => "boot",
                };
                let mut all: Vec<_> = words(&[verb, toplevel]);
                if let Some(seconds) = confirm_within {
                    all.extend(["--confirm-within".to_owned(), seconds.to_string()]);
                }
                all
            }
            Self::Rollback { generation } => {
                let mut all: Vec<_> = words(&["rollback"]);
                all.extend(generation.map(|generation| generation.to_string()));
                all
            }
            Self::Confirm => words(&["confirm"]),
            Self::Backup { recipients } => {
                let mut all: Vec<_> = words(&["backup", "-"]);
                for key in *recipients {
                    all.extend(["--recipient".to_owned(), key.clone()]);
                }
                all
            }
            Self::Restore => words(&["restore"]),
            Self::RotateSecret { name } => words(&["secret", "rotate", name]),
        }
    }

    /// The command line for the device's shell. It requests [`progress`] as JSON lines through an environment variable,
    /// which an older lichenctl ignores.
    pub fn line(&self) -> String {
        let (variable, version) = (progress::VARIABLE, progress::VERSION);
        let words: Vec<_> = self.arguments().iter().map(|word| quoted(word)).collect();
        format!("{variable}={version} lichenctl {}", words.join(" "))
    }
}

/// Quotes a word for the device's shell.
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// How `lichenctl` ended, from its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Success.
    Done = 0,
    /// It failed, and nothing was changed.
    Failed = 1,
    /// The command or one of its options does not exist: host and device have different versions.
    WrongUsage = 2,
    /// The generation ran, but was unhealthy or not confirmed, and the previous one runs again. The number is the one
    /// that NixOS's switch-to-configuration uses if units failed after the activation.
    Unsuccessful = 4,
}

impl Outcome {
    /// The meaning of an exit status.
    pub fn of(code: i32) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::WrongUsage,
            4 => Self::Unsuccessful,
            _ => Self::Failed,
        }
    }

    /// The exit status.
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;

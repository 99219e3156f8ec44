//! The commands that a host gives to a device, and how they end.
//!
//! Both ends are held to this: the host makes its command lines here, and a test of `lichenctl` parses each of them.

use crate::{Generation, progress};

/// The longest time that may be given for a confirmation, in seconds: lichen-bless.service is given as much more.
pub const LONGEST_CONFIRMATION: u64 = 600;

/// What is to become of a toplevel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it now, and from now on.
    Switch,
    /// Run it now, until the next boot.
    Test,
    /// Run it from the next boot on.
    Boot,
}

/// What `lichenctl` is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Print a [`crate::status::Status`] as JSON.
    Status,
    /// Print a [`crate::transfer::Missing`] as JSON, about the store paths on standard input, one a line.
    Missing,
    /// Take in the stream on standard input, and print a [`crate::transfer::Received`] as JSON.
    Receive,
    /// Say, for people, what a switch would do.
    DryRun {
        /// To what.
        toplevel: &'a str,
    },
    /// Make a toplevel run.
    Apply {
        /// How.
        verb: Verb,
        /// Its store path.
        toplevel: &'a str,
        /// Go back unless [`Command::Confirm`] comes so many seconds after it is healthy.
        confirm_within: Option<u64>,
    },
    /// Return to a generation, or to the good one.
    Rollback {
        /// Which.
        generation: Option<Generation>,
    },
    /// What runs can be reached, and stays.
    Confirm,
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
        }
    }

    /// The line for the device's shell. It asks for [`progress`] as JSON lines, by a variable that a lichenctl which
    /// has none of them does not look at.
    pub fn line(&self) -> String {
        let (variable, version) = (progress::VARIABLE, progress::VERSION);
        let words: Vec<_> = self.arguments().iter().map(|word| quoted(word)).collect();
        format!("{variable}={version} lichenctl {}", words.join(" "))
    }
}

/// A word for the shell on the device.
pub fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// How `lichenctl` ended: its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// It was done.
    Done = 0,
    /// It could not be done, and nothing was changed.
    Failed = 1,
    /// There is no such command, or it has no such option: host and device are of different ages.
    WrongUsage = 2,
    /// The generation ran, and was not healthy or not confirmed: what ran before runs again. The number is that of
    /// NixOS's own switch-to-configuration when units failed after the activation.
    Unsuccessful = 4,
}

impl Outcome {
    /// What an exit status says.
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

//! What a device tells of its resets, and of what recovery has done: a part of the status document, and of `/health/detailed`
//! of its services.

use crate::Generation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Why the device, or its userspace, began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It went off without a word, and its watchdog says that it was not the cause.
    Power,
    /// It went off without a word, and this board's watchdog does not say whether it was the cause.
    PowerOrWatchdog,
    /// The watchdog has reset a machine that hung.
    Watchdog,
    /// The kernel panicked.
    Panic,
    /// Somebody asked for it, or a program on the device.
    Asked,
    /// Another generation was to run.
    Update,
    /// A generation on trial was given up.
    Trial,
    /// A service did not stay up, or something else that a reboot may help.
    Recovery,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Power,
        Self::PowerOrWatchdog,
        Self::Watchdog,
        Self::Panic,
        Self::Asked,
        Self::Update,
        Self::Trial,
        Self::Recovery,
    ];

    /// The word in JSON and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::PowerOrWatchdog => "power-or-watchdog",
            Self::Watchdog => "watchdog",
            Self::Panic => "panic",
            Self::Asked => "asked",
            Self::Update => "update",
            Self::Trial => "trial",
            Self::Recovery => "recovery",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Power => "power cut, or a reset by force",
            Self::PowerOrWatchdog => "power cut, or a hang (this board's watchdog does not tell)",
            Self::Watchdog => "the watchdog, as the device hung",
            Self::Panic => "panic of the kernel",
            Self::Asked => "asked for",
            Self::Update => "update",
            Self::Trial => "trial given up",
            Self::Recovery => "recovery",
        })
    }
}

/// One reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// Its reason.
    pub reason: Reason,
    /// What is known besides, in a line; may be empty.
    pub why: String,
    /// The generation that was booted after it.
    pub generation: Option<Generation>,
    /// Seconds since 1970 when the device was back, by its clock, which may not have been set yet.
    pub at: u64,
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why.as_str() {
            "" => write!(f, "{}", self.reason),
            why => write!(f, "{}: {why}", self.reason),
        }
    }
}

/// The resets of a device, and its recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recovery {
    /// The last resets, the latest last.
    pub resets: Vec<Reset>,
    /// How many there were, by reason, since the card was written.
    pub counts: BTreeMap<Reason, u64>,
    /// How often recovery has rebooted within the last day of running.
    pub reboots: usize,
    /// How often it may.
    pub limit: usize,
    /// The services that do not stay up while no further reboot is allowed.
    pub waiting: Vec<String>,
}

/// How many resets the status shows in words.
const SHOWN: usize = 3;

impl Recovery {
    /// The last resets in words, the latest first.
    pub(crate) fn reset_words(&self) -> impl Iterator<Item = String> {
        self.resets.iter().rev().take(SHOWN).map(Reset::to_string)
    }

    /// What recovery has done within the last day, if anything.
    pub(crate) fn words(&self) -> Option<String> {
        let Self { reboots, limit, .. } = self;
        if *reboots == 0 && self.waiting.is_empty() {
            return None;
        }
        let mut words = format!("{reboots} of {limit} reboots of a day are used");
        if !self.waiting.is_empty() {
            let units = self.waiting.join(", ");
            words += &format!("; the device stays up without {units}");
        }
        Some(words)
    }
}

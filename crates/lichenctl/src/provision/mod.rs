//! `lichen.toml`: what a device is told by the card it boots from.
//!
//! ```toml
//! hostname = "rack7"
//! timezone = "Europe/Berlin"
//! [wifi]
//! ssid = "attic"
//! passphrase = "correct horse"        # left out: an open network
//! country = "DE"
//! [ssh]
//! authorized_keys = ["ssh-ed25519 AAAA… me@laptop"]    # root's
//! [secrets]
//! "climate.bearer-token" = "…"        # the credential a unit imports by this name
//! ```
//!
//! A file on BOOT that is right is stored on DATA, and only when that is durable wiped from BOOT, for BOOT
//! can be read by whoever holds the card. One that is wrong in any point is not used at all: every point is
//! reported on journal and console, the file stays where it is, and what was provisioned earlier stays in
//! force. A later file merges over the stored one: `hostname`, `timezone`, `[wifi]` and `[ssh]` are each
//! replaced whole where the new file has them, secrets one by one.
//!
//! Then, at every boot, what is stored is applied: to the tmpfs above /etc, to /run and to iwd.
//!
//! The plug may be pulled between any two steps: the next boot ends in the same state. A bad file is the
//! user's and no fault of the device: the unit does not fail for it. A device that can't write fails.

mod apply;
mod file;
mod keys;
mod store;
#[cfg(test)]
mod tests;

pub use file::{LIMIT, Problem, Provision, Secret, Ssh, Wifi};
pub use store::understand;

use crate::durable;
use crate::root::Root;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the [`Report`] of this boot is kept.
pub const REPORT: &str = "run/lichen/provision.json";

/// What became of the file on BOOT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// There was none.
    #[default]
    Absent,
    /// It is stored on DATA, and wiped unless a fault says otherwise.
    Stored,
    /// It is wrong, and still on BOOT.
    Rejected,
    /// It is right, but could not be stored; it is still on BOOT.
    Kept,
}

/// What provisioning did at this boot. Names no secret's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What became of `lichen.toml`.
    pub file: Fate,
    /// What is wrong with `lichen.toml`.
    pub problems: Vec<Problem>,
    /// What the device could not do.
    pub faults: Vec<String>,
    /// What is in force now.
    pub applied: Applied,
}

/// What provisioning has put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The host name.
    pub hostname: Option<String>,
    /// The time zone.
    pub timezone: Option<String>,
    /// The name of the Wi-Fi.
    pub wifi: Option<String>,
    /// How many keys may log in as root.
    pub authorized_keys: usize,
    /// The names of the credentials.
    pub secrets: Vec<String>,
}

/// Takes in the file on BOOT, applies what is stored, and leaves the report in /run.
pub fn run(root: &Root) -> Report {
    let mut report = Report::default();
    store::take_in(root, &mut report);
    apply::apply(root, &mut report);
    if let Err(error) = save(root, &report) {
        report.faults.push(format!("{error:#}"));
    }
    report
}

fn save(root: &Root, report: &Report) -> Result<()> {
    let path = root.at(REPORT);
    durable::directory(&root.at("run/lichen"), 0o755)?;
    durable::update(&path, &serde_json::to_vec_pretty(report)?, 0o644)?;
    Ok(())
}

/// The report of this boot, if provisioning has run.
pub fn report(root: &Root) -> Option<Report> {
    serde_json::from_slice(&std::fs::read(root.at(REPORT)).ok()?).ok()
}

impl Report {
    /// Whether the device did what it should. A bad file is not the device's fault.
    pub fn ok(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether there is anything a person has to be told.
    pub fn needs_attention(&self) -> bool {
        !self.ok() || !self.problems.is_empty()
    }

    fn fault(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.faults.push(format!("{error:#}"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Fate::Absent => {}
            Fate::Stored => writeln!(f, "lichen.toml: stored")?,
            Fate::Kept => writeln!(
                f,
                "lichen.toml: could not be stored, stays on BOOT until the next boot"
            )?,
            Fate::Rejected => writeln!(
                f,
                "lichen.toml: not used; what was provisioned earlier stays in force"
            )?,
        }
        for problem in &self.problems {
            writeln!(f, "lichen.toml: {problem}")?;
        }
        for fault in &self.faults {
            writeln!(f, "provision: {fault}")?;
        }
        if self.file == Fate::Rejected {
            writeln!(
                f,
                "hint: correct lichen.toml on the card's BOOT partition and boot again"
            )?;
        }
        Ok(())
    }
}

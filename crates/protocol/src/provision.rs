//! The result of provisioning at the last boot of a device: part of its status.

use crate::lichen_toml::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result for the file on BOOT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// There was no file.
    #[default]
    Absent,
    /// It is stored on DATA, and wiped from BOOT unless a fault says otherwise.
    Stored,
    /// It is invalid, and still on BOOT.
    Rejected,
    /// It is invalid, and still on BOOT; what is right in it is stored, because nothing was before.
    Partial,
    /// It is valid, but could not be stored; it is still on BOOT.
    Kept,
}

/// The result of provisioning at this boot. Contains no secret values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The result for `lichen.toml`.
    pub file: Fate,
    /// The problems with `lichen.toml`.
    pub problems: Vec<Problem>,
    /// The operations that failed on the device.
    pub faults: Vec<String>,
    /// The settings in force now.
    pub applied: Applied,
}

/// The provisioned settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The host name.
    pub hostname: Option<String>,
    /// The time zone.
    pub timezone: Option<String>,
    /// The name of the Wi-Fi.
    pub wifi: Option<String>,
    /// How many SSH keys may log in as root.
    pub authorized_keys: usize,
    /// The names of the credentials.
    pub secrets: Vec<String>,
}

impl Report {
    /// Whether the device did its part. An invalid file is not the device's fault.
    pub fn ok(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether there is something to tell a person.
    pub fn needs_attention(&self) -> bool {
        !self.ok() || !self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Fate::Absent => {}
            Fate::Stored => writeln!(f, "lichen.toml: stored")?,
            Fate::Kept => writeln!(
                f,
                "lichen.toml: could not be stored; it stays on BOOT, and the next boot tries again"
            )?,
            Fate::Rejected => writeln!(
                f,
                "lichen.toml: not used; what was provisioned earlier stays in force"
            )?,
            Fate::Partial => writeln!(
                f,
                "lichen.toml: used but for its mistakes; it stays on BOOT"
            )?,
        }
        for problem in &self.problems {
            writeln!(f, "lichen.toml: {problem}")?;
        }
        for fault in &self.faults {
            writeln!(f, "provision: {fault}")?;
        }
        if matches!(self.file, Fate::Rejected | Fate::Partial) {
            writeln!(
                f,
                "hint: correct lichen.toml on the card's BOOT partition and boot again"
            )?;
        }
        Ok(())
    }
}

//! What a device knows of itself besides its generations: its card, its Wi-Fi, its clock, and what it fell back from. A
//! part of the status document.

use crate::Generation;
use crate::duration::duration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a device knows of itself. What is null cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vitals {
    /// The version of the running toplevel: the release of its configuration, and the time of its Debian packages.
    pub version: Option<String>,
    /// How often a generation was left for the one before it, without anybody asking for that.
    pub fallbacks: u64,
    /// The last time that happened.
    pub fallback: Option<Fallback>,
    /// The card, or whatever disk DATA is on.
    pub card: Option<Card>,
    /// The Wi-Fi interfaces; null if the kernel does not tell.
    pub wifi: Option<Vec<Wifi>>,
    /// The clock.
    pub time: Option<Time>,
}

/// A generation that was left because it did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// The generation that was left.
    pub from: Generation,
    /// Why.
    pub why: String,
    /// Seconds since 1970, by the device's clock, which may not have been set yet.
    pub at: u64,
    /// How many seconds ago that was; null if the clock was set back since.
    #[serde(default)]
    pub seconds_ago: Option<u64>,
}

/// The disk that DATA is on. What is null cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// The kernel's name of it.
    pub disk: String,
    /// The name that its maker gave it.
    pub model: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Bytes written to it since boot.
    pub written: Option<u64>,
    /// Bytes written to DATA since the card was written; a power cut may lose the last hour of the count.
    pub lifetime_written: Option<u64>,
    /// Reads and writes that have failed since boot, as far as the kernel has said so in its messages.
    pub io_errors: Option<u64>,
    /// Errors that the kernel has found in DATA's file system, and that no check has mended since.
    pub data_errors: Option<u64>,
    /// When the last of them was found: seconds since 1970, by the device's clock.
    pub last_data_error: Option<u64>,
    /// Whether DATA takes no writes any more.
    pub read_only: Option<bool>,
}

/// A Wi-Fi interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wifi {
    /// Its name.
    pub interface: String,
    /// How strong the access point is received; null while there is no connection.
    pub signal_dbm: Option<i64>,
}

/// The clock, as the kernel judges it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Time {
    /// Whether it was compared with a time server within the last hours.
    pub synchronized: bool,
    /// By how many seconds it may be wrong; null while it was never compared.
    pub error_seconds: Option<f64>,
}

/// Why an update did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The channel, or what it names, could not be fetched.
    Unreachable,
    /// It is not a channel that a trusted key has signed.
    Untrusted,
    /// It is an old channel, or that of another appliance.
    Another,
    /// What it names failed on this device, now or before, or was rolled back.
    Failed,
    /// Something on the device itself prevents it.
    #[serde(other)]
    Device,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unreachable,
        Self::Untrusted,
        Self::Another,
        Self::Failed,
        Self::Device,
    ];

    /// The word in JSON and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Another => "another",
            Self::Failed => "failed",
            Self::Device => "device",
        }
    }
}

/// Below this uptime, what was written since boot says nothing about a day.
const LONG_ENOUGH: u64 = 60 * 60;
const DAY: u64 = 24 * 60 * 60;

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from generation {}", self.from)?;
        if let Some(seconds) = self.seconds_ago {
            write!(f, ", {} ago", duration(seconds))?;
        }
        write!(f, ": {}", self.why)
    }
}

impl Card {
    /// In words, given for how long the device has been up.
    pub(crate) fn words(&self, uptime: Option<u64>) -> String {
        let mut words = self.disk.clone();
        if let Some(model) = &self.model {
            words += &format!(" ({model})");
        }
        words += ": ";
        words += &match self.written {
            Some(written) => format!("{} written since boot", size(written)),
            None => "what is written cannot be told".to_owned(),
        };
        if let (Some(written), Some(up)) = (self.written, uptime.filter(|up| *up >= LONG_ENOUGH)) {
            let a_day = u128::from(written) * u128::from(DAY) / u128::from(up);
            words += &format!(", {} a day", size(u64::try_from(a_day).unwrap_or(u64::MAX)));
        }
        if let Some(ever) = self.lifetime_written {
            words += &format!(", {} ever", size(ever));
        }
        words + "; " + &self.faults()
    }

    fn faults(&self) -> String {
        let count = |n: Option<u64>, one: &str, where_or_when: &str| {
            let n = n.filter(|n| *n > 0)?;
            let s = if n == 1 { "" } else { "s" };
            Some(format!("{n} {one}{s} {where_or_when}"))
        };
        let read_only = self.read_only == Some(true);
        let faults: Vec<String> = [
            read_only.then(|| "DATA takes no writes any more".to_owned()),
            count(self.io_errors, "I/O error", "since boot"),
            count(self.data_errors, "error", "in DATA's file system"),
        ]
        .into_iter()
        .flatten()
        .collect();
        match faults.as_slice() {
            [] if self.io_errors.is_none() => "errors cannot be told".to_owned(),
            [] => "no errors".to_owned(),
            some => some.join(", "),
        }
    }
}

impl fmt::Display for Wifi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal_dbm {
            Some(signal) => write!(f, "{}: {signal} dBm", self.interface),
            None => write!(f, "{}: not connected", self.interface),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.synchronized, self.error_seconds) {
            (true, Some(error)) => write!(f, "synchronised, wrong by at most {error:.1} s"),
            (true, None) => f.write_str("synchronised"),
            (false, _) => f.write_str("not synchronised: no time server has answered for hours"),
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_tells_how_much_it_wears_and_what_it_suffers() {
        let mut card = Card {
            disk: "mmcblk0".into(),
            model: Some("SC32G".into()),
            written: Some(600_000_000),
            lifetime_written: Some(75_000_000_000),
            io_errors: Some(0),
            data_errors: Some(0),
            read_only: Some(false),
            ..Card::default()
        };
        assert_eq!(
            card.words(Some(2 * DAY)),
            "mmcblk0 (SC32G): 600 MB written since boot, 300 MB a day, 75 GB ever; no errors"
        );
        assert_eq!(
            card.words(Some(60)),
            "mmcblk0 (SC32G): 600 MB written since boot, 75 GB ever; no errors"
        );
        card.io_errors = Some(1);
        card.data_errors = Some(2);
        card.read_only = Some(true);
        assert!(
            card.words(None).ends_with(
                "; DATA takes no writes any more, 1 I/O error since boot, 2 errors in DATA's file system"
            ),
            "{}",
            card.words(None)
        );
    }

    #[test]
    fn what_a_card_cannot_tell_is_not_passed_over() {
        let card = Card {
            disk: "vda".into(),
            ..Card::default()
        };
        assert_eq!(
            card.words(Some(DAY)),
            "vda: what is written cannot be told; errors cannot be told"
        );
    }

    #[test]
    fn a_refusal_that_a_newer_device_tells_is_still_one() {
        let read = |word: &str| serde_json::from_str::<Refusal>(&format!("\"{word}\"")).unwrap();
        for refusal in Refusal::ALL {
            assert_eq!(read(refusal.word()), refusal);
        }
        assert_eq!(read("something-new"), Refusal::Device);
    }
}

//! The number of a generation.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The number of a generation. People see it in decimal; on BOOT it is in hex, like all of U-Boot's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The form on BOOT: in the slots, in `gen/<n>.env` and on the kernel's command line.
    pub fn hex(self) -> String {
        format!("{:x}", self.0)
    }

    /// Parses the form on BOOT: hex digits and nothing else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok());
        number.flatten().map(Self)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

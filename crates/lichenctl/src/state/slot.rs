//! One slot: 512 bytes as U-Boot's `env export -c` writes and `env import -c` reads them.
//!
//! The CRC32 (little endian) of the other 508 bytes, then `key=value\0` …, `\0`, zeros. Numbers are hex without a
//! prefix. Unknown keys are ignored, so that an older generation can read what a newer one wrote.

use super::{Generation, State, Trial};
use std::fs;
use std::path::Path;

/// The fixed size of a slot's file: one sector, which a card writes completely or not at all.
pub const SLOT_SIZE: usize = 512;

/// Why a slot is not valid.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The file cannot be read.
    #[error("cannot be read ({0})")]
    Unreadable(#[from] std::io::Error),
    /// The file has another size.
    #[error("has {0} bytes instead of {SLOT_SIZE}")]
    Size(usize),
    /// The checksum does not match, as after a torn write.
    #[error("has a wrong checksum")]
    Checksum,
    /// The checksum matches, but the content is malformed.
    #[error("is malformed ({0})")]
    Malformed(String),
}

pub(super) fn read(path: &Path) -> Result<State, SlotError> {
    decode(&fs::read(path)?)
}

pub(crate) fn encode(state: State) -> [u8; SLOT_SIZE] {
    let mut text = format!("good={:x}\0", state.good.0);
    if let Some(Trial { generation, tries }) = state.trial {
        text += &format!(
            "next={:x}\0seq={:x}\0tries={tries:x}\0\0",
            generation.0, state.seq
        );
    } else {
        text += &format!("seq={:x}\0\0", state.seq);
    }
    let mut bytes = [0; SLOT_SIZE];
    bytes[4..4 + text.len()].copy_from_slice(text.as_bytes());
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<State, SlotError> {
    let bytes: &[u8; SLOT_SIZE] = bytes.try_into().map_err(|_| SlotError::Size(bytes.len()))?;
    let (crc, data) = bytes.split_at(4);
    if crc != crc32fast::hash(data).to_le_bytes() {
        return Err(SlotError::Checksum);
    }
    let malformed = |what: String| SlotError::Malformed(what);
    let (mut seq, mut good, mut next, mut tries) = (None, None, None, None);
    for entry in data
        .split(|b| *b == 0)
        .take_while(|entry| !entry.is_empty())
    {
        let entry = std::str::from_utf8(entry).map_err(|_| malformed("not text".into()))?;
        let (key, value) = entry
            .split_once('=')
            .ok_or_else(|| malformed(format!("`{entry}` has no value")))?;
        let target = match key {
            "seq" => &mut seq,
            "good" => &mut good,
            "next" => &mut next,
            "tries" => &mut tries,
            _ => continue,
        };
        *target =
            Some(hex(value).ok_or_else(|| malformed(format!("`{entry}` is not a hex number")))?);
    }
    let needed =
        |value: Option<u64>, key| value.ok_or_else(|| malformed(format!("`{key}` is missing")));
    Ok(State {
        seq: needed(seq, "seq")?,
        good: Generation(needed(good, "good")?),
        // The boot script treats a trial without a count as used up.
        trial: next.map(|n| Trial {
            generation: Generation(n),
            tries: tries.unwrap_or(0),
        }),
    })
}

/// Parses U-Boot's numbers: hex digits and nothing else.
fn hex(text: &str) -> Option<u64> {
    text.bytes()
        .all(|b| b.is_ascii_hexdigit())
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
}

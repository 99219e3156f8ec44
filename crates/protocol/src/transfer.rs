//! The transfer of store paths over a connection: the question to the device, the stream from the host, and the answer.
//!
//! The stream consists of [`MAGIC`], the length of a [`Header`] (4 bytes, big endian), the header as JSON, and the
//! bytes of the parts in order, each with the length given in the header and in the format of [`crate::delta::apply`].
//! The device thus knows everything about the stream and can refuse it before it accepts any part, and never mistakes a
//! truncated stream for a complete one.

use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// The beginning of a stream; another format would have another number.
pub const MAGIC: &[u8; 16] = b"lichen-stream 1\n";
/// The largest header, in bytes; a closure of thousands of paths stays far below it.
const LONGEST_HEADER: u32 = 16 << 20;

/// A device's answer to the question which store paths it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The missing paths.
    pub missing: Vec<String>,
    /// Local paths that can serve as bases: those of the running generation first, then those of other generations.
    pub bases: Vec<String>,
    /// The available memory in bytes.
    pub memory: u64,
}

/// A store path as Nix knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathInfo {
    /// The path.
    pub path: String,
    /// The hash of its archive, in any form that Nix accepts.
    pub nar_hash: String,
    /// The size of its archive.
    pub nar_size: u64,
    /// The paths that it refers to.
    pub references: Vec<String>,
    /// Its signatures.
    #[serde(default)]
    pub signatures: Vec<String>,
    /// Its content address, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// One path in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The path's information.
    #[serde(flatten)]
    pub info: PathInfo,
    /// How the path is sent.
    #[serde(flatten)]
    pub coming: Coming,
    /// The number of its bytes in the stream.
    pub bytes: u64,
}

/// How a path is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "coming", rename_all = "lowercase")]
pub enum Coming {
    /// The device already has it: only its signatures are sent.
    Present,
    /// Compressed, without a base.
    Whole,
    /// As a delta.
    Delta {
        /// The path whose archive is the base.
        base: String,
    },
}

/// The header of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The parts, in the order of their bytes.
    pub parts: Vec<Part>,
}

/// The result of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// How many new paths were imported. None if there is anything in `again`.
    pub imported: usize,
    /// Deltas that could not be applied, and why: the host must send these paths in full, and all others again.
    pub again: Vec<(String, String)>,
}

impl Header {
    /// Writes the beginning of a stream.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        to.write_all(MAGIC)?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(&json)
    }

    /// Reads the beginning of a stream.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(wrong("it is not a transfer, or has another format"));
        }
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > LONGEST_HEADER {
            return Err(wrong("its header is too long"));
        }
        let mut json = Vec::new();
        from.take(length.into()).read_to_end(&mut json)?;
        if json.len() != length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&json)?)
    }
}

impl PathInfo {
    /// The description in a binary cache, with the archive at `url`: the format of Nix's `.narinfo` files.
    pub fn narinfo(&self, url: &str) -> String {
        let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let references: Vec<_> = self.references.iter().map(|path| name(path)).collect();
        let mut text = format!(
            "StorePath: {}\nURL: {url}\nCompression: none\nNarHash: {}\nNarSize: {}\nReferences: {}\n",
            self.path,
            self.nar_hash,
            self.nar_size,
            references.join(" ")
        );
        for signature in &self.signatures {
            text += &format!("Sig: {signature}\n");
        }
        if let Some(ca) = &self.ca {
            text += &format!("CA: {ca}\n");
        }
        text
    }

    /// The hash part of its name: 32 characters. None if it is not a store path.
    pub fn hash_part(&self) -> Option<&str> {
        let name = self.path.strip_prefix("/nix/store/")?;
        let (hash, rest) = name.split_once('-')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._?=".contains(c);
        let right = hash.len() == 32 && !rest.is_empty() && name.chars().all(plain);
        right.then_some(hash)
    }
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;

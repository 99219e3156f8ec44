//! How store paths come over a connection: what the device is asked, the stream that the host sends, the answer.
//!
//! The stream is [`MAGIC`], the length of a [`Header`] (4 bytes, the most significant first), the header as JSON, and
//! the parts' bytes one after the other, each of the length that the header says, each what [`crate::delta::apply`]
//! takes. So the device knows all of what is to come, and refuses it, before it takes any; and a stream that ends
//! early is never mistaken for a whole one.

use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// What a stream begins with; another format would have another number.
pub const MAGIC: &[u8; 16] = b"lichen-stream 1\n";
/// A closure of thousands of paths does not come near it.
const LONGEST_HEADER: u32 = 16 << 20;

/// What a device answers to the question which of some store paths it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Those that it lacks.
    pub missing: Vec<String>,
    /// What there is to build them from: what the running generation needs, then what other generations need.
    pub bases: Vec<String>,
    /// Bytes of memory that it can spare.
    pub memory: u64,
}

/// A store path as Nix knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathInfo {
    /// The path.
    pub path: String,
    /// The hash of its archive, in any form that Nix reads.
    pub nar_hash: String,
    /// The size of its archive.
    pub nar_size: u64,
    /// The paths that it refers to.
    pub references: Vec<String>,
    /// Who vouches for it.
    #[serde(default)]
    pub signatures: Vec<String>,
    /// What its content alone proves, if it is named after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// One path of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    #[serde(flatten)]
    pub info: PathInfo,
    /// How it comes.
    #[serde(flatten)]
    pub coming: Coming,
    /// How many bytes of the stream are its.
    pub bytes: u64,
}

/// How a path comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "coming", rename_all = "lowercase")]
pub enum Coming {
    /// The device has it: only its signatures do.
    Present,
    /// Compressed.
    Whole,
    /// As a delta.
    Delta {
        /// Against the archive of this path.
        base: String,
    },
}

/// What is in a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// In the order of their bytes.
    pub parts: Vec<Part>,
}

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// How many paths there are now that were not there before. None, if there is anything in `again`.
    pub imported: usize,
    /// Deltas that led nowhere, and why: these paths have to come whole, and with them all others once more.
    pub again: Vec<(String, String)>,
}

impl Header {
    /// Begins a stream.
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
    /// As a binary cache describes it, with its archive at `url`: the format of Nix's `.narinfo` files.
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

    /// The part of its name that is its own: 32 characters. None, if it is no store path.
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

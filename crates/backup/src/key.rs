//! The keys that backups are encrypted to, in age's own notation: `age1…` may be known to everybody, and
//! `AGE-SECRET-KEY-1…` to nobody else.

use crate::bech32;
use std::fmt;
use std::io;
use std::str::FromStr;
use x25519_dalek::{PublicKey, StaticSecret};

const PUBLIC: &str = "age";
const SECRET: &str = "age-secret-key-";

/// Whom a backup is encrypted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(pub(crate) PublicKey);

/// Who can read it.
#[derive(Clone)]
pub struct Identity(pub(crate) StaticSecret);

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no public key.
    #[error("{0:?} is not a public key of age: such a key begins with age1 and has 62 characters")]
    Public(String),
    /// It is no secret key. The text is not repeated, because it may be one nevertheless.
    #[error(
        "there is no secret key of age in it: such a key is a line that begins with AGE-SECRET-KEY-1"
    )]
    Secret,
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = bech32::decode(PUBLIC, text.trim());
        let bytes = bytes.ok_or_else(|| KeyError::Public(text.to_owned()))?;
        Ok(Self(PublicKey::from(bytes)))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(PUBLIC, self.0.as_bytes()))
    }
}

impl Identity {
    /// A new one.
    pub fn generate() -> io::Result<Self> {
        Ok(Self(StaticSecret::from(crate::age::random::<32>()?)))
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(PublicKey::from(&self.0))
    }

    /// All that are in a file as `age-keygen` writes it.
    pub fn all_in(text: &str) -> Result<Vec<Self>, KeyError> {
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Vec<_> = keys.map(str::parse).collect::<Result<_, _>>()?;
        match keys.is_empty() {
            true => Err(KeyError::Secret),
            false => Ok(keys),
        }
    }

    /// The content of such a file.
    pub fn file(&self) -> String {
        let secret = bech32::encode(SECRET, self.0.as_bytes()).to_uppercase();
        format!("# public key: {}\n{secret}\n", self.recipient())
    }
}

impl FromStr for Identity {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = bech32::decode(SECRET, text).ok_or(KeyError::Secret)?;
        Ok(Self(StaticSecret::from(bytes)))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

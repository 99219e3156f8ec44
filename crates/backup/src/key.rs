//! The keys that backups are encrypted to, in age's own notation: `age1…` may be known to everybody, and
//! `AGE-SECRET-KEY-1…` to nobody else.

use age::secrecy::ExposeSecret;
use age::x25519;
use std::fmt;
use std::str::FromStr;

/// Whom a backup is encrypted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient(pub(crate) x25519::Recipient);

/// Who can read it.
#[derive(Clone)]
pub struct Identity(pub(crate) x25519::Identity);

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
        let key = text.trim().parse();
        key.map(Self)
            .map_err(|_: &str| KeyError::Public(text.to_owned()))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Identity {
    /// A new one.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// Its public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
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
        let secret = self.0.to_string();
        format!(
            "# public key: {}\n{}\n",
            self.recipient(),
            secret.expose_secret()
        )
    }
}

impl FromStr for Identity {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        text.parse().map(Self).map_err(|_: &str| KeyError::Secret)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

//! Backups of a device. A backup is a tar archive, compressed with zstd and encrypted to public keys of age, so that
//! besides this crate `age --decrypt | zstd --decompress | tar --extract` can read it. Its first entry is the
//! [`Manifest`]; the others are the copies that services made of their data.
//!
//! Whoever reads a backup reads all of it before anything that it contains is used: a byte that was changed, a part that
//! is missing and a key that does not fit are told apart, and named.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! use backup::{Identity, Manifest, State};
//!
//! let key = Identity::generate();
//! let copy = b"of all that was measured".as_slice();
//! let manifest = Manifest { states: vec![State::of("climate", "1", copy)?], ..Manifest::default() };
//! let archive = backup::write(Vec::new(), &[key.recipient()], &manifest, |_| Ok(copy))?;
//!
//! let plain = backup::decrypt(archive.as_slice(), &[key])?;
//! let whole = backup::read(plain, |_| Ok(()), |_| Ok(std::io::sink()))?;
//! assert_eq!(whole, manifest);
//! # Ok(())
//! # }
//! ```

mod archive;
mod encryption;
mod key;
mod sum;

pub use archive::{FORMAT, Manifest, State, decrypt, read, write};
pub use key::{Identity, KeyError, Recipient};
pub use sum::Sum;

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is something else.
    #[error("it is not a backup")]
    NotABackup,
    /// It has to be decrypted first.
    #[error("it is encrypted")]
    Encrypted,
    /// It is encrypted to other keys.
    #[error("it is encrypted to another key than {0}")]
    AnotherKey(String),
    /// A newer program made it.
    #[error("it has format {0}, and this program knows no format after {FORMAT}")]
    Newer(u32),
    /// Something in it was changed, or is missing.
    #[error("{part} cannot be read, because the file is damaged: {why}")]
    Damaged {
        /// What was being read.
        part: String,
        /// What is wrong.
        why: String,
    },
}

/// What is wrong with a file, on its way through the readers around it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Damage(String);

#[cfg(test)]
mod tests;

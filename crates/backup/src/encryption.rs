//! Encryption as age does it (<https://age-encryption.org/v1>), by the crate of that name: any number of X25519 recipients,
//! no passwords, no armor.
//!
//! The payload is a series of chunks, each with a counter and a tag, so that nothing of a changed, reordered or
//! shortened chunk is ever passed on.

use crate::Damage;
use crate::key::{Identity, Recipient};
use age::DecryptError;
use age::stream::{StreamReader, StreamWriter};
use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};
use std::rc::Rc;

/// The first line of a file.
pub(crate) const VERSION: &str = "age-encryption.org/v1";
/// The length of a chunk with its tag.
const CHUNK: u64 = 64 * 1024 + 16;

/// Writes the header. Without [`StreamWriter::finish`] the file is incomplete, and is refused when it is read.
pub(crate) fn encrypt<W: Write>(to: W, recipients: &[Recipient]) -> io::Result<StreamWriter<W>> {
    let recipients = recipients
        .iter()
        .map(|recipient| &recipient.0 as &dyn age::Recipient);
    age::Encryptor::with_recipients(recipients)
        .map_err(io::Error::other)?
        .wrap_output(to)
}

/// Decrypts what is read through it, and passes on only what is intact.
pub(crate) struct Decryptor<R> {
    payload: StreamReader<Counted<R>>,
    /// How many bytes of the file were read.
    read: Rc<Cell<u64>>,
    /// How many of them precede the first chunk.
    header: u64,
}

/// Why a file cannot be decrypted.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The file cannot be read.
    Io(io::Error),
    /// None of the keys is the right one.
    WrongKey,
    /// The header was changed, or is no header.
    Header(String),
}

impl<R: Read> Decryptor<R> {
    /// Reads the header.
    pub(crate) fn new(from: R, identities: &[Identity]) -> Result<Self, Trouble> {
        let read = Rc::new(Cell::new(0));
        let from = Counted {
            from: BufReader::new(from),
            read: read.clone(),
        };
        let decryptor = age::Decryptor::new(from)?;
        let header = read.get();
        let identities = identities
            .iter()
            .map(|identity| &identity.0 as &dyn age::Identity);
        Ok(Self {
            payload: decryptor.decrypt(identities)?,
            read,
            header,
        })
    }

    /// What is wrong with the chunk that was read last.
    fn damage(&self, error: &io::Error) -> Damage {
        let to = self.read.get();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Damage(format!("it ends at byte {to}, before its end"));
        }
        let payload = to - self.header;
        let from = self.header + payload.saturating_sub(1) / CHUNK * CHUNK;
        let changed = format!("something between its bytes {from} and {to} was changed");
        match payload.is_multiple_of(CHUNK) {
            true => Damage(changed),
            false => Damage(changed + ", or its end is missing"),
        }
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.payload
            .read(to)
            .map_err(|error| match is_about_content(&error) {
                true => io::Error::other(self.damage(&error)),
                false => error,
            })
    }
}

impl From<DecryptError> for Trouble {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::NoMatchingKeys => Self::WrongKey,
            DecryptError::Io(error) if !is_about_content(&error) => Self::Io(error),
            DecryptError::Io(_) => Self::Header("it ends early".to_owned()),
            DecryptError::InvalidMac => Self::Header("its code does not match".to_owned()),
            _ => Self::Header("it is none of age's".to_owned()),
        }
    }
}

/// Whether the content is wrong; otherwise, it cannot be read.
fn is_about_content(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    error.raw_os_error().is_none() && kinds.contains(&error.kind())
}

/// Counts what is taken of a stream.
struct Counted<R> {
    from: BufReader<R>,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(to)?;
        self.read.set(self.read.get() + length as u64);
        Ok(length)
    }
}

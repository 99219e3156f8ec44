//! What is in the archive, and how it is written and read.

use crate::encryption::{self, Decryptor, Trouble};
use crate::sum::Sum;
use crate::{BackupError, Damage, Identity, Recipient};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{self, Chain, Cursor, Read, Write};

/// The format of archives that are written here. All earlier ones can be read.
pub const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const FOLDER: &str = "state";
const LONGEST_MANIFEST: u64 = 1 << 20;
/// zstd's own default: what is backed up is mostly compressed in one go, on a small device.
const LEVEL: i32 = 3;
/// How a file of zstd begins.
const ZSTD: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// What a backup contains, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The format of the archive.
    pub format: u32,
    /// The appliance that ran.
    pub appliance: String,
    /// The name of the device.
    pub hostname: String,
    /// The generation that ran, if it had a number.
    pub generation: Option<u64>,
    /// Its toplevel.
    pub toplevel: String,
    /// Its version: the release of its configuration, and the time of its Debian packages.
    pub release: String,
    /// When it was made: seconds since 1970, by the device's clock.
    pub time: u64,
    /// The copies, in the order of the archive.
    pub states: Vec<State>,
    /// The services that could not copy their data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            format: FORMAT,
            appliance: String::new(),
            hostname: String::new(),
            generation: None,
            toplevel: String::new(),
            release: String::new(),
            time: 0,
            states: Vec::new(),
            missing: Vec::new(),
        }
    }
}

/// The copy of a service's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The service.
    pub name: String,
    /// The version of its data.
    pub version: String,
    /// The length of the copy.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl State {
    /// Describes a copy by reading it.
    pub fn of(name: &str, version: &str, copy: impl Read) -> io::Result<Self> {
        let (bytes, sha256) = pour(copy, io::sink()).map_err(Pour::into_either)?;
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            bytes,
            sha256,
        })
    }
}

/// Writes a backup, with the copies that `open` opens. They must be as the manifest says.
pub fn write<W: Write, C: Read>(
    to: W,
    recipients: &[Recipient],
    manifest: &Manifest,
    mut open: impl FnMut(&State) -> Result<C>,
) -> Result<W> {
    let mut zstd = zstd::Encoder::new(encryption::encrypt(to, recipients)?, LEVEL)?;
    zstd.include_checksum(true)?;
    let mut tar = tar::Builder::new(zstd);
    let mut entry = |path: &str, bytes: u64, content: &mut dyn Read| -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(manifest.time);
        Ok(tar.append_data(&mut header, path, content)?)
    };
    let text = serde_json::to_vec_pretty(manifest)?;
    entry(MANIFEST, text.len() as u64, &mut text.as_slice())?;
    for state in &manifest.states {
        let mut copy = open(state)?.take(state.bytes);
        entry(&path(state), state.bytes, &mut copy)?;
        let name = &state.name;
        anyhow::ensure!(copy.limit() == 0, "the copy of {name} was cut short");
    }
    Ok(tar.into_inner()?.finish()?.finish()?)
}

fn path(state: &State) -> String {
    format!("{FOLDER}/{}", state.name)
}

/// Reads what is encrypted. Whatever comes out of it is as it was written; an error may come at any later byte.
pub fn decrypt<R: Read>(from: R, identities: &[Identity]) -> Result<impl Read + use<R>> {
    let from = Peeked::new(from)?;
    if !from.is_encrypted() {
        return Err(BackupError::NotABackup.into());
    }
    Decryptor::new(from.whole, identities).map_err(|trouble| match trouble {
        Trouble::Io(error) => error.into(),
        Trouble::Header(why) => damaged("the beginning", why),
        Trouble::WrongKey => {
            let keys: Vec<_> = identities
                .iter()
                .map(|i| i.recipient().to_string())
                .collect();
            BackupError::AnotherKey(keys.join(" and ")).into()
        }
    })
}

/// Reads a whole backup that was decrypted: `admit` may refuse it by what its manifest says, and each copy is written
/// to what `place` opens for it. Not before this has succeeded, what was written is known to be intact.
pub fn read<W: Write>(
    from: impl Read,
    admit: impl FnOnce(&Manifest) -> Result<()>,
    mut place: impl FnMut(&State) -> Result<W>,
) -> Result<Manifest> {
    let from = Peeked::new(from)?;
    match from {
        _ if from.is_encrypted() => return Err(BackupError::Encrypted.into()),
        _ if from.begin != ZSTD => return Err(BackupError::NotABackup.into()),
        _ => {}
    }
    let mut tar = tar::Archive::new(zstd::Decoder::new(from.whole)?);
    let mut entries = tar.entries()?;
    let mut next = |part: &str, wanted: &str| -> Result<_> {
        let entry = entries
            .next()
            .transpose()
            .map_err(|error| broken(part, error))?;
        let entry = entry.ok_or_else(|| damaged(part, "it is missing"))?;
        match entry.path_bytes().as_ref() == wanted.as_bytes() {
            true => Ok(entry),
            false => Err(damaged(part, "something else is in its place")),
        }
    };
    let part = "the manifest";
    let mut text = Vec::new();
    let entry = next(part, MANIFEST)?;
    entry
        .take(LONGEST_MANIFEST)
        .read_to_end(&mut text)
        .map_err(|error| broken(part, error))?;
    let manifest = parse(&text)?;
    admit(&manifest)?;
    for state in &manifest.states {
        let part = format!("the data of {}", state.name);
        let entry = next(&part, &path(state))?;
        let mut to = place(state)?;
        let (bytes, sha256) = pour(entry, &mut to).map_err(|error| match error {
            Pour::Read(error) => broken(&part, error),
            Pour::Write(error) => {
                anyhow::Error::from(error).context(format!("cannot write {part}"))
            }
        })?;
        if bytes != state.bytes {
            let why = format!("they have {bytes} bytes instead of {}", state.bytes);
            return Err(damaged(&part, why));
        }
        if sha256 != state.sha256 {
            let why = format!("their SHA-256 is {sha256} instead of {}", state.sha256);
            return Err(damaged(&part, why));
        }
    }
    let part = "the end";
    let more = entries.next().transpose();
    if more.map_err(|error| broken(part, error))?.is_some() {
        return Err(damaged(part, "there is more in it than its manifest names"));
    }
    // The checksum of all is at the end.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| broken(part, error))?;
    Ok(manifest)
}

fn parse(text: &[u8]) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let part = "the manifest";
    let strange = |error: serde_json::Error| damaged(part, error.to_string());
    let Format { format } = serde_json::from_slice(text).map_err(strange)?;
    if format > FORMAT {
        return Err(BackupError::Newer(format).into());
    }
    serde_json::from_slice(text).map_err(strange)
}

fn damaged(part: &str, why: impl Into<String>) -> anyhow::Error {
    let (part, why) = (part.to_owned(), why.into());
    BackupError::Damaged { part, why }.into()
}

/// Tells a file that is damaged from one that cannot be read.
fn broken(part: &str, error: io::Error) -> anyhow::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(Damage(why)) = error.downcast_ref() {
            return damaged(part, why);
        }
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.raw_os_error().is_some()) {
            return anyhow::Error::msg(error.to_string()).context(format!("cannot read {part}"));
        }
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    damaged(part, error.to_string())
}

enum Pour {
    Read(io::Error),
    Write(io::Error),
}

impl Pour {
    fn into_either(self) -> io::Error {
        match self {
            Self::Read(error) | Self::Write(error) => error,
        }
    }
}

/// Copies; returns the length and the SHA-256.
fn pour(mut from: impl Read, mut to: impl Write) -> Result<(u64, String), Pour> {
    let mut sum = Sum::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(Pour::Read)?,
        };
        sum.add(&buffer[..length]);
        to.write_all(&buffer[..length]).map_err(Pour::Write)?;
    }
    to.flush().map_err(Pour::Write)?;
    Ok(sum.finish())
}

/// A stream whose beginning was looked at.
struct Peeked<R> {
    begin: Vec<u8>,
    whole: Chain<Cursor<Vec<u8>>, R>,
}

impl<R: Read> Peeked<R> {
    fn new(mut from: R) -> Result<Self> {
        let mut begin = Vec::new();
        let length = ZSTD.len() as u64;
        (from.by_ref().take(length).read_to_end(&mut begin))
            .map_err(|error| broken("the beginning", error))?;
        Ok(Self {
            whole: Cursor::new(begin.clone()).chain(from),
            begin,
        })
    }

    fn is_encrypted(&self) -> bool {
        !self.begin.is_empty() && encryption::VERSION.as_bytes().starts_with(&self.begin)
    }
}

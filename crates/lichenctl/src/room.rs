//! Room on DATA for what is large and may fail, so that all other writers keep theirs.

use crate::hint::Hint;
use anyhow::Result;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Space left for all other writers, in bytes.
pub(crate) const MARGIN: u64 = 64 << 20;
/// After how many bytes a writer looks again.
const STEP: u64 = 1 << 20;

/// There is too little of it.
#[derive(Debug, thiserror::Error)]
#[error("DATA has no room: {needed} bytes are needed, {free} are free")]
pub struct NoRoom {
    /// The space needed, including what is left for other writers.
    pub needed: u64,
    /// The free space.
    pub free: u64,
}

impl Hint for NoRoom {
    fn hint(&self) -> &'static str {
        "`lichenctl gc` removes generations that are not needed; what a restore has replaced is in /var/lib/lichen/state/SERVICE/replaced-N until you remove it"
    }
}

/// Makes more room; says whether it could.
type MakeMore<'a> = dyn Fn() -> Result<bool> + Sync + 'a;

/// The room on the file system of a folder.
pub(crate) struct Room<'a> {
    folder: PathBuf,
    /// What is left for other writers.
    margin: u64,
    make_more: Option<&'a MakeMore<'a>>,
}

impl<'a> Room<'a> {
    pub(crate) fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            margin: MARGIN,
            make_more: None,
        }
    }

    /// All of it, to the last byte.
    pub(crate) fn all_of(folder: impl Into<PathBuf>) -> Self {
        Self {
            margin: 0,
            ..Self::of(folder)
        }
    }

    /// Where there is none, this is tried first.
    pub(crate) fn or(self, make_more: &'a MakeMore<'a>) -> Self {
        Self {
            make_more: Some(make_more),
            ..self
        }
    }

    /// Fails with [`NoRoom`] unless there is room for `bytes`, and for all other writers.
    pub(crate) fn has(&self, bytes: u64) -> io::Result<()> {
        let needed = self.margin.saturating_add(bytes);
        loop {
            let free = free(&self.folder)?;
            if free >= needed {
                return Ok(());
            }
            let made = self.make_more.map_or(Ok(false), |make_more| make_more());
            if !made.map_err(io::Error::other)? {
                return Err(io::Error::other(NoRoom { needed, free }));
            }
        }
    }
}

fn free(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// What to do about it, wherever in the chain of an error it is.
pub(crate) fn hint_of(error: &anyhow::Error) -> Option<&'static str> {
    let mut chain = error.chain();
    chain.find_map(|cause| {
        let inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
        inner.downcast_ref().map(NoRoom::hint)
    })
}

/// A writer that stops where only the room of all other writers is left.
pub(crate) struct Sparing<'r, W> {
    to: W,
    room: &'r Room<'r>,
    /// What may be written until it looks again.
    left: u64,
}

impl<'r, W: Write> Sparing<'r, W> {
    pub(crate) fn new(to: W, room: &'r Room<'r>) -> Self {
        Self { to, room, left: 0 }
    }

    pub(crate) fn into_inner(self) -> W {
        self.to
    }
}

impl<W: Write> Write for Sparing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.room.has(STEP)?;
            self.left = STEP;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = self.to.write(&bytes[..bytes.len().min(most)])?;
        self.left -= length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

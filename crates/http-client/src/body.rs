//! Request bodies: nothing, bytes, or a part of a file that is read while it is sent.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

/// The body of a request.
#[derive(Debug, Default)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// A part of a file; only one buffer of it is in memory at a time.
    File(FilePart),
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Body::Bytes(bytes.into())
    }
}

impl From<FilePart> for Body {
    fn from(part: FilePart) -> Self {
        Body::File(part)
    }
}

/// Called with the position in the file each time that bytes of it have been read. It may take its time, which slows
/// down the sending, and its error ends the request.
pub type Watch = Arc<dyn Fn(u64) -> io::Result<()> + Send + Sync>;

/// A part of a file. Clones are independent: each starts at the beginning.
#[derive(Clone)]
pub struct FilePart {
    file: Arc<File>,
    range: Range<u64>,
    at: u64,
    watch: Option<Watch>,
}

impl FilePart {
    /// The bytes of `file` that are in `range`.
    pub fn new(file: Arc<File>, range: Range<u64>) -> Self {
        FilePart {
            file,
            at: range.start,
            range,
            watch: None,
        }
    }

    /// Has `watch` watch it while it is sent.
    pub fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// The same part with nobody watching.
    pub fn unwatched(mut self) -> Self {
        self.watch = None;
        self
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Read for FilePart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end - self.at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        if read == 0 && most > 0 {
            // The reader must not take the early end of the file for the end of the body.
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter while it was read",
            ));
        }
        self.at += read as u64;
        if let Some(watch) = &self.watch {
            watch(self.at)?;
        }
        Ok(read)
    }
}

impl fmt::Debug for FilePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilePart").field(&self.range).finish()
    }
}

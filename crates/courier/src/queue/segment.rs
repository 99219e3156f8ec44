//! A file of frames, each of which is durable before it counts.
//!
//! ```text
//! KIND length samples checksum | boot     KIND length samples checksum | zstd(frame)     …
//! ```
//!
//! A frame builds on those before it in the same file, so a file is read from its beginning, and is good up to its first
//! damage. It belongs to one boot, since only within a boot the time since its beginning means something.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::codec::{Decoder, Encoder, Frame, Unreadable, moment};
use crate::clock::Moment;
use crate::mark::checksum;

/// What the names of segments end with.
pub const EXTENSION: &str = "segment";
const HEAD: &[u8; 4] = b"BOOT";
const FRAME: &[u8; 4] = b"TOLD";
const HEADER: u64 = 16;
/// A boot's identifier has 32 characters.
const LONGEST_BOOT: usize = 64;
/// The largest frame, compressed or not: a header that says more is damaged.
const LARGEST: usize = 64 << 20;
/// The pause before a file is looked at again.
const BREATH: Duration = Duration::from_millis(200);
/// How many of them there may be at a start.
pub const BREATHS: u32 = 15;
/// More effort costs twice the time and saves a twentieth.
const LEVEL: i32 = 3;

/// A file that is being written.
#[derive(Debug)]
pub struct Writer {
    file: File,
    encoder: Encoder,
    length: u64,
    frames: usize,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Reader {
    file: File,
    boot: String,
    decoder: Decoder,
    at: u64,
}

/// What is in a file, as far as it is good.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes up to the end of the last good frame; 0 if not even the beginning is good.
    pub length: u64,
    /// Bytes after that.
    pub damaged: u64,
    /// Samples in it, and the position after them, for each frame.
    pub frames: Vec<(u64, u64)>,
    /// The same of frames that are lost, as they follow the damage or are damaged themselves; none if nothing whole follows
    /// it, as then the last frame was only being written.
    pub lost: Vec<(u64, u64)>,
    /// When the last frame was measured.
    pub last: Option<Moment>,
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file system fails.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is in it is not what was written.
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
}

impl Writer {
    /// Begins a file, durably.
    pub fn create(path: &Path, boot: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        durable::cut::point("empty segment");
        let mut writer = Writer {
            file,
            encoder: Encoder::default(),
            length: 0,
            frames: 0,
        };
        writer.put(HEAD, 0, boot.as_bytes())?;
        durable::sync_entry(path)?;
        Ok(writer)
    }

    /// Writes a frame. When this returns, it is durable. After an error nothing more can be written to this file, as the
    /// next frame would build on what is not there.
    pub fn append(&mut self, frame: &Frame) -> io::Result<()> {
        let bytes = self.encoder.encode(frame);
        let bytes = zstd::bulk::compress(&bytes, LEVEL)?;
        self.put(FRAME, frame.samples.len(), &bytes)?;
        self.frames += 1;
        Ok(())
    }

    /// How many bytes are durable.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many frames are durable.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// How many series are written out in it.
    pub fn series(&self) -> usize {
        self.encoder.series()
    }

    fn put(&mut self, kind: &[u8; 4], samples: usize, body: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEADER as usize + body.len());
        bytes.extend(kind);
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend((samples as u32).to_le_bytes());
        let sum = checksum(&bytes, body);
        bytes.extend(sum.to_le_bytes());
        bytes.extend(body);
        let half = bytes.len() / 2;
        let write = || {
            self.file.write_all_at(&bytes[..half], self.length)?;
            durable::cut::point("half a frame");
            (self.file).write_all_at(&bytes[half..], self.length + half as u64)?;
            durable::cut::point("whole frame");
            self.file.sync_data()
        };
        if let Err(error) = write() {
            // What is there of it would be cut off at the next start; a full disk needs the room now.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

impl Reader {
    /// Begins to read.
    pub fn open(path: &Path) -> Result<Self, Unusable> {
        let file = File::open(path)?;
        let (boot, at) = head(&file)?.ok_or(Unusable::Damaged(0))?;
        Ok(Reader {
            file,
            boot,
            decoder: Decoder::default(),
            at,
        })
    }

    /// The boot that it belongs to.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// How far it has read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next frame, of those that end at `until` or before.
    pub fn next(&mut self, until: u64) -> Result<Option<Frame>, Unusable> {
        if self.at >= until {
            return Ok(None);
        }
        let damaged = Unusable::Damaged(self.at);
        let Some(block) = block(&self.file, self.at, FRAME)? else {
            return Err(damaged);
        };
        let frame = unpacked(&block.body).and_then(|bytes| self.decoder.decode(&bytes));
        self.at = block.end;
        frame.map(Some).map_err(|_| damaged)
    }
}

/// Looks what is in a file, up to its first damage. As long as a read fails, it looks again, with a breath before. When there
/// are no more, what cannot be read is damaged: a card that has lost a block must not keep the service from starting.
pub fn look(path: &Path, breaths: &mut u32) -> io::Result<Content> {
    loop {
        match look_once(path)? {
            (_, Some(error)) if *breaths > 0 => {
                tracing::warn!("{}: a read has failed: {error}", path.display());
                *breaths -= 1;
                std::thread::sleep(BREATH);
            }
            (content, _) => return Ok(content),
        }
    }
}

/// What is in a file, and with what a read has failed, if that ends what is good.
fn look_once(path: &Path) -> io::Result<(Content, Option<io::Error>)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut content = Content::default();
    let mut last = None;
    let read = head(&file).and_then(|head| {
        let Some((_, at)) = head else {
            return Ok(());
        };
        content.length = at;
        while let Some(block) = block(&file, content.length, FRAME)? {
            content.length = block.end;
            content.frames.push((block.samples, block.end));
            last = Some(block.body);
        }
        Ok(())
    });
    let last = last.and_then(|body| unpacked(&body).ok());
    content.last = last.and_then(|bytes| moment(&mut &bytes[..]).ok());
    content.damaged = size - content.length;
    if content.damaged > 0 {
        content.lost = lost(&file, content.length, size).unwrap_or_default();
    }
    Ok((content, read.err()))
}

/// Whole frames after a damage, with the samples in them and the position after them, and before each a damaged one that ends
/// where it begins.
fn lost(file: &File, from: u64, until: u64) -> io::Result<Vec<(u64, u64)>> {
    let mut rest = vec![0; (until - from) as usize];
    file.read_exact_at(&mut rest, from)?;
    let (mut lost, mut damaged) = (Vec::new(), None);
    let mut at = 0;
    while let Some(next) = rest[at..].windows(FRAME.len()).position(|it| it == FRAME) {
        at += next;
        if let Some(block) = block(file, from + at as u64, FRAME)? {
            lost.extend(damaged.take().filter(|(_, end)| *end == from + at as u64));
            lost.push((block.samples, block.end));
            at = (block.end - from) as usize;
        } else {
            let header = rest.get(at..at + HEADER as usize);
            damaged = header.map(|header| {
                let word = |from: usize| word(header, from);
                (
                    word(8).into(),
                    from + at as u64 + HEADER + u64::from(word(4)),
                )
            });
            at += FRAME.len();
        }
    }
    Ok(lost)
}

/// The number at this position of a header.
fn word(header: &[u8], from: usize) -> u32 {
    u32::from_le_bytes(header[from..from + 4].try_into().expect("four"))
}

/// Cuts off what is damaged, durably.
pub fn cut_back(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

/// The name of a segment's file.
pub fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.{EXTENSION}"))
}

/// The number of a segment, if the file with this extension is one.
pub fn number(path: &Path, extension: &str) -> Option<u64> {
    let matches = path.extension().is_some_and(|found| found == extension);
    let digits = path.file_stem()?.to_str().filter(|_| matches)?;
    (digits.len() == 12).then(|| digits.parse().ok()).flatten()
}

struct Block {
    samples: u64,
    body: Vec<u8>,
    end: u64,
}

/// The block at a position; none if there is no whole one.
fn block(file: &File, at: u64, kind: &[u8; 4]) -> io::Result<Option<Block>> {
    let mut header = [0; HEADER as usize];
    if !read(file, &mut header, at)? {
        return Ok(None);
    }
    let word = |from: usize| word(&header, from);
    let length = word(4) as usize;
    if header[..4] != *kind || length > LARGEST {
        return Ok(None);
    }
    let left = file.metadata()?.len().saturating_sub(at + HEADER);
    if length as u64 > left {
        return Ok(None);
    }
    let mut body = vec![0; length];
    let whole = read(file, &mut body, at + HEADER)?;
    let good = whole && checksum(&header[..12], &body) == word(12);
    Ok(good.then_some(Block {
        samples: word(8).into(),
        body,
        end: at + HEADER + length as u64,
    }))
}

/// The boot, and where the first frame is.
fn head(file: &File) -> io::Result<Option<(String, u64)>> {
    let block = block(file, 0, HEAD)?;
    let block = block.filter(|block| block.body.len() <= LONGEST_BOOT);
    Ok(block.and_then(|block| Some((String::from_utf8(block.body).ok()?, block.end))))
}

/// Fills the buffer; false if the file ends before.
fn read(file: &File, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, at) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn unpacked(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let size = zstd::zstd_safe::get_frame_content_size(body);
    let size = size
        .ok()
        .flatten()
        .and_then(|size| usize::try_from(size).ok());
    let size = size.filter(|size| *size <= LARGEST).ok_or(Unreadable)?;
    zstd::bulk::decompress(body, size).map_err(|_| Unreadable)
}

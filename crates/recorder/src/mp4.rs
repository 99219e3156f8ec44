//! The boxes of a fragmented MP4, as far as needed to know where it is intact.
//!
//! Such a file is a head (`ftyp`, `moov`) and fragments (`moof` and `mdat`). A cut leaves a file whose last fragment is
//! incomplete; all before it plays.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The largest `moof` that is read: it describes half a second.
const LARGEST_MOOF: u64 = 4 << 20;

/// What a file consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// The length of the file.
    pub size: u64,
    /// The length of its head; 0 if there is none.
    pub head: u64,
    /// Where its last complete fragment begins.
    pub last: u64,
    /// Where its last complete fragment ends, and what plays.
    pub good: u64,
    /// Complete fragments.
    pub fragments: u64,
    /// The frames in them.
    pub frames: u64,
    /// What is wrong with it.
    pub problem: Option<Problem>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing was written.
    #[error("is empty")]
    Empty,
    /// It was never written, as after a power cut.
    #[error("is all zeroes ({0} bytes)")]
    Zeroes(u64),
    /// Its beginning is not that of an MP4.
    #[error("has no head ({0} bytes)")]
    NoHead(u64),
    /// Nothing follows its head.
    #[error("has no complete fragment")]
    NoFragment,
    /// Its end is not complete.
    #[error("has an incomplete end: {0} bytes were cut off")]
    Cut(u64),
}

/// A box.
struct Entry {
    kind: [u8; 4],
    /// Where its content begins, and where it ends.
    content: u64,
    end: u64,
}

/// Reads the boxes of a file, but not its pictures.
pub fn scan(path: &Path) -> io::Result<Scan> {
    let file = File::open(path)?;
    let mut scan = Scan {
        size: file.metadata()?.len(),
        ..Scan::default()
    };
    let (mut at, mut moof) = (0, None);
    while let Some(entry) = entry(&file, at, scan.size)? {
        match &entry.kind {
            b"moov" => scan.head = entry.end,
            b"moof" if scan.head > 0 => moof = Some((at, frames(&file, &entry)?)),
            b"mdat" if scan.head > 0 => {
                if let Some((begins, frames)) = moof.take() {
                    scan.fragments += 1;
                    scan.frames += frames;
                    (scan.last, scan.good) = (begins, entry.end);
                }
            }
            // What ffmpeg writes at the end of a recording that was ended in good order.
            b"mfra" if scan.fragments > 0 => scan.good = entry.end,
            _ => {}
        }
        at = entry.end;
    }
    scan.problem = if scan.size == 0 {
        Some(Problem::Empty)
    } else if scan.head == 0 {
        Some(match is_zero(&file)? {
            true => Problem::Zeroes(scan.size),
            false => Problem::NoHead(scan.size),
        })
    } else if scan.fragments == 0 {
        Some(Problem::NoFragment)
    } else {
        (scan.good < scan.size).then(|| Problem::Cut(scan.size - scan.good))
    };
    Ok(scan)
}

/// The box at an offset; none if there is no complete one.
fn entry(file: &File, at: u64, size: u64) -> io::Result<Option<Entry>> {
    let mut head = [0; 16];
    if at + 8 > size {
        return Ok(None);
    }
    let known = (size - at).min(16) as usize;
    file.read_exact_at(&mut head[..known], at)?;
    let kind = [head[4], head[5], head[6], head[7]];
    let (content, length) = match be32(&head) {
        1 if known == 16 => (
            16,
            u64::from(be32(&head[8..])) << 32 | u64::from(be32(&head[12..])),
        ),
        length => (8, u64::from(length)),
    };
    let is_known = matches!(
        &kind,
        b"ftyp" | b"moov" | b"moof" | b"mdat" | b"mfra" | b"free" | b"sidx" | b"styp" | b"prft"
    );
    let end = at.checked_add(length).filter(|end| *end <= size);
    let complete = end.filter(|_| is_known && length >= content);
    Ok(complete.map(|end| Entry {
        kind,
        content: at + content,
        end,
    }))
}

/// How many frames a `moof` has in its first track, which is the video.
fn frames(file: &File, moof: &Entry) -> io::Result<u64> {
    let length = (moof.end - moof.content).min(LARGEST_MOOF);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, moof.content)?;
    let video = children(&bytes).find(|(kind, traf)| {
        let mut inner = children(traf);
        let header = inner.find(|(kind, _)| kind == b"tfhd");
        kind == b"traf" && header.is_some_and(|(_, tfhd)| tfhd.len() >= 8 && be32(&tfhd[4..]) == 1)
    });
    let runs = video.into_iter().flat_map(|(_, traf)| children(traf));
    let runs = runs.filter(|(kind, trun)| kind == b"trun" && trun.len() >= 8);
    Ok(runs.map(|(_, trun)| u64::from(be32(&trun[4..]))).sum())
}

/// The boxes within a box.
fn children(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let kind = bytes.get(4..8)?.try_into().ok()?;
        let length = be32(bytes) as usize;
        let content = bytes.get(8..length)?;
        bytes = &bytes[length..];
        Some((kind, content))
    })
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn is_zero(file: &File) -> io::Result<bool> {
    let (mut chunk, mut at) = (vec![0; 64 << 10], 0);
    loop {
        match file.read_at(&mut chunk, at)? {
            0 => return Ok(true),
            count if chunk[..count].iter().any(|byte| *byte != 0) => return Ok(false),
            count => at += count as u64,
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;

    fn boxed(kind: &str, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u32 + 8).to_be_bytes();
        [&length, kind.as_bytes(), content].concat()
    }

    /// A fragment with so many frames of video, and two of sound.
    fn fragment(frames: u32) -> Vec<u8> {
        let track = |track: u32, samples: u32| {
            let numbered = |number: u32| [[0; 4], number.to_be_bytes()].concat();
            let header = boxed("tfhd", &numbered(track));
            let run = boxed("trun", &numbered(samples));
            boxed("traf", &[header, run].concat())
        };
        let header = boxed("mfhd", &[0; 8]);
        let moof = boxed("moof", &[header, track(2, 2), track(1, frames)].concat());
        [moof, boxed("mdat", &[7; 100])].concat()
    }

    fn head() -> Vec<u8> {
        [boxed("ftyp", b"iso5"), boxed("moov", &[1; 30])].concat()
    }

    fn scanned(bytes: &[u8]) -> Scan {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        scan(file.path()).unwrap()
    }

    #[test]
    fn a_file_is_good_up_to_its_last_complete_fragment_wherever_it_is_cut() {
        let (first, second) = (fragment(7), fragment(8));
        let whole = [head(), first.clone(), second.clone()].concat();
        let (one, two) = (head().len() + first.len(), whole.len());
        for cut in 0..=whole.len() {
            let scan = scanned(&whole[..cut]);
            let (good, frames) = match cut {
                _ if cut == two => (two, 15),
                _ if cut >= one => (one, 7),
                _ => (0, 0),
            };
            assert_eq!((scan.good, scan.frames), (good as u64, frames), "{cut}");
            let problem = match cut {
                0 => Some(Problem::Empty),
                // The length of the first box begins with zeroes.
                1..4 => Some(Problem::Zeroes(cut as u64)),
                _ if cut < head().len() => Some(Problem::NoHead(cut as u64)),
                _ if cut < one => Some(Problem::NoFragment),
                _ if cut == one || cut == two => None,
                _ => Some(Problem::Cut((cut - one) as u64)),
            };
            assert_eq!(scan.problem, problem, "{cut}");
        }
    }

    #[test]
    fn zeroes_are_recognised_alone_and_after_good_fragments() {
        assert_eq!(scanned(&[0; 1000]).problem, Some(Problem::Zeroes(1000)));
        let cut = scanned(&[head(), fragment(3), vec![0; 500]].concat());
        assert_eq!((cut.frames, cut.problem), (3, Some(Problem::Cut(500))));
        let other = scanned(b"#!/bin/sh\necho this is no video\n");
        assert_eq!(other.problem, Some(Problem::NoHead(32)));
    }
}

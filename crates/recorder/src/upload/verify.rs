//! Whether a file is still the one that was recorded. One that is not is never sent.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};

use super::pace::Pace;
use super::trouble::Trouble;
use super::video::Video;

/// The file that was found to be the recorded one last, so that a retry need not read all of it again.
#[derive(Debug, Default)]
pub struct Verifier {
    last: Option<(String, Mark)>,
}

/// What changes when a file is written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Mark {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Verifier {
    /// Opens the file of a video if it is the recorded one.
    pub fn open(&mut self, video: &Video, pace: &Pace) -> Result<(File, Mark), Trouble> {
        let name = video.path.display();
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => Trouble::Corrupted(format!("{name} is not there any more")),
            _ => Trouble::Video(format!("cannot read {name}: {error}")),
        };
        let mut file = File::open(&video.path).map_err(unreadable)?;
        let mark = Mark::of(&file.metadata().map_err(unreadable)?);
        if mark.bytes == 0 {
            return Err(Trouble::Corrupted(format!("{name} is empty")));
        }
        if mark.bytes != video.bytes {
            let (now, then) = (mark.bytes, video.bytes);
            let why = format!("{name} has {now} bytes, but {then} were recorded");
            return Err(Trouble::Corrupted(why));
        }
        let known = (video.sha256.clone(), mark.clone());
        if self.last.as_ref() == Some(&known) {
            return Ok((file, mark));
        }
        let (mut sum, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            pace.go_on().map_err(|_| Trouble::Ended)?;
            match file.read(&mut buffer).map_err(unreadable)? {
                0 => break,
                read => sum.update(&buffer[..read]),
            }
        }
        let sum = hex(&sum.finalize());
        if !sum.eq_ignore_ascii_case(&video.sha256) {
            let why = format!("{name} has changed since it was recorded: its SHA-256 is {sum}");
            return Err(Trouble::Corrupted(why));
        }
        self.last = Some(known);
        Ok((file, mark))
    }
}

/// Whether a file is as it was when it was opened, so that what was sent is what was checked.
pub fn is_unchanged(video: &Video, mark: &Mark) -> bool {
    let now = std::fs::metadata(&video.path);
    now.is_ok_and(|now| Mark::of(&now) == *mark)
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

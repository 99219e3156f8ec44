//! Reads and writes of a disk that failed, as the kernel says in its messages: an SD card has no counter of them in /sys.
//! They are counted from minute to minute, since the kernel keeps only its latest messages. It holds some of them back when
//! there are many, so that there may have been more.

use crate::root::Root;
use anyhow::Result;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

/// How far they are counted, until the next boot.
const FILE: &str = "run/lichen/io-errors.json";
/// No message is longer.
const LONGEST: usize = 8192;

/// How many there were since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IoErrors {
    pub(super) count: u64,
    /// The number of the first message that was not looked at.
    next: u64,
}

impl IoErrors {
    /// Counts on to the latest message; none if the kernel's messages cannot be read.
    pub(super) fn until_now(root: &Root, disk: &str) -> Option<Self> {
        let kept = fs::read(root.at(FILE)).unwrap_or_default();
        let kept: Self = serde_json::from_slice(&kept).unwrap_or_default();
        Some(kept.and(&messages(root).ok()?, disk))
    }

    /// Keeps it for the next time.
    pub(super) fn keep(self, root: &Root) -> Result<()> {
        durable::update(&root.at(FILE), &serde_json::to_vec(&self)?, 0o600).map(drop)
    }

    fn and(mut self, messages: &str, disk: &str) -> Self {
        let about = format!(" error, dev {disk},");
        for (number, message) in messages.lines().filter_map(by_the_kernel) {
            if number >= self.next {
                self.next = number + 1;
                self.count += u64::from(message.contains(&about));
            }
        }
        self
    }
}

/// `3,1042,81000001,-;I/O error, dev mmcblk0, sector 12 op 0x1:(WRITE)` → 1042 and the words. Programs may write messages as
/// well; those have higher priorities than the kernel's eight. Lines that go on with a message have no number.
fn by_the_kernel(line: &str) -> Option<(u64, &str)> {
    let (head, message) = line.split_once(';')?;
    let mut head = head.split(',');
    let priority: u32 = head.next()?.parse().ok()?;
    let number = head.next()?.parse().ok()?;
    (priority < 8).then_some((number, message))
}

/// All messages that the kernel still has.
fn messages(root: &Root) -> io::Result<String> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(root.at("dev/kmsg"))?;
    let (mut text, mut message) = (Vec::new(), [0; LONGEST]);
    loop {
        match file.read(&mut message) {
            Ok(0) => break,
            Ok(length) => text.extend(&message[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A broken pipe: messages were overwritten meanwhile, and it goes on with the oldest that is left.
            Err(error)
                if [ErrorKind::BrokenPipe, ErrorKind::Interrupted].contains(&error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "\
6,1,100,-;Booting Linux
3,2,200,-;I/O error, dev mmcblk0, sector 12 op 0x1:(WRITE) flags 0x800
 SUBSYSTEM=block
3,3,300,-;critical medium error, dev sda, sector 7 op 0x0:(READ)
3,4,400,-;Buffer I/O error on dev mmcblk0p2, logical block 1, lost async page write
11,5,500,-;I/O error, dev mmcblk0, sector 12, says a program
";

    #[test]
    fn errors_of_the_disk_are_counted_once() {
        let first = IoErrors::default().and(BOOT, "mmcblk0");
        assert_eq!(first.count, 1);
        assert_eq!(first.and(BOOT, "mmcblk0"), first, "nothing is new");
        let later =
            format!("{BOOT}3,6,600,-;timeout error, dev mmcblk0, sector 13 op 0x0:(READ)\n");
        assert_eq!(first.and(&later, "mmcblk0").count, 2);
        // Others' messages have pushed out what was counted before.
        let last = "3,900,700,-;I/O error, dev mmcblk0, sector 14 op 0x0:(READ)\n";
        assert_eq!(first.and(last, "mmcblk0").count, 2);
    }
}

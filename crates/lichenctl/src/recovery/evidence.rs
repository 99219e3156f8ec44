//! What the hardware and the kernel before this one left behind of a reset.

use super::ledger::Ending;
use crate::root::Root;
use protocol::recovery::Reason;
use std::collections::BTreeSet;
use std::{fs, mem};

/// Linux' WDIOF_CARDRESET: the watchdog has reset the machine.
const CARD_RESET: u64 = 0x20;
/// The watchdogs that tell whether they have reset the machine. The Raspberry Pi's does not: its driver restarts by it, too.
const TELLING: [&str; 1] = ["i6300ESB timer"];

/// What was left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The last words of a kernel that panicked.
    pub panic: Option<String>,
    /// Whether the watchdog has reset the machine, if that can be known.
    pub watchdog: Option<bool>,
}

impl Evidence {
    /// Reads it from the kernel's file systems. The records of panics that were `seen` at an earlier boot are still there if
    /// nothing could put them away; then those of this boot are.
    pub fn read(root: &Root, seen: &mut BTreeSet<u32>) -> Self {
        Self {
            panic: panic(root, seen),
            watchdog: watchdog(root),
        }
    }

    /// The reason of a reset, given what was said beforehand. What the kernel and the hardware saw counts for more, since a
    /// reboot that was asked for may still end in a hang.
    pub fn judge(self, ending: Option<Ending>) -> (Reason, String) {
        match (self.panic, self.watchdog, ending) {
            (Some(words), ..) => (Reason::Panic, words),
            (None, Some(true), None) => (Reason::Watchdog, String::new()),
            (None, Some(true), Some(Ending { reason, why })) => {
                (Reason::Watchdog, format!("on the way of: {reason}: {why}"))
            }
            (None, _, Some(Ending { reason, why })) => (reason, why),
            (None, Some(false), None) => (Reason::Power, String::new()),
            (None, None, None) => (Reason::PowerOrWatchdog, String::new()),
        }
    }
}

fn watchdog(root: &Root) -> Option<bool> {
    let text = |name: &str| {
        let path = root.at("sys/class/watchdog/watchdog0").join(name);
        Some(fs::read_to_string(path).ok()?.trim().to_owned())
    };
    let status: u64 = text("bootstatus")?.parse().ok()?;
    let told = status & CARD_RESET != 0;
    (told || TELLING.contains(&text("identity")?.as_str())).then_some(told)
}

/// The last words of the record that the kernel before this one left in memory that a reset spares.
fn panic(root: &Root, seen: &mut BTreeSet<u32>) -> Option<String> {
    let records = fs::read_dir(root.at("sys/fs/pstore")).ok()?;
    let mut records: Vec<_> = records
        .flatten()
        .map(|record| record.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // The kernel could not unpack the others.
            name.starts_with("dmesg-") && !name.ends_with(".enc.z")
        })
        .collect();
    records.sort();
    let records = records.into_iter().filter_map(|path| fs::read(path).ok());
    let records: Vec<_> = records
        .map(|record| (crc32fast::hash(&record), record))
        .collect();
    let seen_before = mem::replace(seen, records.iter().map(|(digest, _)| *digest).collect());
    records
        .iter()
        .filter(|(digest, _)| !seen_before.contains(digest))
        .find_map(|(_, record)| last_words(&String::from_utf8_lossy(record)))
}

/// The line that says why, or else the last one: without level and time stamp.
fn last_words(record: &str) -> Option<String> {
    let lines = record.lines().map(plain).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.collect();
    let why = lines.iter().find(|line| line.starts_with("Kernel panic"));
    why.or(lines.last()).map(|words| (*words).to_owned())
}

/// `<0>[   12.345678] words` → `words`.
fn plain(line: &str) -> &str {
    let line = match line.split_once('>') {
        Some((level, rest)) if level.starts_with('<') => rest,
        _ => line,
    };
    match line.split_once(']') {
        Some((time, rest)) if line.starts_with('[') && time[1..].trim().parse::<f64>().is_ok() => {
            rest.trim()
        }
        _ => line.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::scratch;

    #[test]
    fn what_was_seen_counts_for_more_than_what_was_said() {
        let said = || {
            Some(Ending {
                reason: Reason::Update,
                why: "into generation 3".into(),
            })
        };
        let seen = |panic: Option<&str>, watchdog| Evidence {
            panic: panic.map(str::to_owned),
            watchdog,
        };
        let hung = "on the way of: update: into generation 3";
        for (evidence, ending, reason, why) in [
            (seen(None, Some(false)), None, Reason::Power, ""),
            (seen(None, None), None, Reason::PowerOrWatchdog, ""),
            (seen(None, Some(true)), None, Reason::Watchdog, ""),
            (seen(Some("oh"), None), None, Reason::Panic, "oh"),
            (seen(Some("oh"), Some(true)), said(), Reason::Panic, "oh"),
            (seen(None, Some(true)), said(), Reason::Watchdog, hung),
            (
                seen(None, Some(false)),
                said(),
                Reason::Update,
                "into generation 3",
            ),
            (
                seen(None, None),
                said(),
                Reason::Update,
                "into generation 3",
            ),
        ] {
            let case = format!("{evidence:?} {ending:?}");
            assert_eq!(evidence.judge(ending), (reason, why.to_owned()), "{case}");
        }
    }

    #[test]
    fn a_watchdog_that_never_tells_is_not_believed_to_be_innocent() {
        let dir = scratch();
        let root = Root::new(dir.path());
        assert_eq!(watchdog(&root), None, "there is none");
        for (identity, status, expected) in [
            ("i6300ESB timer", "0", Some(false)),
            ("i6300ESB timer", "32", Some(true)),
            ("Broadcom BCM2835 Watchdog timer", "0", None),
            ("Broadcom BCM2835 Watchdog timer", "32", Some(true)),
        ] {
            root.put(
                "sys/class/watchdog/watchdog0/identity",
                format!("{identity}\n"),
            );
            root.put(
                "sys/class/watchdog/watchdog0/bootstatus",
                format!("{status}\n"),
            );
            assert_eq!(watchdog(&root), expected, "{identity} {status}");
        }
    }

    #[test]
    fn a_panic_leaves_its_last_words() {
        let dir = scratch();
        let root = Root::new(dir.path());
        let panic = || panic(&root, &mut BTreeSet::new());
        assert_eq!(panic(), None);
        root.put(
            "sys/fs/pstore/console-ramoops-0",
            "Kernel panic - not syncing: not a record\n",
        );
        let packed = "sys/fs/pstore/dmesg-ramoops-0.enc.z";
        root.put(packed, "\u{1}\u{2}\n");
        assert_eq!(panic(), None);
        root.put("sys/fs/pstore/dmesg-ramoops-1",
            "Panic#1 Part1\n<6>[   81.000001] sysrq: Trigger a crash\n\
             <0>[   81.000100] Kernel panic - not syncing: sysrq triggered crash\n<4>[   81.000200] Call trace:\n",
        );
        assert_eq!(
            panic().unwrap(),
            "Kernel panic - not syncing: sysrq triggered crash"
        );
    }

    #[test]
    fn a_record_without_a_reason_gives_its_last_line() {
        assert_eq!(
            last_words("Oops#1 Part1\n<1>[    2.5] Unable to handle [x]\n\n").unwrap(),
            "Unable to handle [x]"
        );
        assert_eq!(last_words("\n"), None);
    }
}

//! Generations that were left because they did not work: kept on DATA, as the generation that runs then has no other trace
//! of it than the journal. It is written only when that happens.

use crate::journal;
use crate::kept;
use crate::record::now;
use crate::root::Root;
use crate::state::Generation;
use protocol::vitals::Fallback;
use serde::{Deserialize, Serialize};

const FILE: &str = "var/lib/lichen/fallback.json";

/// All that is kept of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fallbacks {
    /// How often it happened since the card was written.
    pub count: u64,
    /// The last time.
    pub last: Option<Fallback>,
    /// The boot state that told of it, so that the next boot, which reads the same, does not count it again.
    seq: Option<u64>,
}

impl Fallbacks {
    /// Reads it. A damaged file counts as none: nothing depends on it.
    pub fn load(root: &Root) -> Self {
        let kept: Self = kept::load(root, FILE);
        let ago = |fallback: Fallback| Fallback {
            seconds_ago: now().checked_sub(fallback.at),
            ..fallback
        };
        Self {
            last: kept.last.map(ago),
            ..kept
        }
    }
}

/// Keeps that `from` was left just now. It never fails: what runs is more important.
pub fn fell_back(root: &Root, from: Generation, why: &str) {
    keep(root, from, why, None);
}

/// Keeps that `from` used up its tries, as the boot state with this sequence number tells at every boot.
pub fn trial_failed(root: &Root, from: Generation, why: &str, seq: u64) {
    keep(root, from, why, Some(seq));
}

fn keep(root: &Root, from: Generation, why: &str, seq: Option<u64>) {
    let before = Fallbacks::load(root);
    if seq.is_some() && before.seq == seq {
        return;
    }
    let fallback = Fallback {
        from,
        why: why.to_owned(),
        at: now(),
        seconds_ago: None,
    };
    let after = Fallbacks {
        count: before.count + 1,
        last: Some(fallback),
        seq: seq.or(before.seq),
    };
    if let Err(error) = kept::save(root, FILE, &after) {
        journal::error(&format!(
            "that generation {from} was left is not kept: {error:#}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::scratch;

    #[test]
    fn a_trial_that_failed_is_counted_once_however_often_the_device_boots_then() {
        let dir = scratch();
        let root = Root::new(dir.path());
        assert_eq!(Fallbacks::load(&root), Fallbacks::default());
        for _boot in 0..3 {
            trial_failed(&root, Generation(8), "not healthy", 20);
        }
        let kept = Fallbacks::load(&root);
        assert_eq!(kept.count, 1);
        let last = kept.last.unwrap();
        assert_eq!(
            (last.from, last.why.as_str()),
            (Generation(8), "not healthy")
        );
        assert!(last.seconds_ago.is_some_and(|seconds| seconds < 60));
        fell_back(&root, Generation(9), "a switch failed");
        trial_failed(&root, Generation(8), "not healthy", 20);
        trial_failed(&root, Generation(8), "not healthy again", 22);
        let kept = Fallbacks::load(&root);
        assert_eq!(kept.count, 3);
        assert_eq!(kept.last.unwrap().why, "not healthy again");
    }

    #[test]
    fn a_damaged_file_is_replaced_by_what_happens_next() {
        let dir = scratch();
        let root = Root::new(dir.path());
        fell_back(&root, Generation(8), "first");
        durable::atomic_write(&root.at(FILE), b"{\"count\":", 0o600).unwrap();
        fell_back(&root, Generation(9), "second");
        assert_eq!(Fallbacks::load(&root).count, 1);
    }
}

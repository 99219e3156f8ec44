//! The ledger of resets, on DATA: how this boot ends, what recovery has spent, and the last resets with their reasons.
//!
//! Time is counted in seconds of running, never by the clock, which is wrong until the network has set it. A power cut loses
//! what was not written since the last count, so that time in the ledger never passes faster than outside.

use crate::kept;
use crate::lock;
use crate::root::Root;
use crate::state::Generation;
use anyhow::{Context, Result};
use protocol::recovery::{Reason, Recovery, Reset};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = "var/lib/lichen/recovery.json";
const LOCK: &str = "run/lichen/recovery.lock";
/// How many resets are kept.
const KEPT: usize = 16;
/// How many generations are remembered as blessed.
const BLESSED: usize = 8;
/// The longest words about a reset, in characters.
const WORDS: usize = 200;
/// The day of the limit, in seconds of running.
pub const DAY: u64 = 24 * 60 * 60;

/// How the boot that runs is going to end, said beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The reason of the reset.
    pub reason: Reason,
    /// What is known besides.
    pub why: String,
}

/// A reboot by recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Seconds of running since then.
    age: u64,
    /// The generation that was left.
    generation: Option<Generation>,
}

/// The boot that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// The kernel's identifier of this boot.
    pub id: String,
    /// The generation that was booted.
    pub generation: Option<Generation>,
    /// Seconds since 1970, by the device's clock.
    pub at: u64,
}

/// The ledger, in /var/lib/lichen/recovery.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// The kernel's identifier of the boot that wrote last.
    boot: String,
    /// The seconds of that boot that are counted in ages already.
    counted: u64,
    ending: Option<Ending>,
    spent: Vec<Spent>,
    /// The services that do not stay up while no reboot is allowed.
    pub waiting: BTreeSet<String>,
    /// The generations that were blessed here, without those that recovery left.
    blessed: BTreeSet<Generation>,
    resets: Vec<Reset>,
    counts: BTreeMap<Reason, u64>,
    /// The digests of the records of panics that were there at the last boot.
    pub(super) records: BTreeSet<u32>,
}

/// In one line that is not too long, and changes nothing on a terminal.
fn line(words: &str) -> String {
    let words = words.chars();
    let words = words.map(|c| if c.is_whitespace() { ' ' } else { c });
    words.filter(|c| !c.is_control()).take(WORDS).collect()
}

impl Ledger {
    /// Reads it. A damaged one counts as empty: no recovery at all would be worse.
    pub fn load(root: &Root) -> Self {
        kept::load(root, FILE)
    }

    /// Changes it, durably, alone among all processes. An error leaves the file as it was.
    pub fn change<T>(root: &Root, change: impl FnOnce(&mut Self) -> T) -> Result<(Self, T)> {
        let lock = lock::open(root, LOCK)?;
        lock.lock().context("cannot lock the ledger of resets")?;
        let mut ledger = Self::load(root);
        let value = change(&mut ledger);
        kept::save(root, FILE, &ledger)?;
        Ok((ledger, value))
    }

    /// A boot, or a soft-reboot, has begun; `judge` finds the reason of a reset from how the boot before was to end. Says
    /// whether there was one: not if the same userspace asks again, nor at the first boot of a card.
    pub fn begin(
        &mut self,
        boot: &Boot,
        judge: impl FnOnce(Option<Ending>) -> (Reason, String),
    ) -> bool {
        let first = self.boot.is_empty();
        let same_kernel = self.boot == boot.id;
        let ending = self.ending.take();
        let was_reset = !first || ending.is_some();
        let (reason, why) = match ending {
            None if same_kernel => return false,
            // The kernel has no more to say about a soft-reboot.
            Some(Ending { reason, why }) if same_kernel => (reason, why),
            ending => judge(ending),
        };
        if !same_kernel {
            self.boot.clone_from(&boot.id);
            self.counted = 0;
        }
        self.waiting.clear();
        if was_reset {
            *self.counts.entry(reason).or_default() += 1;
            let Boot { generation, at, .. } = *boot;
            self.resets.push(Reset {
                reason,
                why: line(&why),
                generation,
                at,
            });
            let old = self.resets.len().saturating_sub(KEPT);
            self.resets.drain(..old);
        }
        was_reset
    }

    /// Says how this boot ends. What was said first stands: a reboot is also seen by those who did not ask for it.
    pub fn end(&mut self, reason: Reason, why: String) {
        let why = line(&why);
        self.ending.get_or_insert(Ending { reason, why });
    }

    /// The boot does not end as was said.
    pub fn go_on(&mut self) {
        self.ending = None;
    }

    /// Whether it was said how this boot ends.
    pub fn ends(&self) -> bool {
        self.ending.is_some()
    }

    /// The device has been up for so many seconds since its kernel started.
    pub fn run_until(&mut self, uptime: u64) {
        let more = uptime.saturating_sub(self.counted);
        self.counted = self.counted.max(uptime);
        for spent in &mut self.spent {
            spent.age += more;
        }
        self.spent.retain(|spent| spent.age < DAY);
    }

    /// Recovery is about to reboot.
    pub fn spend(&mut self, generation: Option<Generation>) {
        self.spent.push(Spent { age: 0, generation });
    }

    /// Reboots by recovery within the last day.
    pub fn spent(&self) -> usize {
        self.spent.len()
    }

    /// How many of them left this generation.
    pub fn in_vain(&self, generation: Option<Generation>) -> usize {
        let of = |spent: &&Spent| spent.generation == generation;
        self.spent.iter().filter(of).count()
    }

    /// Whether time has to be counted, or a service to be started again.
    pub fn is_at_work(&self) -> bool {
        !self.spent.is_empty() || !self.waiting.is_empty()
    }

    /// `generation` was blessed; until then, `good` was the good one.
    pub fn bless(&mut self, good: Generation, generation: Generation) {
        if self.blessed.is_empty() {
            self.blessed.insert(good);
        }
        self.blessed.insert(generation);
        while self.blessed.len() > BLESSED {
            self.blessed.pop_first();
        }
    }

    /// The latest good generation before `running`, among those that are `there`. None if `running` was not blessed since
    /// recovery left it: it goes back from a generation once.
    pub fn before(&self, running: Generation, there: &[Generation]) -> Option<Generation> {
        let mut before = self.blessed.range(..running).rev();
        let blessed = self.blessed.contains(&running);
        before.find(|g| blessed && there.contains(g)).copied()
    }

    /// Recovery goes back from this generation.
    pub fn leave(&mut self, generation: Generation) {
        self.blessed.remove(&generation);
    }

    /// The last reset.
    pub fn last(&self) -> Option<&Reset> {
        self.resets.last()
    }

    /// What is known of it.
    pub fn tell(&self, limit: usize) -> Recovery {
        Recovery {
            resets: self.resets.clone(),
            counts: self.counts.clone(),
            reboots: self.spent.len(),
            limit,
            waiting: self.waiting.iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;

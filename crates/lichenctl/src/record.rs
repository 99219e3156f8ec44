//! A record of updates that survives power cuts, so that the device never accepts an older channel, and never retries
//! an update that failed here or that was rolled back.

use crate::channel::Config;
use crate::generations::{self, Running, TRIES};
use crate::kept;
use crate::root::Root;
use crate::state::State;
use anyhow::Result;
use protocol::channel::Channel;
use protocol::status::{Following, Last};
use protocol::vitals::Refusal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

const FILE: &str = "var/lib/lichen/update.json";
/// How many failed toplevels are remembered: a channel names one at a time.
const FAILED: usize = 16;

/// The record, in /var/lib/lichen/update.json.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The highest sequence accepted, by `appliance/channel`.
    pub sequences: BTreeMap<String, u64>,
    /// The toplevels that failed here, the latest last.
    pub failed: Vec<String>,
    /// The toplevel that is being activated, and how many attempts were interrupted.
    pub begun: Option<(String, u64)>,
    /// The last run.
    pub last: Option<Last>,
    /// When the channel was reached last, and was one to follow: seconds since 1970, by the device's clock.
    pub reached: Option<u64>,
    /// The toplevel that it named while another one ran, and since when.
    pub ahead: Option<(String, u64)>,
}

/// A run that ends now.
pub fn ended(refusal: Option<Refusal>, said: String) -> Last {
    Last {
        at: now(),
        ok: refusal.is_none(),
        said,
        refusal,
    }
}

/// Seconds since 1970, by the device's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "lichenctl is no service and has no kit"
)]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}

/// The channel and the last result; none if no channel is followed.
pub fn following(root: &Root) -> Option<Following> {
    let config = Config::load(root).ok()??;
    let Record {
        last,
        reached,
        ahead,
        ..
    } = Record::load(root);
    let ago = |at: u64| now().checked_sub(at);
    let running = Running::read(root).toplevel;
    let ahead = ahead.filter(|(toplevel, _)| running.as_ref() != Some(toplevel));
    Some(Following {
        channel: config.channel,
        seconds_ago: last.as_ref().and_then(|last| ago(last.at)),
        reached_seconds_ago: reached.map(|at| ago(at).unwrap_or(0)),
        behind_seconds: ahead.map(|(_, since)| ago(since).unwrap_or(0)),
        last,
    })
}

/// Records that `toplevel` was rolled back, so that the next run does not install it again.
pub fn rolled_back(root: &Root, toplevel: &str) -> Result<()> {
    let mut record = Record::load(root);
    if Config::load(root)?.is_some() && record.fail(toplevel) {
        record.save(root)?;
    }
    Ok(())
}

/// Records at boot which toplevel used up its tries, because the boot state forgets this with the next change.
pub fn trial_failed(root: &Root, state: State) -> Result<()> {
    let Some(toplevel) = failed_trial(root, state) else {
        return Ok(());
    };
    let mut record = Record::load(root);
    if record.fail(&toplevel) {
        record.save(root)?;
    }
    Ok(())
}

/// The toplevel that used up its tries.
pub fn failed_trial(root: &Root, state: State) -> Option<String> {
    generations::toplevel(root, generations::failed_trial(root, state)?)
}

impl Record {
    /// Reads the record. A damaged one counts as empty: never updating again would be worse.
    pub fn load(root: &Root) -> Self {
        kept::load(root, FILE)
    }

    /// Writes it, durably.
    pub fn save(&self, root: &Root) -> Result<()> {
        kept::save(root, FILE, self)
    }

    /// The highest sequence accepted from this channel.
    pub fn accepted(&self, channel: &Channel) -> u64 {
        self.sequences.get(&key(channel)).copied().unwrap_or(0)
    }

    /// From now on, accepts no lower sequence from this channel.
    pub fn accept(&mut self, channel: &Channel) {
        let highest = self.sequences.entry(key(channel)).or_default();
        *highest = channel.sequence.max(*highest);
    }

    /// Records that a channel to follow was reached now, and names this toplevel, which runs or does not.
    pub fn reach(&mut self, toplevel: &str, runs: bool) {
        self.reached = Some(now());
        let known = self.ahead.take().filter(|(ahead, _)| ahead == toplevel);
        if !runs {
            self.ahead = known.or_else(|| Some((toplevel.to_owned(), now())));
        }
    }

    /// Whether it failed here: it was not healthy, or its activation was interrupted too often.
    pub fn has_failed(&self, toplevel: &str) -> bool {
        let begun = self.begun.as_ref();
        self.failed.iter().any(|failed| failed == toplevel)
            || begun.is_some_and(|(begun, times)| begun == toplevel && *times >= TRIES)
    }

    /// Records that it failed here; says whether that is new.
    pub fn fail(&mut self, toplevel: &str) -> bool {
        if self.has_failed(toplevel) {
            return false;
        }
        self.failed.push(toplevel.to_owned());
        let old = self.failed.len().saturating_sub(FAILED);
        self.failed.drain(..old);
        true
    }

    /// Records that it runs here after all.
    pub fn forgive(&mut self, toplevel: &str) {
        self.failed.retain(|failed| failed != toplevel);
        self.end();
    }

    /// Records that its activation begins.
    pub fn begin(&mut self, toplevel: &str) {
        let before = self.begun.take().filter(|(begun, _)| begun == toplevel);
        let times = before.map_or(0, |(_, times)| times);
        self.begun = Some((toplevel.to_owned(), times + 1));
    }

    /// Records that its activation ended, whatever the result.
    pub fn end(&mut self) {
        self.begun = None;
    }
}

fn key(channel: &Channel) -> String {
    format!("{}/{}", channel.appliance, channel.channel)
}

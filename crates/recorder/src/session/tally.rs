//! What is still to be done with recordings, and with which nothing more can be done: for those who show it without waiting.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Session;

/// How many recordings are not what they should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that wait to be joined and checked, or are at the moment.
    pub processing: u64,
    /// How long the one that waits longest has waited, since the service started.
    pub longest: Duration,
    /// Why it waits, if that has been tried.
    pub why: Option<String>,
    /// Those of which there is no video; only their owner removes them.
    pub corrupted: u64,
}

/// The recordings that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<i64, (Instant, Option<String>)>);

impl Waiting {
    /// These wait, and no others.
    pub fn are(&mut self, processing: &[Session]) {
        self.0
            .retain(|id, _| processing.iter().any(|session| session.id == *id));
        for session in processing {
            let now = || (Instant::now(), None);
            self.0.entry(session.id).or_insert_with(now);
        }
    }

    /// One could not be joined yet.
    pub fn put_off(&mut self, id: i64, why: String) {
        let entry = self.0.entry(id);
        entry.or_insert_with(|| (Instant::now(), None)).1 = Some(why);
    }

    /// What there is to tell.
    pub fn tally(&self, corrupted: usize) -> Tally {
        let oldest = self.0.values().min_by_key(|(since, _)| *since);
        Tally {
            processing: self.0.len() as u64,
            longest: oldest.map_or(Duration::ZERO, |(since, _)| since.elapsed()),
            why: self.0.values().find_map(|(_, why)| why.clone()),
            corrupted: corrupted as u64,
        }
    }
}

//! Sends what is new in the journal, once the time is known.
//!
//! The journal is the queue: what has not arrived stays in it, and is bounded by its limits. How far it has arrived is kept as
//! a mark, the cursor of the last line of which the receiver has said that it has it. Lines go in the
//! journal's order, since a stream has to be in order for Loki. What the journal gives up before it was sent is counted, and
//! told in the stream itself. Courier's own lines are left out: they would be about sending them.
//!
//! What is in a request may have to be sent again: when its receipt was lost, after a cut, and in parts when the receiver
//! refuses some of it. Loki knows a line again only as long as it is not too far behind the newest of its stream; if it is,
//! Loki refuses a line that it has. So the lines of a request are near to each other in time.

pub mod export;
pub mod journal;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kit::{Actor, Component, Kit};

use crate::clock::{Boots, Clock};
use crate::config::Config;
use crate::mark::Mark;
use crate::send::Receiver;
use crate::send::loki::{self, Line};
use crate::send::parts::{NotYet, Parts};
use crate::send::pause::Pause;
use crate::stats::{LostLines, Outcome, Stats, What};
use export::Entry;
use journal::{Journal, Piece, Place};

/// Longer than anything but a request takes.
const PERIOD: Duration = Duration::from_secs(60);
/// How often to look whether the time is known.
const LOOK: Duration = Duration::from_secs(1);
const MARK: &str = "logs";
/// How far the lines of a request are from the first of them. No two are farther apart than the hour that Loki accepts
/// (half of its `max_chunk_age`), not even when the clock was set in between.
const NEAR_US: u64 = 30 * 60 * 1_000_000;
/// The name of this service in the journal.
const OWN: &str = "courier";
const OWN_UNIT: &str = "courier.service";
const MANAGER: &str = "init.scope";
const LEVELS: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];
const USUAL_LEVEL: u8 = 6;

/// Starts to send the journal to the receiver.
pub fn start(
    kit: &Kit,
    config: &Config,
    receiver: Receiver,
    directory: &Path,
    (clock, boots): (Clock, Boots),
    stats: Arc<Stats>,
) -> anyhow::Result<()> {
    let path = directory.join(MARK);
    let (mark, place) = Mark::open(&path).with_context(|| path.display().to_string())?;
    let place = place.and_then(|bytes| Place::from_text(std::str::from_utf8(&bytes).ok()?));
    let settings = &config.logs;
    let (program, folders) = (settings.journalctl.clone(), settings.journals.clone());
    let timeout = Duration::from_secs_f64(settings.timeout_seconds);
    kit.worker("logs", PERIOD + timeout, |component| Sender {
        receiver,
        labels: config.labels(),
        journal: Journal::new(program, folders, settings.max_line_bytes),
        most: (settings.batch_lines, settings.batch_bytes),
        interval: Duration::from_secs_f64(settings.interval_seconds),
        pause: Pause::new(settings.retry_seconds, settings.longest_retry_seconds),
        clock,
        boots,
        stats,
        component,
        mark,
        place,
        has_more: true,
        sending: None,
    })?;
    Ok(())
}

struct Sender {
    receiver: Receiver,
    labels: BTreeMap<String, String>,
    journal: Journal,
    /// Most lines and bytes of a request.
    most: (usize, usize),
    interval: Duration,
    pause: Pause,
    clock: Clock,
    boots: Boots,
    stats: Arc<Stats>,
    component: Component,
    mark: Mark,
    /// The last line that has arrived, or that nobody has to have.
    place: Option<Place>,
    has_more: bool,
    sending: Option<Sending>,
}

/// Lines that are being sent.
struct Sending {
    lines: Vec<Line>,
    place: Place,
    parts: Parts,
}

impl Actor for Sender {
    /// What is being sent stays in the journal.
    const PATIENCE: Duration = Duration::from_secs(2);

    fn turn(&mut self) -> Duration {
        if !self.boots.knows(self.clock.boot()) {
            return LOOK;
        }
        if let Some(left) = self.pause.left() {
            return left;
        }
        match self.step() {
            Ok(true) => Duration::ZERO,
            Ok(false) => self.interval,
            Err(NotYet { why, after }) => {
                self.pause.failed(after);
                self.component.degraded(format!("logs wait: {why}"));
                self.pause.left().unwrap_or_default()
            }
        }
    }
}

impl Sender {
    /// Sends one request; whether there is more to do.
    fn step(&mut self) -> Result<bool, NotYet> {
        let mut sending = match self.sending.take() {
            Some(sending) => sending,
            None => match self.next()? {
                Some(sending) => sending,
                None => return Ok(self.has_more),
            },
        };
        if let Some(part) = sending.parts.next() {
            let (verdict, bytes) = loki::post(&self.receiver, &sending.lines[part], &self.labels);
            (self.stats).request(What::Logs, Outcome::of(&verdict), bytes);
            if let Err(not_yet) = sending.parts.judged(verdict) {
                self.sending = Some(sending);
                return Err(not_yet);
            }
            self.pause.worked();
        }
        if sending.parts.next().is_some() {
            self.sending = Some(sending);
            return Ok(true);
        }
        self.delivered(sending);
        Ok(self.has_more)
    }

    /// The next lines.
    fn next(&mut self) -> Result<Option<Sending>, NotYet> {
        if !self.has_more && !self.journal.has_changed() {
            return Ok(None);
        }
        let (most, bytes) = self.most;
        let piece = self.journal.read(self.place.as_ref(), most, bytes);
        let mut piece = piece.map_err(|error| NotYet {
            why: format!("the journal cannot be read: {error:#}"),
            after: None,
        })?;
        let near = self.how_many_are_near(&piece.entries);
        self.has_more = piece.has_more || near < piece.entries.len();
        piece.entries.truncate(near);
        let Some(place) = Place::after(self.place.as_ref(), &piece.entries) else {
            return Ok(None);
        };
        let lines = self.lines(piece);
        if lines.is_empty() {
            // Not worth a write: at worst they are passed over again.
            self.place = Some(place);
            return Ok(None);
        }
        self.stats
            .oldest(What::Logs, lines.first().map(|line| line.at_us / 1000));
        let parts = Parts::of(lines.len(), self.most.0);
        Ok(Some(Sending {
            lines,
            place,
            parts,
        }))
    }

    /// How many of the first entries may be in a request together.
    fn how_many_are_near(&self, entries: &[Entry]) -> usize {
        let mut dates = entries.iter().map(|entry| self.date(entry)).peekable();
        let first = dates.peek().copied().unwrap_or_default();
        dates
            .take_while(|date| date.abs_diff(first) <= NEAR_US)
            .count()
    }

    /// What of it is sent.
    fn lines(&self, piece: Piece) -> Vec<Line> {
        let mut lines = Vec::with_capacity(piece.entries.len());
        if piece.missing > 0
            && let Some(first) = piece.entries.first()
        {
            let missing = piece.missing;
            self.stats.lost_lines(LostLines::Vacuumed, missing);
            tracing::warn!("the journal gave up {missing} lines before they were sent");
            lines.push(Line {
                unit: OWN_UNIT.into(),
                level: "warning",
                at_us: self.date(first),
                text: format!("courier: {missing} lines or more are missing here: the journal gave them up before they could be sent"),
            });
        }
        for entry in piece.entries {
            let at_us = self.date(&entry);
            if entry.unit == OWN_UNIT || entry.identifier == OWN {
                continue;
            }
            if entry.is_shortened {
                self.stats.shortened_line();
            }
            let unit = unit(&entry).to_owned();
            let priority = entry.priority.unwrap_or(USUAL_LEVEL);
            let level = LEVELS.get(usize::from(priority)).unwrap_or(&"info");
            if let Some(text) = entry.message {
                lines.push(Line {
                    unit,
                    level,
                    at_us,
                    text,
                });
            }
        }
        lines
    }

    fn date(&self, entry: &Entry) -> i64 {
        self.boots.date_line(&entry.boot, entry.up_us, entry.at_us)
    }

    fn delivered(&mut self, sending: Sending) {
        let delivered = sending.parts.delivered();
        self.stats.sent_lines(delivered.taken as u64);
        self.stats
            .lost_lines(LostLines::Refused, delivered.refused as u64);
        match &delivered.why {
            None => self.component.ok(),
            Some(why) => {
                let refused = delivered.refused;
                let problem = format!("{refused} lines were refused for good: {why}");
                self.component.degraded(problem);
            }
        }
        if let Err(error) = self.mark.put(sending.place.to_text().as_bytes()) {
            tracing::warn!("lines that have arrived may be sent again: {error}");
        }
        self.place = Some(sending.place);
        self.stats.oldest(What::Logs, None);
    }
}

/// Whose line it is.
fn unit(entry: &Entry) -> &str {
    if entry.transport == "kernel" {
        return "kernel";
    }
    let names = [
        // What the service manager says about a unit belongs to that unit.
        (entry.unit == MANAGER).then_some(&entry.about),
        Some(&entry.unit),
        Some(&entry.identifier),
    ];
    let names = names.into_iter().flatten();
    names
        .map(String::as_str)
        .find(|name| !name.is_empty())
        .unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_belongs_to_whom_it_is_about() {
        for ([unit_name, about, identifier, transport], whose) in [
            (["x.service", "", "x", "stdout"], "x.service"),
            (
                ["init.scope", "x.service", "systemd", "journal"],
                "x.service",
            ),
            (["init.scope", "", "systemd", "journal"], "init.scope"),
            (["", "", "sshd", "syslog"], "sshd"),
            (["", "", "kernel", "kernel"], "kernel"),
            (["", "", "", ""], "unknown"),
        ] {
            let entry = Entry {
                unit: unit_name.into(),
                about: about.into(),
                identifier: identifier.into(),
                transport: transport.into(),
                ..Entry::default()
            };
            assert_eq!(unit(&entry), whose);
        }
    }
}

//! What the courier counts, and what it tells of itself: kept in memory, so that nobody who asks has to wait.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use kit::Table;

use crate::send::Verdict;

/// Why samples will never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// The queue had as many bytes as it may have.
    QueueFull,
    /// The disk did not take them, and neither was there room in memory.
    NotWritten,
    /// What was on the disk was damaged.
    Damaged,
    /// The receiver refused them.
    Refused,
}

/// Why a scrape has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// There was no answer.
    Unreachable,
    /// The answer was none of metrics.
    Status,
    /// The answer could not be understood.
    Garbage,
    /// The answer was longer than allowed, or a line of it.
    TooLong,
    /// There were more series than allowed.
    TooMany,
}

/// Why log lines will never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LostLines {
    /// The receiver refused them.
    Refused,
    /// The journal gave them up before they were sent.
    Vacuumed,
}

/// Metrics or logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Metrics.
    Metrics,
    /// Logs.
    Logs,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has what was sent.
    Taken,
    /// The receiver does not want it.
    Refused,
    /// It will be tried again.
    Later,
}

impl Outcome {
    /// What a verdict is.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Taken => Outcome::Taken,
            Verdict::Refused(_) => Outcome::Refused,
            Verdict::Later(..) => Outcome::Later,
        }
    }
}

const LOST: [(Lost, &str); 4] = [
    (Lost::QueueFull, "queue_full"),
    (Lost::NotWritten, "not_written"),
    (Lost::Damaged, "damaged"),
    (Lost::Refused, "refused"),
];
const LOST_LINES: [(LostLines, &str); 2] = [
    (LostLines::Refused, "refused"),
    (LostLines::Vacuumed, "vacuumed"),
];
const FAILURES: [(Failure, &str); 5] = [
    (Failure::Unreachable, "unreachable"),
    (Failure::Status, "status"),
    (Failure::Garbage, "garbage"),
    (Failure::TooLong, "too_long"),
    (Failure::TooMany, "too_many"),
];
const WHAT: [(What, &str); 2] = [(What::Metrics, "metrics"), (What::Logs, "logs")];
const OUTCOMES: [(Outcome, &str); 3] = [
    (Outcome::Taken, "taken"),
    (Outcome::Refused, "refused"),
    (Outcome::Later, "later"),
];

/// All counts.
#[derive(Debug, Default)]
pub struct Stats {
    queue_bytes: AtomicU64,
    waiting: AtomicU64,
    cut_off: AtomicU64,
    lost: [AtomicU64; LOST.len()],
    sent: AtomicU64,
    lines: AtomicU64,
    shortened: AtomicU64,
    lost_lines: [AtomicU64; LOST_LINES.len()],
    sent_bytes: [AtomicU64; WHAT.len()],
    requests: [[AtomicU64; OUTCOMES.len()]; WHAT.len()],
    /// When the oldest that waits was measured or written; 0 if nothing waits.
    oldest_ms: [AtomicI64; WHAT.len()],
    clock_known: AtomicBool,
    targets: Mutex<BTreeMap<String, Scraped>>,
}

/// What one target was like.
#[derive(Debug, Default, Clone)]
struct Scraped {
    up: bool,
    samples: u64,
    dropped: u64,
    repeated: u64,
    failures: [u64; FAILURES.len()],
}

impl Stats {
    /// So many bytes are in the queue, and samples in them.
    pub fn waiting(&self, bytes: u64, samples: u64) {
        self.queue_bytes.store(bytes, Relaxed);
        self.waiting.store(samples, Relaxed);
    }

    /// How many samples wait.
    pub fn samples_waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// So many bytes of a damaged segment were cut off.
    pub fn cut_off(&self, bytes: u64) {
        self.cut_off.fetch_add(bytes, Relaxed);
    }

    /// So many samples are lost.
    pub fn lost(&self, why: Lost, samples: u64) {
        self.lost[why as usize].fetch_add(samples, Relaxed);
    }

    /// How many samples are lost for this reason.
    pub fn how_many_lost(&self, why: Lost) -> u64 {
        self.lost[why as usize].load(Relaxed)
    }

    /// So many samples have arrived.
    pub fn sent(&self, samples: u64) {
        self.sent.fetch_add(samples, Relaxed);
    }

    /// So many log lines have arrived.
    pub fn sent_lines(&self, lines: u64) {
        self.lines.fetch_add(lines, Relaxed);
    }

    /// A log line was cut off.
    pub fn shortened_line(&self) {
        self.shortened.fetch_add(1, Relaxed);
    }

    /// So many log lines are lost.
    pub fn lost_lines(&self, why: LostLines, lines: u64) {
        self.lost_lines[why as usize].fetch_add(lines, Relaxed);
    }

    /// A request of so many bytes ended so.
    pub fn request(&self, what: What, outcome: Outcome, bytes: usize) {
        self.requests[what as usize][outcome as usize].fetch_add(1, Relaxed);
        self.sent_bytes[what as usize].fetch_add(bytes as u64, Relaxed);
    }

    /// The oldest that waits is of this time; none if nothing waits.
    pub fn oldest(&self, what: What, at_ms: Option<i64>) {
        self.oldest_ms[what as usize].store(at_ms.unwrap_or(0), Relaxed);
    }

    /// For how many seconds the oldest has been waiting.
    pub fn behind_seconds(&self, what: What) -> f64 {
        match self.oldest_ms[what as usize].load(Relaxed) {
            0 => 0.0,
            at_ms => (kit::clock::now_ms() - at_ms).max(0) as f64 / 1000.0,
        }
    }

    /// Whether the time is known.
    pub fn clock_known(&self, known: bool) {
        self.clock_known.store(known, Relaxed);
    }

    /// A target was scraped: it told so many samples, of which so many were dropped by name, and so many were of a series
    /// that had been told before.
    pub fn scraped(&self, job: &str, samples: u64, dropped: u64, repeated: u64) {
        self.change(job, |target| {
            target.up = true;
            target.samples += samples;
            target.dropped += dropped;
            target.repeated += repeated;
        });
    }

    /// A target could not be scraped.
    pub fn not_scraped(&self, job: &str, why: Failure) {
        self.change(job, |target| {
            target.up = false;
            target.failures[why as usize] += 1;
        });
    }

    fn change(&self, job: &str, change: impl FnOnce(&mut Scraped)) {
        let mut targets = self.targets.lock().expect("no panic while held");
        if !targets.contains_key(job) {
            targets.insert(job.to_owned(), Scraped::default());
        }
        targets.get_mut(job).map(change);
    }

    /// How many targets are up, and how many there are.
    pub fn targets_up(&self) -> (usize, usize) {
        let targets = self.targets.lock().expect("no panic while held");
        let up = targets.values().filter(|target| target.up);
        (up.count(), targets.len())
    }

    /// Everything, for `/metrics`.
    pub fn tell(&self, table: &mut Table) {
        let targets = self.targets.lock().expect("no panic while held").clone();
        let of = |value: fn(&Scraped) -> u64| {
            let told = targets.iter();
            let told = told.map(move |(job, target)| ([("target", job.clone())], value(target)));
            told.collect::<Vec<_>>()
        };
        let up = targets
            .iter()
            .map(|(job, target)| ([("target", job.clone())], target.up));
        let failures = targets.iter().flat_map(|(job, target)| {
            let labels = |why: &'static str| [("target", job.clone()), ("reason", why.to_owned())];
            let failures = FAILURES.iter();
            failures.map(move |(why, word)| (labels(word), target.failures[*why as usize]))
        });
        let lost = LOST.map(|(why, word)| ([("reason", word)], self.how_many_lost(why)));
        let lost_lines = LOST_LINES.map(|(why, word)| {
            (
                [("reason", word)],
                self.lost_lines[why as usize].load(Relaxed),
            )
        });
        let bytes = WHAT.map(|(what, word)| {
            (
                [("what", word)],
                self.sent_bytes[what as usize].load(Relaxed),
            )
        });
        let behind = WHAT.map(|(what, word)| ([("what", word)], self.behind_seconds(what)));
        let requests = WHAT.iter().flat_map(|(what, word)| {
            let of = &self.requests[*what as usize];
            let labels = |outcome: &'static str| [("what", *word), ("outcome", outcome)];
            OUTCOMES.map(|(outcome, word)| (labels(word), of[outcome as usize].load(Relaxed)))
        });
        kit::metrics! { table;
            gauges "courier_target_up", "Whether the last scrape of the target succeeded" => up;
            counters "courier_scraped_samples", "Samples that the target told" => of(|t| t.samples);
            counters "courier_dropped_samples", "Samples that were dropped by their name" => of(|t| t.dropped);
            counters "courier_repeated_samples", "Samples of a series that the same scrape had told before" => of(|t| t.repeated);
            counters "courier_scrape_failures", "Scrapes that failed" => failures;
            gauge "courier_queue_bytes", "Bytes in the queue on disk" => self.queue_bytes.load(Relaxed) as f64;
            gauge "courier_queue_samples", "Samples that wait to be sent" => self.waiting.load(Relaxed) as f64;
            counter "courier_queue_damaged_bytes", "Bytes of damaged segments that were cut off" => self.cut_off.load(Relaxed);
            gauges "courier_behind_seconds", "For how long the oldest of what waits has been waiting" => behind;
            counter "courier_sent_samples", "Samples that have arrived" => self.sent.load(Relaxed);
            counters "courier_lost_samples", "Samples that will never arrive" => lost;
            counter "courier_sent_lines", "Log lines that have arrived" => self.lines.load(Relaxed);
            counter "courier_shortened_lines", "Log lines that were cut off, as they were too long" => self.shortened.load(Relaxed);
            counters "courier_lost_lines", "Log lines that will never arrive" => lost_lines;
            counters "courier_requests", "Requests to the receivers" => requests;
            counters "courier_sent_bytes", "Bytes of these requests" => bytes;
            gauge "courier_clock_known", "Whether the time is known, before which nothing is sent" => self.clock_known.load(Relaxed);
        }
    }
}

//! One target: what a scrape of it becomes, what of it has vanished since the last one, and what it says of the scrape itself.
//!
//! All of it is as Prometheus has it: labels that clash are told as `exported_…`, series that are not told any more and all
//! series of a target that fails end with a stale marker, and `up` and the like tell how the scrape went.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fast_glob::glob_match;
use http_client::{Client, Request};

use super::exposition::{Exposed, Exposition, Format, Garbage};
use crate::labels::{Labels, NAME};
use crate::queue::codec::{STALE, Sample};
use crate::stats::{Failure, Stats};

const EXPORTED: &str = "exported_";
/// Whatever is no number is this one, so that it is no stale marker.
const NOT_A_NUMBER: f64 = f64::from_bits(0x7ff8_0000_0000_0001);
const PART: usize = 16 << 10;

/// The limits of a scrape, and which metrics are kept.
#[derive(Debug)]
pub struct Limits {
    /// A target that takes longer has failed.
    pub timeout: Duration,
    /// Most bytes.
    pub bytes: usize,
    /// Most series.
    pub series: usize,
    /// Most bytes of a line.
    pub line: usize,
    /// Names of metrics that are kept, if there are any.
    pub keep: Vec<String>,
    /// Names of metrics that are dropped.
    pub drop: Vec<String>,
}

impl Limits {
    fn keeps(&self, name: &str) -> bool {
        let among = |patterns: &[String]| patterns.iter().any(|p| glob_match(p, name));
        (self.keep.is_empty() || among(&self.keep)) && !among(&self.drop)
    }
}

/// A target.
#[derive(Debug)]
pub struct Target {
    job: String,
    url: String,
    labels: Vec<(String, String)>,
    limits: Arc<Limits>,
    client: Arc<Client>,
    stats: Arc<Stats>,
    seen: HashMap<Labels, Seen>,
    took: Duration,
}

/// Which scrapes have told a series.
#[derive(Debug, Default)]
struct Seen {
    before: bool,
    now: bool,
    /// It comes with a time of its own, so that nobody can say when it ended.
    own_time: bool,
}

/// Why a scrape has failed.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Unreachable(#[from] http_client::Error),
    #[error("it answers {0}")]
    Status(String),
    #[error("its metrics cannot be understood: line {line}: {garbage}")]
    Garbage { line: usize, garbage: Garbage },
    #[error("its metrics have more than {0} bytes")]
    TooLong(usize),
    #[error("line {0} of its metrics has more than {1} bytes")]
    LongLine(usize, usize),
    #[error("it has more than {0} series")]
    TooMany(usize),
}

/// What one scrape has told.
#[derive(Debug, Default)]
struct Told {
    samples: Vec<Sample>,
    scraped: u64,
    dropped: u64,
    repeated: u64,
    new: u64,
}

impl Target {
    /// A target with its name, its address, and the labels that all its series get.
    pub fn new(
        job: String,
        url: String,
        labels: Vec<(String, String)>,
        limits: Arc<Limits>,
        client: Arc<Client>,
        stats: Arc<Stats>,
    ) -> Self {
        Target {
            job,
            url,
            labels,
            limits,
            client,
            stats,
            seen: HashMap::new(),
            took: Duration::ZERO,
        }
    }

    /// How long its last scrape took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Scrapes it; whatever happens, there are samples that tell it, and if it failed, the reason.
    pub fn scrape(&mut self) -> (Vec<Sample>, Result<(), String>) {
        for seen in self.seen.values_mut() {
            seen.before = std::mem::take(&mut seen.now);
        }
        let (begun, mut told) = (Instant::now(), Told::default());
        let outcome = self.read(&mut told);
        self.took = begun.elapsed();
        match &outcome {
            Ok(()) => (self.stats).scraped(&self.job, told.scraped, told.dropped, told.repeated),
            Err(failed) => {
                told.samples.clear();
                told.new = 0;
                // What it told before the failure does not count as told.
                self.seen.values_mut().for_each(|seen| seen.now = false);
                self.stats.not_scraped(&self.job, failed.kind());
            }
        }
        let kept = told.samples.len() as f64;
        let mut samples = told.samples;
        self.seen.retain(|series, seen| {
            if seen.before && !seen.now && !seen.own_time {
                samples.push(sample(series.clone(), STALE));
            }
            seen.now
        });
        let report = [
            ("up", f64::from(u8::from(outcome.is_ok()))),
            ("scrape_duration_seconds", self.took.as_secs_f64()),
            ("scrape_samples_scraped", told.scraped as f64),
            ("scrape_samples_post_metric_relabeling", kept),
            ("scrape_series_added", told.new as f64),
        ];
        for (name, value) in report {
            let labels = self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            let labels: Vec<_> = labels.chain([(NAME, name)]).collect();
            samples.push(sample(Labels::new(&labels), value));
        }
        (samples, outcome.map_err(|failed| failed.to_string()))
    }

    fn read(&mut self, told: &mut Told) -> Result<(), Failed> {
        let timeout = format!("{}", self.limits.timeout.as_secs_f64());
        // A connection that is kept costs more memory for its buffers than a new one costs time: targets are near.
        let request = Request::get(&self.url)
            .header("connection", "close")
            .header("accept", Format::ACCEPT)
            .header("x-prometheus-scrape-timeout-seconds", timeout);
        let mut answer = self.client.send(request)?;
        if answer.status() != 200 {
            return Err(Failed::Status(answer.status_line()));
        }
        let format = Format::of(answer.header("content-type").unwrap_or_default());
        let mut exposition = Exposition::new(format);
        let limits = self.limits.clone();
        let mut lines = Lines::new(limits.bytes, limits.line);
        let mut part = vec![0; PART];
        let mut bytes = Vec::new();
        loop {
            let count = answer.read(&mut part)?;
            lines.add(&part[..count], count == 0, |number, line| {
                let garbage = |garbage| Failed::Garbage {
                    line: number,
                    garbage,
                };
                match exposition.line(line).map_err(garbage)? {
                    Some(exposed) => self.take(exposed, told, &mut bytes),
                    None => Ok(()),
                }
            })?;
            if count == 0 {
                break;
            }
        }
        let line = lines.number;
        exposition
            .end()
            .map_err(|garbage| Failed::Garbage { line, garbage })
    }

    /// Takes one sample in.
    fn take(
        &mut self,
        exposed: Exposed,
        told: &mut Told,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        told.scraped += 1;
        if !self.limits.keeps(exposed.name) {
            told.dropped += 1;
            return Ok(());
        }
        labelled(&exposed, &self.labels, bytes);
        let known = self.seen.get_key_value(bytes.as_slice());
        if known.is_some_and(|(_, seen)| seen.now) {
            // The first one counts, as for Prometheus.
            told.repeated += 1;
            return Ok(());
        }
        if told.samples.len() >= self.limits.series {
            return Err(Failed::TooMany(self.limits.series));
        }
        let series = known.map(|(series, _)| series.clone());
        let Some(series) = series.or_else(|| Labels::from_bytes(bytes)) else {
            return Ok(());
        };
        let seen = self.seen.entry(series.clone()).or_default();
        told.new += u64::from(!seen.before);
        seen.now = true;
        seen.own_time = exposed.at_ms.is_some();
        let value = match exposed.value.is_nan() {
            true => NOT_A_NUMBER,
            false => exposed.value,
        };
        let at_ms = exposed.at_ms;
        told.samples.push(Sample {
            series,
            value,
            at_ms,
        });
        Ok(())
    }
}

impl Failed {
    fn kind(&self) -> Failure {
        match self {
            Failed::Unreachable(_) => Failure::Unreachable,
            Failed::Status(_) => Failure::Status,
            Failed::Garbage { .. } => Failure::Garbage,
            Failed::TooLong(_) | Failed::LongLine(..) => Failure::TooLong,
            Failed::TooMany(_) => Failure::TooMany,
        }
    }
}

fn sample(series: Labels, value: f64) -> Sample {
    let at_ms = None;
    Sample {
        series,
        value,
        at_ms,
    }
}

/// The labels of a sample with those of its target. One that both have is the target's; the sample's is told as `exported_…`.
fn labelled(exposed: &Exposed, of_target: &[(String, String)], bytes: &mut Vec<u8>) {
    let mut pairs: Vec<(&str, &str)> = vec![(NAME, exposed.name)];
    let mut clashing = Vec::new();
    for (name, value) in &exposed.labels {
        match of_target.iter().any(|(target, _)| target == name) {
            _ if value.is_empty() => {}
            true => clashing.push((*name, &**value)),
            false => pairs.push((name, value)),
        }
    }
    pairs.extend(of_target.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    clashing.sort_by_key(|(name, _)| name.len());
    let mut renamed: Vec<(String, &str)> = Vec::new();
    for (name, value) in clashing {
        let mut name = format!("{EXPORTED}{name}");
        while pairs.iter().any(|(n, _)| *n == name) || renamed.iter().any(|(n, _)| *n == name) {
            name.insert_str(0, EXPORTED);
        }
        renamed.push((name, value));
    }
    pairs.extend(renamed.iter().map(|(name, value)| (name.as_str(), *value)));
    Labels::write(&mut pairs, bytes);
}

/// Cuts what comes in parts into lines.
struct Lines {
    most_bytes: usize,
    longest: usize,
    bytes: usize,
    number: usize,
    begun: Vec<u8>,
}

impl Lines {
    fn new(most_bytes: usize, longest: usize) -> Self {
        Lines {
            most_bytes,
            longest,
            bytes: 0,
            number: 0,
            begun: Vec::new(),
        }
    }

    /// Gives each line that is whole now, and at the end also what is left, to `each`.
    fn add(
        &mut self,
        mut part: &[u8],
        at_end: bool,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        self.bytes += part.len();
        if self.bytes > self.most_bytes {
            return Err(Failed::TooLong(self.most_bytes));
        }
        while let Some(end) = part.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&part[..end], &part[end + 1..]);
            self.number += 1;
            if self.begun.len() + line.len() > self.longest {
                return Err(Failed::LongLine(self.number, self.longest));
            }
            match self.begun.is_empty() {
                true => each(self.number, line)?,
                false => {
                    self.begun.extend_from_slice(line);
                    each(self.number, &self.begun)?;
                    self.begun.clear();
                }
            }
            part = rest;
        }
        self.begun.extend_from_slice(part);
        if self.begun.len() > self.longest {
            return Err(Failed::LongLine(self.number + 1, self.longest));
        }
        if at_end && !self.begun.is_empty() {
            self.number += 1;
            each(self.number, &std::mem::take(&mut self.begun))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;

//! A receiver of logs that takes and refuses as Loki documents it.
//!
//! Lines that are too old, too new, too long, or too far behind the newest line of their stream are refused with 400 and
//! named, while the others of the same request are stored. A line that is there already (same stream, time and text) is
//! stored once, but only the last one of its stream is known again for ever: any other is refused when it has fallen too far
//! behind in the meantime, although it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::messages::{self, PushRequest};
use crate::server::{Answer, Asked, Server};

const NS: i128 = 1_000_000_000;
/// `reject_old_samples_max_age`.
const OLDEST: i128 = 7 * 86_400 * NS;
/// `creation_grace_period`.
const NEWEST: i128 = 600 * NS;
/// Half of `max_chunk_age`.
const BEHIND: i128 = 3600 * NS;
/// `max_line_size`, but shorter.
const LONGEST: usize = 1000;

/// A line with its time in ns.
type Line = (i128, String);

#[derive(Debug, Default)]
struct Stream {
    lines: BTreeSet<Line>,
    /// What came last.
    last: Option<Line>,
}

#[derive(Debug, Default)]
struct State {
    streams: BTreeMap<String, Stream>,
    doubles: usize,
    /// What it answers before it looks at anything, the last one first.
    answers: Vec<Answer>,
    headers: Vec<(String, String)>,
    largest: usize,
}

/// The receiver.
pub struct Loki {
    /// Where it is reached, and whether it can be.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

impl Loki {
    /// Starts one.
    pub fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let into = state.clone();
        let server = Server::start(move |asked| into.lock().unwrap().take(&asked));
        Loki { server, state }
    }

    /// Where it takes lines.
    pub fn url(&self) -> String {
        self.server.url("/loki/api/v1/push")
    }

    /// Answers the next request so, without looking at it; a hang-up comes after it was looked at.
    pub fn answers(&self, answer: Answer) {
        self.state.lock().unwrap().answers.push(answer);
    }

    /// The texts of a unit's lines, sorted by time.
    pub fn lines(&self, unit: &str) -> Vec<String> {
        self.timed(unit).into_iter().map(|(_, text)| text).collect()
    }

    /// The same, with times in ns.
    pub fn timed(&self, unit: &str) -> Vec<(i128, String)> {
        let state = self.state.lock().unwrap();
        let of_unit = format!("unit=\"{unit}\"");
        let streams = state
            .streams
            .iter()
            .filter(|(labels, _)| labels.contains(&of_unit));
        let lines: BTreeSet<_> = streams.flat_map(|(_, of)| of.lines.clone()).collect();
        lines.into_iter().collect()
    }

    /// The labels of all streams.
    pub fn streams(&self) -> Vec<String> {
        self.state.lock().unwrap().streams.keys().cloned().collect()
    }

    /// How many lines came a second time.
    pub fn doubles(&self) -> usize {
        self.state.lock().unwrap().doubles
    }

    /// Most lines in one request.
    pub fn largest(&self) -> usize {
        self.state.lock().unwrap().largest
    }

    /// A header of the last request.
    pub fn header(&self, name: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        let found = state.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone())
    }
}

impl State {
    fn take(&mut self, asked: &Asked) -> Answer {
        let told = self.answers.pop();
        if let Some(answer) = told.clone().filter(|answer| answer.status > 0) {
            return answer;
        }
        self.headers = asked.headers.clone();
        assert_eq!(asked.header("content-type"), Some("application/x-protobuf"));
        let request: PushRequest = messages::read(&asked.body);
        let (mut refused, mut count) = (Vec::new(), 0);
        for stream in request.streams {
            let labels = &stream.labels;
            let known = self.streams.entry(labels.clone()).or_default();
            assert!(stream.entries.is_sorted_by_key(|entry| {
                let at = entry.timestamp.unwrap();
                (at.seconds, at.nanos)
            }));
            for entry in stream.entries {
                count += 1;
                let at = entry.timestamp.unwrap();
                let at = i128::from(at.seconds) * NS + i128::from(at.nanos);
                match known.take((at, entry.line)) {
                    Ok(is_new) => self.doubles += usize::from(!is_new),
                    Err(why) => refused.push(format!("entry for stream '{labels}' {why}: {at}")),
                }
            }
        }
        self.largest = self.largest.max(count);
        match (told, refused.is_empty()) {
            (Some(hang_up), _) => hang_up,
            (None, true) => Answer::new(204),
            (None, false) => Answer::new(400)
                .kind("text/plain; charset=utf-8")
                .body(refused.join("\n")),
        }
    }
}

impl Stream {
    /// Whether the line is new, or why it is refused.
    fn take(&mut self, line: Line) -> Result<bool, &'static str> {
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let (at, now) = (line.0, since_1970.as_nanos() as i128);
        let newest = self.lines.last().map_or(at, |(newest, _)| *newest);
        if now - at > OLDEST {
            return Err("has timestamp too old");
        }
        if at - now > NEWEST {
            return Err("has timestamp too new");
        }
        if line.1.len() > LONGEST {
            return Err("exceeds the maximum size");
        }
        if self.last.as_ref() == Some(&line) {
            return Ok(false);
        }
        if newest - at > BEHIND {
            return Err("is too far behind");
        }
        self.last = Some(line.clone());
        Ok(self.lines.insert(line))
    }
}

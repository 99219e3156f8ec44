//! A receiver of logs that takes and refuses as Loki documents it.
//!
//! Lines that are too old, too long, or too far behind the newest line of their stream are refused with 400 and named, while
//! the others of the same request are stored. A line that is there already (same stream, time and text) is stored once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::messages::{self, PushRequest};
use crate::server::{Answer, Asked, Server};

/// `reject_old_samples_max_age`.
const OLDEST_S: i64 = 7 * 86_400;
/// Half of `max_chunk_age`.
const BEHIND_S: i64 = 3600;
/// `max_line_size`, but shorter.
const LONGEST: usize = 1000;

#[derive(Debug, Default)]
struct State {
    streams: BTreeMap<String, BTreeSet<(i128, String)>>,
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
        let lines: BTreeSet<_> = streams.flat_map(|(_, lines)| lines.clone()).collect();
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
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let (mut refused, mut count) = (Vec::new(), 0);
        for stream in request.streams {
            let labels = &stream.labels;
            let lines = self.streams.entry(labels.clone()).or_default();
            assert!(stream.entries.is_sorted_by_key(|entry| {
                let at = entry.timestamp.unwrap();
                (at.seconds, at.nanos)
            }));
            for entry in stream.entries {
                count += 1;
                let at = entry.timestamp.unwrap();
                let newest = lines
                    .last()
                    .map_or(i64::MIN, |(at, _)| (at / 1_000_000_000) as i64);
                if now - at.seconds > OLDEST_S {
                    refused.push(format!(
                        "entry for stream '{labels}' has timestamp too old: {}",
                        at.seconds
                    ));
                } else if newest.saturating_sub(at.seconds) > BEHIND_S {
                    refused.push(format!(
                        "entry too far behind, entry timestamp is: {}",
                        at.seconds
                    ));
                } else if entry.line.len() > LONGEST {
                    refused.push(format!(
                        "Max entry size '{LONGEST}' bytes exceeded for stream '{labels}'"
                    ));
                } else {
                    let nanos = i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos);
                    let new = lines.insert((nanos, entry.line));
                    self.doubles += usize::from(!new);
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

//! Loki's push API: streams of lines as protocol buffers, compressed with snappy.
//!
//! A stream is a set of labels. Its lines are sent in the order of their times. Lines of the same stream with the same time
//! and the same text are one line for Loki, so that nothing is there twice that was sent twice.

use std::collections::BTreeMap;

use prost::Message;

use super::remote_write::compressed;
use super::{Receiver, Verdict};

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The service that wrote it.
    pub unit: String,
    /// How important it is.
    pub level: &'static str,
    /// When it was written, in microseconds since 1970.
    pub at_us: i64,
    /// What it says.
    pub text: String,
}

/// A request, as far as courier uses it.
#[derive(Clone, PartialEq, Message)]
pub struct PushRequest {
    /// The streams.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

/// Lines with the same labels.
#[derive(Clone, PartialEq, Message)]
pub struct Stream {
    /// The labels, as `{a="b", c="d"}`.
    #[prost(string, tag = "1")]
    pub labels: String,
    /// The lines, sorted by time.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<Entry>,
}

/// A line of a stream.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// When it was written.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// What it says.
    #[prost(string, tag = "2")]
    pub line: String,
}

/// A time since 1970.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Timestamp {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// What is to be added.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The request for these lines, each of which gets these labels, too.
pub fn request(lines: &[Line], labels: &BTreeMap<String, String>) -> PushRequest {
    let mut streams: BTreeMap<(&str, &str), Vec<&Line>> = BTreeMap::new();
    for line in lines {
        streams
            .entry((&line.unit, line.level))
            .or_default()
            .push(line);
    }
    let streams = streams.into_iter().map(|((unit, level), mut lines)| {
        lines.sort_by_key(|line| line.at_us);
        let own = [("level", level), ("unit", unit)];
        let all = labels
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .chain(own);
        let all: Vec<_> = all
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let entries = lines.into_iter().map(|line| Entry {
            timestamp: Some(Timestamp {
                seconds: line.at_us.div_euclid(1_000_000),
                nanos: line.at_us.rem_euclid(1_000_000) as i32 * 1000,
            }),
            line: line.text.clone(),
        });
        Stream {
            labels: format!("{{{}}}", all.join(", ")),
            entries: entries.collect(),
        }
    });
    PushRequest {
        streams: streams.collect(),
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Sends lines; says also how many bytes that took.
pub fn post(
    receiver: &Receiver,
    lines: &[Line],
    labels: &BTreeMap<String, String>,
) -> (Verdict, usize) {
    let body = compressed(&request(lines, labels).encode_to_vec());
    let bytes = body.len();
    let headers = [("content-type", "application/x-protobuf")];
    (receiver.post(body, &headers), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(unit: &str, at_us: i64, text: &str) -> Line {
        Line {
            unit: unit.into(),
            level: "info",
            at_us,
            text: text.into(),
        }
    }

    #[test]
    fn lines_of_a_stream_go_together_in_the_order_of_their_times() {
        let lines = [
            line("a", 2_000_001, "second"),
            line("b\"", 5, "other"),
            line("a", -1, "first"),
        ];
        let labels = BTreeMap::from([("instance".to_owned(), "rack7".to_owned())]);
        let sent = request(&lines, &labels).encode_to_vec();
        let read = PushRequest::decode(&sent[..]).unwrap();
        let told: Vec<_> = read
            .streams
            .iter()
            .map(|stream| {
                let lines: Vec<_> = stream
                    .entries
                    .iter()
                    .map(|entry| {
                        let at = entry.timestamp.unwrap();
                        (at.seconds, at.nanos, entry.line.as_str())
                    })
                    .collect();
                (stream.labels.as_str(), lines)
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    r#"{instance="rack7", level="info", unit="a"}"#,
                    vec![(-1, 999_999_000, "first"), (2, 1000, "second")]
                ),
                (
                    r#"{instance="rack7", level="info", unit="b\""}"#,
                    vec![(0, 5000, "other")]
                ),
            ]
        );
    }
}

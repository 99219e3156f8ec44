//! Prometheus remote-write 1.0: samples as protocol buffers, compressed with snappy.
//!
//! The samples of a series are sent together, in the order of their times, and with its labels once.

use prost::Message;
use prost::encoding::message;

use super::{Receiver, Verdict};
use crate::labels::Labels;

/// A sample with its time, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The series.
    pub series: Labels,
    /// Its value.
    pub value: f64,
    /// The time.
    pub at_ms: i64,
}

/// The field of a request that has the series.
const TIMESERIES: u32 = 1;

/// A request, as far as courier uses it.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A series with some of its samples.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Its labels, sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Its samples, sorted by time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Value>,
}

/// A label.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A sample of a series.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Value {
    /// Its value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Its time, in milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// The request for these points, as bytes. One series after the other is written out: all at once, their labels take
/// many times what is sent.
pub fn encoded(points: &[Point]) -> Vec<u8> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by_key(|point| (&point.series, point.at_ms));
    let mut bytes = Vec::new();
    for of_series in sorted.chunk_by(|one, next| one.series == next.series) {
        let labels = of_series[0].series.pairs().map(|(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        let samples = of_series.iter().map(|point| Value {
            value: point.value,
            timestamp: point.at_ms,
        });
        let series = TimeSeries {
            labels: labels.collect(),
            samples: samples.collect(),
        };
        message::encode(TIMESERIES, &series, &mut bytes);
    }
    bytes
}

/// Sends points; says also how many bytes that took.
pub fn post(receiver: &Receiver, points: &[Point]) -> (Verdict, usize) {
    let body = compressed(&encoded(points));
    let bytes = body.len();
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    (receiver.post(body, &headers), bytes)
}

/// The block format of snappy.
pub(super) fn compressed(bytes: &[u8]) -> Vec<u8> {
    let compressed = snap::raw::Encoder::new().compress_vec(bytes);
    compressed.expect("what is sent is far shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::codec::STALE;

    #[test]
    fn samples_of_a_series_go_together_in_the_order_of_their_times() {
        let series = |name| Labels::new(&[("job", "x"), ("__name__", name)]);
        let point = |name, value, at_ms| Point {
            series: series(name),
            value,
            at_ms,
        };
        let points = [
            point("a", 1.0, 30),
            point("b", 2.0, 30),
            point("a", 3.0, 15),
        ];
        let sent = encoded(&points);
        let read = WriteRequest::decode(&sent[..]).unwrap();
        let told: Vec<_> = read
            .timeseries
            .iter()
            .map(|series| {
                let labels: Vec<_> = series
                    .labels
                    .iter()
                    .map(|l| format!("{}={}", l.name, l.value))
                    .collect();
                let samples: Vec<_> = series
                    .samples
                    .iter()
                    .map(|s| (s.timestamp, s.value))
                    .collect();
                (labels.join(" "), samples)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("__name__=a job=x".to_owned(), vec![(15, 3.0), (30, 1.0)]),
                ("__name__=b job=x".to_owned(), vec![(30, 2.0)]),
            ]
        );
    }

    #[test]
    fn a_stale_marker_is_sent_bit_by_bit() {
        let series = Labels::new(&[("__name__", "a")]);
        let sent = encoded(&[Point {
            series,
            value: STALE,
            at_ms: 1,
        }]);
        let read = WriteRequest::decode(&sent[..]).unwrap();
        let value = read.timeseries[0].samples[0].value;
        assert_eq!(value.to_bits(), 0x7ff0_0000_0000_0002);
    }
}

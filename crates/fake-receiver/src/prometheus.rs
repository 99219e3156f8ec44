//! A receiver of remote-write that takes and refuses as Prometheus does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::messages::{self, WriteRequest};
use crate::server::{Answer, Asked, Server};

/// What everything that is sent has to be labelled with.
pub const LABELS: [(&str, &str); 3] = [
    ("instance", "rack7"),
    ("customer", "acme"),
    ("location", "cellar"),
];

/// What it takes.
#[derive(Debug, Clone)]
pub enum Takes {
    /// Anything: Prometheus with a long `out_of_order_time_window`, or VictoriaMetrics.
    Anything,
    /// Only what is newer than what it has; a request with anything else is refused as a whole.
    InOrder,
    /// Nothing of a metric with this name; a request with it is refused as a whole.
    AllBut(&'static str),
    /// Everything, but half of it before it refuses.
    Half,
    /// Nothing: it answers this.
    Nothing(Answer),
}

/// Series by their labels as text, without [`LABELS`] and the job `it`.
type Stored = BTreeMap<String, BTreeMap<i64, u64>>;

#[derive(Debug, Default)]
struct State {
    stored: Stored,
    /// What was stored, in the order in which it came.
    order: Vec<(String, i64, f64)>,
    doubles: usize,
    headers: Vec<(String, String)>,
}

/// The receiver.
pub struct Prometheus {
    /// Where it is reached, and whether it can be.
    pub server: Server,
    takes: Arc<Mutex<Takes>>,
    state: Arc<Mutex<State>>,
}

impl Prometheus {
    /// Starts one.
    pub fn start(takes: Takes) -> Self {
        let takes = Arc::new(Mutex::new(takes));
        let state = Arc::<Mutex<State>>::default();
        let (now, into) = (takes.clone(), state.clone());
        let server = Server::start(move |asked| {
            let takes = now.lock().unwrap().clone();
            into.lock().unwrap().take(&asked, &takes)
        });
        Prometheus {
            server,
            takes,
            state,
        }
    }

    /// Where it takes samples.
    pub fn url(&self) -> String {
        self.server.url("/api/v1/write")
    }

    /// Takes and refuses otherwise from now on.
    pub fn takes(&self, takes: Takes) {
        *self.takes.lock().unwrap() = takes;
    }

    /// The values of a series, sorted by time. A series is named as `up`, or as `up{job=climate}` if it has a job other than
    /// `it` or further labels.
    pub fn values(&self, series: &str) -> Vec<f64> {
        let samples = self.samples(series).into_iter();
        samples.map(|(_, value)| value).collect()
    }

    /// Times and values of a series.
    pub fn samples(&self, series: &str) -> Vec<(i64, f64)> {
        let state = self.state.lock().unwrap();
        let samples = state.stored.get(series).into_iter().flatten();
        samples
            .map(|(at, bits)| (*at, f64::from_bits(*bits)))
            .collect()
    }

    /// The values of a series in the order in which they came.
    pub fn arrivals(&self, series: &str) -> Vec<f64> {
        let state = self.state.lock().unwrap();
        let arrivals = state.order.iter().filter(|(name, ..)| name == series);
        arrivals.map(|(.., value)| *value).collect()
    }

    /// How many samples came a second time.
    pub fn doubles(&self) -> usize {
        self.state.lock().unwrap().doubles
    }

    /// A header of the last request.
    pub fn header(&self, name: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        let found = state.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.clone())
    }
}

impl State {
    fn take(&mut self, asked: &Asked, takes: &Takes) -> Answer {
        let mut part = match takes {
            Takes::Nothing(answer) => return answer.clone(),
            Takes::Half => usize::MAX / 2,
            _ => usize::MAX,
        };
        self.headers = asked.headers.clone();
        let request: WriteRequest = messages::read(&asked.body);
        if part < usize::MAX {
            part = request.timeseries.len() / 2;
        }
        let mut samples = Vec::new();
        for series in request.timeseries.iter().take(part) {
            let names = series.labels.iter().map(|label| &label.name);
            assert!(names.is_sorted(), "{series:?}");
            let [own, common]: [Vec<_>; 2] = [false, true].map(|common| {
                let labels = series.labels.iter();
                let all = labels.filter(|l| LABELS.contains(&(&*l.name, &*l.value)) == common);
                all.collect()
            });
            assert_eq!(common.len(), LABELS.len(), "{series:?}");
            let own = own
                .iter()
                .filter(|l| l.name != "__name__" && (&*l.name, &*l.value) != ("job", "it"));
            let own: Vec<_> = own.map(|l| format!("{}={}", l.name, l.value)).collect();
            let name = series.labels.iter().find(|l| l.name == "__name__").unwrap();
            let name = match own.is_empty() {
                true => name.value.clone(),
                false => format!("{}{{{}}}", name.value, own.join(",")),
            };
            assert!(series.samples.is_sorted_by_key(|sample| sample.timestamp));
            for sample in &series.samples {
                samples.push((name.clone(), sample.timestamp, sample.value));
            }
        }
        let refused = samples.iter().find(|(name, at, value)| match takes {
            Takes::AllBut(bad) => name.starts_with(bad),
            Takes::InOrder => self.stored.get(name).is_some_and(|series| {
                let newest = series.last_key_value().unwrap();
                at < newest.0 || (at == newest.0 && value.to_bits() != *newest.1)
            }),
            _ => false,
        });
        if let Some((name, ..)) = refused {
            return Answer::new(400).body(format!("out of order sample of {name}"));
        }
        for (name, at, value) in samples {
            let series = self.stored.entry(name.clone()).or_default();
            match series.insert(at, value.to_bits()) {
                // A sample that comes twice is the same.
                Some(before) => {
                    assert_eq!(before, value.to_bits(), "{name} at {at}");
                    self.doubles += 1;
                }
                None => self.order.push((name, at, value)),
            }
        }
        match takes {
            Takes::Half => Answer::hang_up(),
            _ => Answer::new(204),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use prost::Message;

    use super::*;
    use crate::messages::{Label, Sample, TimeSeries};

    /// Sends one value of `a_total`; the status of the answer.
    fn sends(to: &Prometheus, at: i64, value: f64) -> String {
        let names = LABELS.into_iter().chain([("__name__", "a_total")]);
        let mut labels: Vec<Label> = names
            .map(|(name, value)| Label {
                name: name.into(),
                value: value.into(),
            })
            .collect();
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let sample = Sample {
            value,
            timestamp: at,
        };
        let request = WriteRequest {
            timeseries: vec![TimeSeries {
                labels,
                samples: vec![sample],
            }],
        };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
        let body = body.unwrap();
        let mut stream = TcpStream::connect(to.server.address()).unwrap();
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(&[head.as_bytes(), &body].concat())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn what_comes_twice_is_there_once_and_what_is_late_is_taken_only_if_it_is_told_to() {
        let receiver = Prometheus::start(Takes::Anything);
        for (at, value) in [(10, 1.0), (30, 3.0), (30, 3.0), (20, 2.0)] {
            assert_eq!(sends(&receiver, at, value), "204");
        }
        assert_eq!(receiver.values("a_total"), [1.0, 2.0, 3.0]);
        assert_eq!(receiver.arrivals("a_total"), [1.0, 3.0, 2.0]);
        assert_eq!(receiver.doubles(), 1);
        receiver.takes(Takes::InOrder);
        assert_eq!(sends(&receiver, 25, 2.5), "400");
        assert_eq!(sends(&receiver, 40, 4.0), "204");
    }
}

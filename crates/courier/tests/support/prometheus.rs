//! A receiver of remote-write that takes and refuses as Prometheus does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use courier::send::remote_write::WriteRequest;
use prost::Message;

use super::server::{Answer, Asked, Server};

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

/// Series by their labels as text, without `instance`, `customer`, `location` and the job `it`.
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
    pub server: Server,
    takes: Arc<Mutex<Takes>>,
    state: Arc<Mutex<State>>,
}

impl Prometheus {
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

    pub fn url(&self) -> String {
        self.server.url("/api/v1/write")
    }

    pub fn takes(&self, takes: Takes) {
        *self.takes.lock().unwrap() = takes;
    }

    /// The values of a series, sorted by time.
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
        let body = snap::raw::Decoder::new()
            .decompress_vec(&asked.body)
            .unwrap();
        let request = WriteRequest::decode(&body[..]).unwrap();
        if part < usize::MAX {
            part = request.timeseries.len() / 2;
        }
        let mut samples = Vec::new();
        for series in request.timeseries.iter().take(part) {
            let names = series.labels.iter().map(|label| &label.name);
            assert!(names.is_sorted(), "{series:?}");
            let [own, common]: [Vec<_>; 2] = [false, true].map(|common| {
                let labels = series.labels.iter();
                let all = labels.filter(|l| COMMON.contains(&(&*l.name, &*l.value)) == common);
                all.collect()
            });
            assert_eq!(common.len(), COMMON.len(), "{series:?}");
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

const COMMON: [(&str, &str); 3] = [
    ("instance", "rack7"),
    ("customer", "acme"),
    ("location", "cellar"),
];

//! The counters of every service, and the table that metrics are written in.

use std::fmt;
use std::sync::Mutex;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type JsonBody = Box<dyn Fn() -> serde_json::Value + Send + Sync>;

/// The counters of every service.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    json: Mutex<Option<JsonBody>>,
    pub(crate) served: Counter,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) duration: Histogram,
    pub(crate) connections: Gauge,
    pub(crate) refused: Counter,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: String,
    pub(crate) route: String,
    pub(crate) status: u16,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let (requests, connections, refused) = Default::default();
        let duration = Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0]);
        let mut registry = Registry::default();
        registry.register(
            "http_requests",
            "Requests answered",
            Clone::clone(&requests),
        );
        let help = "Time from request to response";
        registry.register_with_unit(
            "http_request_duration",
            help,
            Unit::Seconds,
            duration.clone(),
        );
        registry.register(
            "http_connections",
            "Connections open",
            Clone::clone(&connections),
        );
        let help = "Connections turned away because too many were open";
        registry.register("http_connections_refused", help, Clone::clone(&refused));
        Metrics {
            registry: Mutex::new(registry),
            json: Mutex::default(),
            served: Counter::default(),
            requests,
            duration,
            connections,
            refused,
        }
    }

    pub(crate) fn register(&self, tell: impl Fn(&mut Table) + Send + Sync + 'static) {
        let mut registry = self.registry.lock().expect("no panic while held");
        registry.register_collector(Box::new(Teller(tell)));
    }

    pub(crate) fn set_json(&self, body: JsonBody) {
        *self.json.lock().expect("no panic while held") = Some(body);
    }

    /// The service's metrics in JSON, if it has them in that.
    pub(crate) fn in_json(&self) -> Option<serde_json::Value> {
        let json = self.json.lock().expect("no panic while held");
        json.as_ref().map(|body| body())
    }

    /// The service's metrics as text, to its end.
    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        encode(text, &self.registry.lock().expect("no panic while held"))
    }

    pub(crate) fn requests_served(&self) -> u64 {
        self.served.get()
    }
}

/// Receives a service's values for each request of `/metrics`; [`metrics!`](crate::metrics!) writes them as a table.
pub struct Table<'e> {
    encoder: DescriptorEncoder<'e>,
    outcome: fmt::Result,
}

/// Fills a [`Table`]: each line has the kind, the name, the help text and the value.
///
/// A `gauge` without a value is left out, which shows as a gap in graphs. `gauges` and `counters` have one value per
/// set of labels.
#[macro_export]
macro_rules! metrics {
    ($table:expr; $($kind:ident $name:literal, $help:literal => $value:expr;)+) => {
        $($table.$kind($name, $help, $value);)+
    };
}

/// The value of a gauge.
pub trait Number {
    /// The number, if there is one.
    fn number(self) -> Option<f64>;
}

impl Number for f64 {
    fn number(self) -> Option<f64> {
        Some(self)
    }
}

impl Number for bool {
    fn number(self) -> Option<f64> {
        Some(f64::from(u8::from(self)))
    }
}

impl<N: Number> Number for Option<N> {
    fn number(self) -> Option<f64> {
        self.and_then(N::number)
    }
}

impl Table<'_> {
    /// A value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Number) {
        if let Some(value) = value.number() {
            self.one(name, help, ConstGauge::new(value));
        }
    }

    /// A value that only grows; the name is given without `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) {
        self.one(name, help, ConstCounter::new(value));
    }

    /// Gauges with the same name and different labels.
    pub fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, impl Number)>,
    ) {
        let values = values.into_iter();
        let values = values.filter_map(|(of, value)| Some((of, ConstGauge::new(value.number()?))));
        self.family(name, help, MetricType::Gauge, values);
    }

    /// Counters with the same name and different labels.
    pub fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (L, u64)>,
    ) {
        let values = values.into_iter();
        let values = values.map(|(of, value)| (of, ConstCounter::new(value)));
        self.family(name, help, MetricType::Counter, values);
    }

    fn one(&mut self, name: &str, help: &str, metric: impl EncodeMetric) {
        let mut encode = || {
            let kind = metric.metric_type();
            metric.encode(self.encoder.encode_descriptor(name, help, None, kind)?)
        };
        self.outcome = self.outcome.and_then(|()| encode());
    }

    fn family<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        mut values: impl Iterator<Item = (L, M)>,
    ) {
        let mut encode = || {
            let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
            values.try_for_each(|(of, value)| value.encode(family.encode_family(&of)?))
        };
        self.outcome = self.outcome.and_then(|()| encode());
    }
}

/// The functions that fill a table.
pub(crate) struct Teller<F>(pub(crate) F);

impl<F> fmt::Debug for Teller<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl<F: Fn(&mut Table) + Send + Sync + 'static> Collector for Teller<F> {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let outcome = Ok(());
        let mut table = Table { encoder, outcome };
        (self.0)(&mut table);
        table.outcome
    }
}

//! `/metrics`: the service's own metrics, and those of every service: health, requests, process, disk, system-on-chip.

use std::fmt;
use std::sync::Mutex;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::disk;
use crate::health::Status;
use crate::kit::Kit;
use crate::process::ProcessUsage;
use crate::soc::Soc;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
struct Teller<F>(F);

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

/// The metrics of every service and its machine, measured for each request.
fn common(kit: &Kit, table: &mut Table) {
    let (usage, soc, space) = (ProcessUsage::now(), Soc::new(), disk::of_state());
    let info = [
        ("service", kit.service().to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("toplevel", toplevel()),
    ];
    let now = kit.status();
    let statuses = Status::ALL.map(|status| ([("status", status.word())], status == now));
    metrics! { table;
        gauges "service_info", "What runs, and the toplevel it runs on" => [(info, true)];
        gauges "service_health", "Which status /health shows" => statuses;
    }
    let components = kit.components().well();
    if !components.is_empty() {
        let components = components.into_iter();
        let components = components.map(|(name, well)| ([("component", name)], well));
        metrics! { table;
            gauges "service_component_up", "Whether a part of the service is well" => components;
        }
    }
    metrics! { table;
        gauge "service_uptime_seconds", "Time since the start" => kit.uptime().as_secs_f64();
        // The usual name. A Pi gets the time from the network, so this value is wrong until the clock is set; it tells
        // restarts apart, and the uptime tells how long ago the start was.
        gauge "process_start_time_seconds", "When the process started" => kit.started_at_ms() as f64 / 1000.0;
        gauge "process_resident_memory_bytes", "Resident memory" => usage.resident_bytes as f64;
        gauge "process_open_fds", "Open file descriptors" => usage.open_fds as f64;
        gauge "process_threads", "Threads" => usage.threads as f64;
        gauge "state_disk_size_bytes", "Size of the file system with the service's state"
            => space.map(|space| space.size_bytes as f64);
        gauge "state_disk_available_bytes", "What is left of it for services"
            => space.map(|space| space.available_bytes as f64);
        gauge "soc_temperature_celsius", "Temperature of the system-on-chip" => soc.temperature();
        gauge "soc_under_voltage", "Whether the supply is too weak" => soc.under_voltage();
        gauge "soc_throttling_ratio", "How much the processor is slowed down" => soc.throttling();
        counter "process_cpu_seconds", "Processor time used" => usage.cpu_seconds;
    }
}

/// The store path of the running toplevel; empty on a machine that is not an appliance.
fn toplevel() -> String {
    let target = std::fs::read_link("/run/current-system").unwrap_or_default();
    let name = target.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

pub(crate) fn routes(kit: &Kit) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(kit.clone())
}

async fn metrics(State(kit): State<Kit>, headers: HeaderMap) -> Response {
    if wants_json(&headers)
        && let Some(body) = &*kit.metrics().json.lock().expect("no panic while held")
    {
        return Json(body()).into_response();
    }
    let mut text = String::with_capacity(8192);
    // Created for this answer only: a permanent registry must not hold the kit that holds it.
    let (mut every, of) = (Registry::default(), kit.clone());
    every.register_collector(Box::new(Teller(move |table: &mut Table| {
        common(&of, table)
    })));
    let own = kit.metrics().registry.lock().expect("no panic while held");
    match encode_registry(&mut text, &every).and_then(|()| encode(&mut text, &own)) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Prometheus accepts its own formats and `*/*`; JSON must be requested explicitly.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept
        .split(',')
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

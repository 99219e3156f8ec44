//! `/metrics`: the service's own, and what every service has: health, requests, process, disk, system-on-chip.

use std::sync::Mutex;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
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

/// What is counted for every service.
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

    pub(crate) fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().expect("no panic while held"));
    }

    pub(crate) fn set_json(&self, body: JsonBody) {
        *self.json.lock().expect("no panic while held") = Some(body);
    }

    pub(crate) fn requests_served(&self) -> u64 {
        self.served.get()
    }
}

/// What every service tells of itself and its machine, measured when asked.
struct Common(Kit);

impl std::fmt::Debug for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Common")
    }
}

type Labels = Vec<(&'static str, String)>;
type Samples = Vec<(Labels, f64)>;

impl Collector for Common {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let kit = &self.0;
        let number = |value: f64| vec![(Labels::new(), value)];
        let perhaps = |value: Option<f64>| value.map(number).unwrap_or_default();
        let yes = |whether: bool| f64::from(u8::from(whether));

        let info = vec![
            ("service", kit.service().to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("toplevel", toplevel()),
        ];
        let now = kit.status();
        let statuses = Status::ALL.map(|status| {
            let is = yes(status == now);
            (vec![("status", status.word().to_owned())], is)
        });
        let components = kit.components().well().into_iter();
        let components =
            components.map(|(name, well)| (vec![("component", name.into_owned())], yes(well)));
        let (usage, soc, space) = (ProcessUsage::now(), Soc::new(), disk::of_state());

        let gauges: [(&str, &str, Samples); 13] = [
            (
                "service_info",
                "What runs, and the toplevel it runs on",
                vec![(info, 1.0)],
            ),
            (
                "service_health",
                "Which status /health shows",
                statuses.into(),
            ),
            (
                "service_component_up",
                "Whether a part of the service is well",
                components.collect(),
            ),
            (
                "service_uptime_seconds",
                "Time since the start",
                number(kit.uptime().as_secs_f64()),
            ),
            (
                // As others name it. Until the clock is set, which a Pi's is over the network, it is wrong: it tells
                // one start from another, and uptime tells how long ago that was.
                "process_start_time_seconds",
                "When the process started",
                number(kit.started_at_ms() as f64 / 1000.0),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory",
                number(usage.resident_bytes as f64),
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                number(usage.open_fds as f64),
            ),
            ("process_threads", "Threads", number(usage.threads as f64)),
            (
                "state_disk_size_bytes",
                "Size of the file system with the service's state",
                perhaps(space.map(|space| space.size_bytes as f64)),
            ),
            (
                "state_disk_available_bytes",
                "What is left of it for services",
                perhaps(space.map(|space| space.available_bytes as f64)),
            ),
            (
                "soc_temperature_celsius",
                "Temperature of the system-on-chip",
                perhaps(soc.temperature()),
            ),
            (
                "soc_under_voltage",
                "Whether the supply is too weak",
                perhaps(soc.under_voltage().map(yes)),
            ),
            (
                "soc_throttling_ratio",
                "How much the processor is slowed down",
                perhaps(soc.throttling()),
            ),
        ];
        for (name, help, samples) in gauges {
            if samples.is_empty() {
                continue;
            }
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            match samples.as_slice() {
                [(none, value)] if none.is_empty() => ConstGauge::new(*value).encode(metric)?,
                _ => {
                    for (labels, value) in &samples {
                        ConstGauge::new(*value).encode(metric.encode_family(labels)?)?;
                    }
                }
            }
        }
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "Processor time used";
        let metric =
            encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?;
        cpu.encode(metric)
    }
}

/// The name of what this machine runs, in the store; empty where that is no appliance.
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
    // Made for this answer: a registry that stays must not hold the kit that holds it.
    let mut common = Registry::default();
    common.register_collector(Box::new(Common(kit.clone())));
    let own = kit.metrics().registry.lock().expect("no panic while held");
    match encode_registry(&mut text, &common).and_then(|()| encode(&mut text, &own)) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Prometheus accepts its own formats and `*/*`; JSON has to be named.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accept
        .split(',')
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}

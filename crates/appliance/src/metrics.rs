//! `/metrics`: the service's own, and what every service has: requests, process, system-on-chip.

use std::sync::Mutex;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
        registry.register_collector(Box::new(Machine));
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

/// The process and the system-on-chip, measured when asked.
#[derive(Debug)]
struct Machine;

impl Collector for Machine {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let usage = ProcessUsage::now();
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory",
                Some(usage.resident_bytes as f64),
            ),
            (
                "process_open_fds",
                "Open file descriptors",
                Some(usage.open_fds as f64),
            ),
            ("process_threads", "Threads", Some(usage.threads as f64)),
            (
                "soc_temperature_celsius",
                "Temperature of the system-on-chip",
                Soc::new().temperature(),
            ),
            (
                "soc_under_voltage",
                "Whether the supply is too weak",
                Soc::new()
                    .under_voltage()
                    .map(|weak| f64::from(u8::from(weak))),
            ),
            (
                "soc_throttling_ratio",
                "How much the processor is slowed down",
                Soc::new().throttling(),
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "Processor time used";
        let metric =
            encoder.encode_descriptor("process_cpu_seconds", help, None, cpu.metric_type())?;
        cpu.encode(metric)
    }
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
    let registry = kit.metrics().registry.lock().expect("no panic while held");
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
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

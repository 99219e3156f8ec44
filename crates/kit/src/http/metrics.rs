//! `/metrics`: the service's own, and what every service has: health, requests, process, disk, system-on-chip.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

use crate::api::Problem;
use crate::device;
use crate::disk;
use crate::health::Status;
use crate::kit::Kit;
use crate::metrics::{Table, Teller};
use crate::process::ProcessUsage;
use crate::soc::Soc;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every service tells of itself and its machine, measured when asked.
fn common(kit: &Kit, table: &mut Table) {
    let (usage, soc, space) = (ProcessUsage::now(), Soc::default(), disk::of_state());
    let info = [
        ("service", kit.service().name.to_owned()),
        ("version", kit.service().version.to_owned()),
        ("toplevel", toplevel()),
    ];
    let now = kit.status();
    let statuses = Status::ALL.map(|status| ([("status", status.word())], status == now));
    crate::metrics! { table;
        gauges "service_info", "What runs, and the toplevel it runs on" => [(info, true)];
        gauges "service_health", "Which status /health shows" => statuses;
    }
    let components = kit.components().well();
    if !components.is_empty() {
        let components = components.into_iter();
        let components = components.map(|(name, well)| ([("component", name)], well));
        crate::metrics! { table;
            gauges "service_component_up", "Whether a part of the service is well" => components;
        }
    }
    crate::metrics! { table;
        gauge "service_uptime_seconds", "Time since the start" => kit.uptime().as_secs_f64();
        // As others name it. Until the clock is set, which a Pi's is over the network, it is wrong: it tells one start
        // from another, and uptime tells how long ago that was.
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

/// The name of what this machine runs, in the store; empty where that is no appliance.
fn toplevel() -> String {
    let target = std::fs::read_link("/run/current-system").unwrap_or_default();
    let name = target.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

pub(super) fn routes(kit: &Kit) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/metrics.json", get(in_json))
        .with_state(kit.clone())
}

async fn metrics(State(kit): State<Kit>, headers: HeaderMap) -> Response {
    if wants_json(&headers)
        && let Some(body) = kit.metrics().in_json()
    {
        return Json(body).into_response();
    }
    let mut text = String::with_capacity(8192);
    // Made for this answer: a registry that stays must not hold the kit that holds it.
    let (mut every, of) = (Registry::default(), kit.clone());
    every.register_collector(Box::new(Teller(move |table: &mut Table| {
        common(&of, table)
    })));
    let encoded = encode_registry(&mut text, &every);
    text.push_str(&device::metrics());
    match encoded.and_then(|()| kit.metrics().write(&mut text)) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The metrics in JSON for whoever sends no `Accept`, as curl; a service that has none in JSON has no such page.
async fn in_json(State(kit): State<Kit>) -> Response {
    match kit.metrics().in_json() {
        Some(body) => Json(body).into_response(),
        None => Problem::plain(StatusCode::NOT_FOUND, "no such page").into_response(),
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

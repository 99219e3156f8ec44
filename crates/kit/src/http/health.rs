//! `/health`, `/health/live` and `/health/ready`.
//!
//! *live*: does every loop beat? If not, restart the service. *ready*: has it started, and is it not failed? If not,
//! send no traffic. *health*: both, with the reasons. A degraded component has a reason and is being retried; the
//! service is still usable, so the status stays 200.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::clock;
use crate::device;
use crate::health::{Fields, Status};
use crate::kit::Kit;
use crate::process::ProcessUsage;
use crate::soc::Soc;

pub(super) fn routes(kit: &Kit) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/startup", get(startup))
        .route("/health/detailed", get(detailed))
        .with_state(kit.clone())
}

fn answer(good: bool, body: Value) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}

fn body(kit: &Kit) -> (Status, Fields) {
    let status = kit.status();
    let mut fields = Fields::new();
    fields.insert("status".into(), status.word().into());
    fields.insert("service".into(), kit.service().name.into());
    fields.insert("uptime_seconds".into(), kit.uptime().as_secs().into());
    fields.insert("timestamp".into(), clock::rfc3339(clock::now_ms()).into());
    kit.components().tell(&mut fields);
    (status, fields)
}

async fn health(State(kit): State<Kit>) -> Response {
    let (status, fields) = body(&kit);
    answer(status.is_good(), fields.into())
}

async fn live(State(kit): State<Kit>) -> Response {
    let late = kit.late();
    answer(
        late.is_empty(),
        json!({ "status": if late.is_empty() { "ok" } else { "stuck" }, "late": late }),
    )
}

async fn ready(State(kit): State<Kit>) -> Response {
    let status = kit.status();
    answer(
        status.is_good(),
        json!({ "status": status.word(), "waiting_for": kit.latches().waiting_for() }),
    )
}

async fn startup(State(kit): State<Kit>) -> Response {
    let ready = kit.latches().is_ready();
    let status = if ready { "ok" } else { "starting" };
    answer(
        ready,
        json!({ "status": status, "waiting_for": kit.latches().waiting_for() }),
    )
}

async fn detailed(State(kit): State<Kit>) -> Response {
    let (status, mut fields) = body(&kit);
    let (usage, soc) = (ProcessUsage::now(), Soc::default());
    fields.insert("waiting_for".into(), json!(kit.latches().waiting_for()));
    fields.insert("late".into(), json!(kit.late()));
    fields.insert("requests".into(), kit.requests_served().into());
    fields.insert(
        "process".into(),
        json!({
            "resident_bytes": usage.resident_bytes,
            "cpu_seconds": usage.cpu_seconds,
            "threads": usage.threads,
            "open_fds": usage.open_fds,
        }),
    );
    fields.insert(
        "soc".into(),
        json!({
            "temperature_celsius": soc.temperature(),
            "under_voltage": soc.under_voltage(),
            "throttling_ratio": soc.throttling(),
        }),
    );
    fields.insert("recovery".into(), device::recovery());
    answer(status.is_good(), fields.into())
}

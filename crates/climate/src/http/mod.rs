//! The service's own pages and API.

mod history;
mod metrics;
mod reading;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use kit::{Kit, Secret, clock};

use crate::alert::{Outbox, SharedAlerts, SharedWebhook, Texts};
use crate::history::History;
use crate::reading::SharedRoom;
use crate::sampling;

pub use metrics::register as register_metrics;

/// How handlers are given the parts of the service.
type Api = State<Arc<Sources>>;

/// The parts of the service that the handlers use.
pub struct Sources {
    /// The current state of the room.
    pub room: Arc<SharedRoom>,
    /// The history.
    pub history: History,
    /// The active alerts.
    pub alerts: Arc<SharedAlerts>,
    /// The alert settings.
    pub webhook: Arc<SharedWebhook>,
    /// The undelivered messages.
    pub outbox: Arc<Outbox>,
    /// The bearer token that allows changes.
    pub token: Option<Secret>,
    /// The name of the credential that holds the token.
    pub token_name: String,
    /// Creates the text of messages.
    pub texts: Texts,
}

/// The routes of the service.
pub fn routes(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/api/reading", get(reading::current))
        .route("/api/history", get(history::series))
        .route(
            "/api/webhook/config",
            get(webhook::show).put(webhook::change),
        )
        .route("/api/webhook/enable", post(webhook::enable))
        .route("/api/webhook/disable", post(webhook::disable))
        .route("/api/webhook/test", post(webhook::test))
        .with_state(sources)
        .merge(kit::page::files([
            ("/", include_str!("../page/index.html")),
            ("/climate.css", include_str!("../page/climate.css")),
            ("/climate.js", include_str!("../page/climate.js")),
        ]))
}

/// The service's own fields in `/health`, and those of the kit in the words of the program that climate takes the place of: the monitors
/// of its owners compare them.
pub fn extend_health(kit: &Kit) {
    let loops = kit.clone();
    kit.extend_health(move |fields| {
        if fields.get("status").is_some_and(|status| status == "ok") {
            fields.insert("status".into(), "healthy".into());
        }
        let seconds = clock::now_ms() as f64 / 1000.0;
        fields.insert("timestamp".into(), seconds.into());
        let alive = !loops.late().iter().any(|late| late == sampling::NAME);
        fields.insert("sensor_thread_alive".into(), alive.into());
    });
}

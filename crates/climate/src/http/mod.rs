//! The service's own pages and API.

mod history;
mod metrics;
mod reading;
mod webhook;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use kit::{Kit, Secret};

use crate::alert::{Outbox, SharedAlerts, SharedWebhook, Texts};
use crate::history::History;
use crate::reading::SharedRoom;
use crate::sampling;

pub use metrics::register as register_metrics;

/// The handle that handlers are given.
#[derive(Clone)]
pub struct Api(Arc<Sources>);

/// What the API answers from.
pub struct Sources {
    /// The room as it is.
    pub room: Arc<SharedRoom>,
    /// The history.
    pub history: History,
    /// What is not as it should be.
    pub alerts: Arc<SharedAlerts>,
    /// Where alerts go.
    pub webhook: Arc<SharedWebhook>,
    /// Alerts on their way.
    pub outbox: Arc<Outbox>,
    /// Who may change things: whoever knows this.
    pub token: Option<Secret>,
    /// The name of the credential that holds the token.
    pub token_name: String,
    /// How messages are worded.
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
        .with_state(Api(sources))
        .merge(kit::page::files([
            ("/", include_str!("../page/index.html")),
            ("/climate.css", include_str!("../page/climate.css")),
            ("/climate.js", include_str!("../page/climate.js")),
        ]))
}

/// Fields that `/health` shows beside the kit's own.
pub fn extend_health(kit: &Kit) {
    let loops = kit.clone();
    kit.extend_health(move |fields| {
        let alive = !loops.late().iter().any(|late| late == sampling::NAME);
        fields.insert("sensor_thread_alive".into(), alive.into());
    });
}

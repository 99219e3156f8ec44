//! The service's own page and API.

mod data;
mod metrics;
mod now;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use crate::dashboard::Reader;

pub use metrics::register as register_metrics;

/// How handlers are given the parts of the service.
type Api = State<Arc<Sources>>;

/// The parts of the service that the handlers use.
pub struct Sources {
    /// The handle to the thread that owns the cache.
    pub reader: Reader,
    /// The age in seconds from which prices are shown as stale.
    pub stale_after: i64,
    /// When the page on the device's own screen last sent a request.
    pub wall: Mutex<Option<Instant>>,
}

/// The routes of the service.
pub fn routes(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/api/health", get(now::health))
        .route("/api/now", get(now::now))
        // The same data under a path that only the page on the device's own screen uses; this records when it did.
        .route("/api/now/wall", get(now::now_on_the_wall))
        .route("/api/wall", get(now::wall))
        .route("/api/prices", get(data::prices))
        .route("/api/usage", get(data::usage))
        .route("/api/usage/days", get(data::usage_by_day))
        .with_state(sources)
        .merge(kit::page::files([
            ("/", include_str!("../page/index.html")),
            ("/energy.css", include_str!("../page/energy.css")),
            // Scripts use what those before them define.
            ("/time.js", include_str!("../page/time.js")),
            ("/prices.js", include_str!("../page/prices.js")),
            ("/chart.js", include_str!("../page/chart.js")),
            ("/energy.js", include_str!("../page/energy.js")),
        ]))
}

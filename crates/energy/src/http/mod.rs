//! The service's own page and API.

mod data;
mod metrics;
mod now;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::routing::get;

use crate::dashboard::Reader;

pub use metrics::register as register_metrics;

/// The handle that handlers are given.
#[derive(Clone)]
pub struct Api(Arc<Sources>);

/// What the API answers from.
pub struct Sources {
    /// Asks the thread that owns the cache.
    pub reader: Reader,
    /// Seconds after which prices are called stale.
    pub stale_after: i64,
    /// When the device's own screen last asked.
    pub wall: Mutex<Option<Instant>>,
}

/// The routes of the service.
pub fn routes(sources: Arc<Sources>) -> Router {
    Router::new()
        .route("/api/health", get(now::health))
        .route("/api/now", get(now::now))
        // The same, under a name that nobody but the device's own screen asks by; and when it did.
        .route("/api/now/wall", get(now::now_on_the_wall))
        .route("/api/wall", get(now::wall))
        .route("/api/prices", get(data::prices))
        .route("/api/usage", get(data::usage))
        .route("/api/usage/days", get(data::usage_by_day))
        .with_state(Api(sources))
        .merge(kit::page::files([
            ("/", include_str!("../page/index.html")),
            ("/energy.css", include_str!("../page/energy.css")),
            ("/energy.js", include_str!("../page/energy.js")),
        ]))
}

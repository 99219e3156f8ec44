//! Prices and usage of electricity, on the wall of a kitchen.
//!
//! Two programs share a cache: the *sync* is started by a timer, fetches from Amber once and ends; the *dashboard*
//! shows the content of the cache and its age. Each works without the other.

pub mod amber;
pub mod cache;
pub mod config;
pub mod dashboard;
pub mod days;
mod http;
pub mod import;
pub mod kiosk;
mod simulated;
pub mod sync;

use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use kit::Kit;

use config::Config;
use dashboard::Reader;

/// Runs the dashboard until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    let zone = config.display.zone().unwrap_or_else(|problem| {
        kit.component("time zone")
            .degraded(format!("display.{problem}"));
        TimeZone::UTC
    });
    let sources = Arc::new(http::Sources {
        reader: Reader::start(&kit, &config, zone)?,
        stale_after: config.display.stale_after_seconds as i64,
        wall: Mutex::default(),
    });
    http::register_metrics(&kit, &sources);
    kit.serve(http::routes(sources)).await
}

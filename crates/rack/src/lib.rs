//! A rack planner: racks, what is in them, whether it fits, how warm it gets, and where it is better placed.
//!
//! The parts, of which lower ones know nothing of those above them, are in the crate's README.

pub mod cache;
pub mod commands;
pub mod config;
pub mod export;
pub mod health;
pub mod http;
pub mod library;
pub mod logo;
pub mod page;
mod password;
pub mod plan;
mod preparation;
pub mod store;

use kit::{Configuration, Kit};
use serde_json::json;

use cache::Cache;
use config::{ADMIN_PASSWORD, CACHE_PASSWORD, Config, DATABASE_PASSWORD};
use preparation::Preparation;
use store::Store;

/// Runs the service until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    let credentials = kit.credentials();
    let store = Store::open(&config.database, credentials.get(DATABASE_PASSWORD)?)?;
    let cache = Cache::open(&config.cache, credentials.get(CACHE_PASSWORD)?)?;
    watch(&kit, &config, &store, &cache);
    let admin = credentials.get(ADMIN_PASSWORD)?;
    let preparation = Preparation::start(&kit, store.clone(), admin);
    let api = http::Api::new(&config, store, cache, preparation);
    kit.serve(http::routes(api)).await
}

/// Shows how the database and the cache are on `/health` and `/metrics`.
fn watch(kit: &Kit, config: &Config, store: &Store, cache: &Cache) {
    let (asked, told) = (store.clone(), store.clone());
    let watched = health::Watched {
        ping: move || {
            let store = asked.clone();
            async move { store.ping().await.map_err(|error| error.to_string()) }
        },
        pool: move || {
            let status = told.pool_status();
            health::Pool {
                size: status.size,
                available: status.available,
                waiting: status.waiting,
                max: status.max,
            }
        },
        cache: cache.clone(),
        breakers: Vec::new(),
        disk: kit::state_directory().unwrap_or_else(|| "/".into()),
        configuration: json!({
            "version": env!("CARGO_PKG_VERSION"),
            "schema": store::SCHEMA,
            "threads": config.threads(),
            "database": { "host": config.database.host, "name": config.database.name },
            "cache": { "enabled": config.cache.enabled },
            "public_view": config.access.public_view,
        }),
    };
    health::extend(kit, watched);
}

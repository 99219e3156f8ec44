//! How fast the dashboard answers from a full cache, and how much memory it takes; in JSON.
//!
//! `cargo run --release -p energy --example energy_load -- [CONNECTIONS] [REQUESTS]`

use anyhow::Result;
use energy::amber::{Channel, Kind, Level, Price, Site, Usage};
use energy::cache::Cache;
use energy::config::CACHE_FILE;
use energy::config::Config;
use energy::sync::{KEY, State};
use kit::load::Measured;
use serde_json::{Value, json};

const NOW: &str = "/api/now";
/// A day and a half of two channels in intervals of 5 minutes, out of the file.
const PRICES: &str = "/api/prices";
/// Days of usage that the cache holds, in intervals of 5 minutes.
const DAYS: i64 = 90;

fn main() -> Result<()> {
    kit::load::main([8, 20_000], measure, |_| serve())
}

fn measure([connections, requests]: [usize; 2]) -> Result<Value> {
    let service = Measured::start(&[], NOW)?;
    let idle = service.usage().resident_bytes;
    Ok(json!({
        "now_one_connection": service.load(NOW, 1, requests / 4)?,
        "now_many_connections": service.load(NOW, connections, requests)?,
        "prices_one_connection": service.load(PRICES, 1, requests / 20)?,
        "resident_bytes_idle": idle,
        "resident_bytes_after": service.usage().resident_bytes,
    }))
}

fn serve() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join(CACHE_FILE);
    fill(&file)?;
    let mut config = Config::default();
    config.cache.file = Some(file);
    kit::load::serve("energy", config, energy::run)
}

/// What months of looking at Amber leave.
fn fill(file: &std::path::Path) -> Result<()> {
    let mut cache = Cache::open(file)?;
    let now = kit::clock::now_ms();
    let this = now / 300_000 * 300;
    let channels = [(Channel::General, "E1"), (Channel::FeedIn, "B1")];
    let price = |start: i64, channel| Price {
        channel,
        start,
        minutes: 5,
        kind: match start {
            past if past < this => Kind::Actual,
            _ => Kind::Forecast,
        },
        per_kwh: 20.0 + (start % 7919) as f64 / 1000.0,
        spot_per_kwh: Some(8.0),
        predicted: None,
        renewables: Some(40.0),
        level: Some(Level::Neutral),
        spike: Default::default(),
        estimate: false,
    };
    let used = |start, (channel, identifier): (Channel, &str)| Usage {
        channel,
        identifier: identifier.into(),
        start,
        minutes: 5,
        kwh: 0.05,
        cost: 1.0,
        estimated: false,
    };
    // Day by day: what this took is not to be measured.
    for day in (this - DAYS * 86_400..this + 86_400).step_by(86_400) {
        let starts = || (day..(day + 86_400).min(this + 16 * 3600)).step_by(300);
        let prices: Vec<Price> = starts()
            .flat_map(|start| channels.map(|(channel, _)| price(start, channel)))
            .collect();
        cache.keep_prices(&prices)?;
        let usage: Vec<Usage> = starts()
            .filter(|start| *start < this)
            .flat_map(|start| channels.map(|channel| used(start, channel)))
            .collect();
        cache.keep_usage(&usage)?;
    }
    let site = Site {
        id: "SITE".into(),
        network: "Ausgrid".into(),
        status: "active".into(),
        interval_minutes: 5,
    };
    cache.set(KEY, &State::fresh(now, site))
}

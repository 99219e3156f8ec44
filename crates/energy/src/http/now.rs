//! `/api/health` and `/api/now`: the current values, from memory.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use kit::clock;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Api;
use crate::amber::{Channel, Kind, Level, Price, SpikeStatus, word};
use crate::dashboard::{Day, Seen};

/// The age of the shown data.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Health {
    /// `live` while Amber confirms the shown data, else `cache`.
    source: &'static str,
    /// Seconds since Amber last confirmed them.
    pub(super) cache_age: Option<i64>,
    /// `ok`, `stale`, or `unknown` before the first confirmation.
    status: &'static str,
    /// Why the last sync failed, if it did.
    last_error: Option<String>,
    timestamp: String,
}

impl Health {
    pub(super) fn of(seen: &Seen, stale_after: i64, now_ms: i64) -> Self {
        // Negative if the clock was set back since.
        let age = (seen.state.success).map(|success| ((now_ms - success) / 1000).max(0));
        let (source, status) = match age {
            Some(age) if age <= stale_after => ("live", "ok"),
            Some(_) => ("cache", "stale"),
            None => ("cache", "unknown"),
        };
        Health {
            source,
            cache_age: age,
            status,
            last_error: seen.state.error.clone(),
            timestamp: clock::rfc3339(now_ms),
        }
    }
}

pub(super) async fn health(State(sources): Api) -> Json<Health> {
    let seen = sources.reader.seen();
    Json(Health::of(&seen, sources.stale_after, clock::now_ms()))
}

/// `/api/now/wall`.
pub(super) async fn now_on_the_wall(State(sources): Api) -> Json<Value> {
    *sources.wall.lock().expect("no panic while held") = Some(Instant::now());
    now(State(sources)).await
}

/// `/api/wall`: how many seconds ago the device's own screen sent a request, or null if it never did.
pub(super) async fn wall(State(sources): Api) -> Json<Value> {
    let asked = *sources.wall.lock().expect("no panic while held");
    Json(json!({ "asked_seconds_ago": asked.map(|at| at.elapsed().as_secs_f64()) }))
}

pub(super) async fn now(State(sources): Api) -> Json<Value> {
    let (seen, now_ms) = (sources.reader.seen(), clock::now_ms());
    let now = now_ms / 1000;
    let mut channels = Map::new();
    for price in present(&seen, now) {
        channels.insert(word(price.channel), json!(PriceBody::of(price)));
    }
    let site = (seen.state.site.as_ref())
        .map(|site| json!({ "id": site.id, "network": site.network, "interval_minutes": site.interval_minutes }));
    Json(json!({
        "now": now,
        "time_zone": seen.zone,
        "site": site,
        "health": Health::of(&seen, sources.stale_after, now_ms),
        "prices": channels,
        "days": seen.days.iter().map(|day| day_body(day, now)).collect::<Vec<_>>(),
    }))
}

/// The current price of each channel, where known.
pub(super) fn present(seen: &Seen, now: i64) -> impl Iterator<Item = &Price> {
    (seen.prices.iter()).filter(move |price| price.start <= now && now < price.end())
}

/// A price in the API's form; times are in seconds since 1970.
#[derive(Debug, Serialize)]
pub(super) struct PriceBody {
    channel: Channel,
    kind: Kind,
    from: i64,
    to: i64,
    /// The price in cents per kWh; negative if it is earned.
    per_kwh: f64,
    /// Amber's own forecast of the price.
    predicted: Option<f64>,
    spot_per_kwh: Option<f64>,
    level: Option<Level>,
    spike: SpikeStatus,
    renewables: Option<f64>,
    estimate: bool,
}

impl PriceBody {
    pub(super) fn of(price: &Price) -> Self {
        PriceBody {
            channel: price.channel,
            kind: price.kind,
            from: price.start,
            to: price.end(),
            per_kwh: price.per_kwh,
            predicted: price.predicted,
            spot_per_kwh: price.spot_per_kwh,
            level: price.level,
            spike: price.spike,
            renewables: price.renewables,
            estimate: price.estimate,
        }
    }
}

/// A day in the API's form: kWh and cents.
pub(super) fn day_body(day: &Day, now: i64) -> Value {
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let (from, to) = day.span;
    json!({
        "date": day.date.to_string(),
        "from": from,
        "to": to,
        "today": (from..to).contains(&now),
        "complete": day.totals.minutes * 60 >= to - from,
        "estimated": day.totals.estimated,
        "kwh": rounded(day.totals.kwh),
        "cost": rounded(day.totals.cost),
        "fed_in_kwh": rounded(day.totals.fed_in_kwh),
        "earned": rounded(day.totals.earned),
    })
}

//! `/api/prices`, `/api/usage` and `/api/usage/days`: the content of the cache for a period of time.

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use kit::api::{Problem, Query, Span};
use kit::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::now::{PriceBody, day_body};
use crate::amber::{Usage, word};
use crate::dashboard::Day;
use crate::days;

const HOUR: i64 = 3600;
/// The longest period: 62 days in 5-minute intervals are already 8 MB.
const MOST_DAYS: i64 = 62;

pub(super) async fn prices(
    State(sources): Api,
    Query(span): Query<Span>,
) -> Result<Json<Intervals<PriceBody>>, Problem> {
    let (from, to) = resolve(&span, -12 * HOUR, 24 * HOUR)?;
    let found = sources
        .reader
        .ask(move |cache| cache.prices(from, to))
        .await;
    let found = found.map_err(no_cache)?;
    Ok(Json(Intervals {
        from,
        to,
        intervals: found.iter().map(PriceBody::of).collect(),
    }))
}

pub(super) async fn usage(
    State(sources): Api,
    Query(span): Query<Span>,
) -> Result<Json<Intervals<Value>>, Problem> {
    let (from, to) = resolve(&span, -48 * HOUR, 0)?;
    let found = sources.reader.ask(move |cache| cache.usage(from, to)).await;
    let found = found.map_err(no_cache)?;
    Ok(Json(Intervals {
        from,
        to,
        intervals: found.iter().map(usage_body).collect(),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Days {
    days: Option<i64>,
}

pub(super) async fn usage_by_day(
    State(sources): Api,
    Query(wanted): Query<Days>,
) -> Result<Json<Value>, Problem> {
    let wanted = wanted.days.unwrap_or(30);
    if !(1..=366).contains(&wanted) {
        return Err(Problem::bad_query("days: must be between 1 and 366"));
    }
    let now = clock::now_ms() / 1000;
    let name = sources.reader.seen().zone.clone();
    let found = sources.reader.ask(move |cache| {
        let zone = TimeZone::get(&name).unwrap_or(TimeZone::UTC);
        let today = days::at(now, &zone);
        let mut known = Vec::new();
        for date in (0..wanted).map(|ago| days::after(today, -ago)) {
            let span = days::span(date, &zone);
            let totals = cache.totals(span.0, span.1)?;
            known.extend(totals.map(|totals| day_body(&Day { date, span, totals }, now)));
        }
        Ok(json!({ "time_zone": name, "days": known }))
    });
    found.await.map(Json).map_err(no_cache)
}

fn usage_body(usage: &Usage) -> Value {
    json!({
        "channel": word(usage.channel),
        "identifier": usage.identifier,
        "from": usage.start,
        "to": usage.start + i64::from(usage.minutes) * 60,
        "kwh": usage.kwh,
        "cost": usage.cost,
        "estimated": usage.estimated,
    })
}

/// The start and end in seconds since 1970; a bound that is not given defaults to this distance from now.
fn resolve(span: &Span, from: i64, to: i64) -> Result<(i64, i64), Problem> {
    let from_now = |seconds: i64| clock::now_ms() + seconds * 1000;
    let (from, to) = span.or(|_| from_now(from), from_now(to))?;
    let (from, to) = (from / 1000, to / 1000);
    if to - from > MOST_DAYS * 24 * HOUR {
        let problem = format!("to: must be within {MOST_DAYS} days of from");
        return Err(Problem::bad_query(problem));
    }
    Ok((from, to))
}

/// The data for a period of time, in seconds since 1970.
#[derive(Debug, Serialize)]
pub(super) struct Intervals<T> {
    from: i64,
    to: i64,
    intervals: Vec<T>,
}

fn no_cache(error: anyhow::Error) -> Problem {
    Problem::unavailable("no cache", &error)
}

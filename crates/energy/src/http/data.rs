//! `/api/prices`, `/api/usage` and `/api/usage/days`: what the cache holds of a stretch of time.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use kit::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Api;
use super::now::{PriceBody, day_body};
use crate::amber::{Usage, word};
use crate::dashboard::Day;
use crate::days;

const HOUR: i64 = 3600;
/// A page of 62 days in intervals of 5 minutes is 8 MB already.
const MOST_DAYS: i64 = 62;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    from: Option<String>,
    to: Option<String>,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) async fn prices(State(Api(parts)): State<Api>, span: Asked<Span>) -> Response {
    let now = clock::now_ms() / 1000;
    let (from, to) = match resolve(span, now - 12 * HOUR, now + 24 * HOUR) {
        Ok(span) => span,
        Err(problem) => return bad(problem),
    };
    let found = parts.reader.ask(move |cache| cache.prices(from, to)).await;
    answer(found.map(|prices| {
        let intervals: Vec<PriceBody> = prices.iter().map(PriceBody::of).collect();
        Intervals {
            from,
            to,
            intervals,
        }
    }))
}

pub(super) async fn usage(State(Api(parts)): State<Api>, span: Asked<Span>) -> Response {
    let now = clock::now_ms() / 1000;
    let (from, to) = match resolve(span, now - 48 * HOUR, now) {
        Ok(span) => span,
        Err(problem) => return bad(problem),
    };
    let found = parts.reader.ask(move |cache| cache.usage(from, to)).await;
    answer(found.map(|usage| {
        let intervals: Vec<Value> = usage.iter().map(usage_body).collect();
        Intervals {
            from,
            to,
            intervals,
        }
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Days {
    days: Option<i64>,
}

pub(super) async fn usage_by_day(State(Api(parts)): State<Api>, wanted: Asked<Days>) -> Response {
    let wanted = match wanted {
        Ok(Query(wanted)) => wanted.days.unwrap_or(30),
        Err(rejection) => return bad(rejection.body_text()),
    };
    if !(1..=366).contains(&wanted) {
        return bad("days: must be between 1 and 366".into());
    }
    let now = clock::now_ms() / 1000;
    let name = parts.reader.seen().zone.clone();
    let found = parts.reader.ask(move |cache| {
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
    answer(found.await)
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

fn resolve(span: Asked<Span>, from: i64, to: i64) -> Result<(i64, i64), String> {
    let Query(span) = span.map_err(|rejection| rejection.body_text())?;
    let time = |name: &str, text: Option<String>, default: i64| match text {
        None => Ok(default),
        Some(text) => clock::parse_ms(&text).map(|ms| ms / 1000).ok_or_else(|| {
            format!("{name}: must be seconds since 1970 or like 2026-01-31T12:00:00Z")
        }),
    };
    let (from, to) = (time("from", span.from, from)?, time("to", span.to, to)?);
    match to - from {
        length if length <= 0 => Err("from: must be before to".into()),
        length if length > MOST_DAYS * 24 * HOUR => {
            Err(format!("to: must be within {MOST_DAYS} days of from"))
        }
        _ => Ok((from, to)),
    }
}

/// What is known of a stretch of time, in seconds since 1970.
#[derive(Debug, Serialize)]
struct Intervals<T> {
    from: i64,
    to: i64,
    intervals: Vec<T>,
}

fn answer(found: anyhow::Result<impl Serialize>) -> Response {
    match found {
        Ok(body) => Json(body).into_response(),
        Err(problem) => {
            let body = json!({ "error": "no cache", "details": format!("{problem:#}") });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

fn bad(problem: String) -> Response {
    let body = json!({ "error": "bad query", "details": problem });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

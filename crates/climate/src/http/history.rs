//! `/api/history?from&to&points`: readings of a stretch of time, summed up for a chart.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kit::clock;
use serde::Deserialize;

use super::{Api, error};

const DAY_MS: i64 = 86_400_000;
const MOST_POINTS: u32 = 2000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    from: Option<String>,
    to: Option<String>,
    points: Option<u32>,
}

pub(super) async fn series(
    State(Api(parts)): State<Api>,
    span: Result<Query<Span>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(span) = match span {
        Ok(span) => span,
        Err(rejection) => {
            return error(StatusCode::BAD_REQUEST, "bad query", rejection.body_text());
        }
    };
    let (from, to, points) = match span.resolve(clock::now_ms()) {
        Ok(resolved) => resolved,
        Err(problem) => return error(StatusCode::BAD_REQUEST, "bad query", problem),
    };
    match parts.history.series(from, to, points).await {
        Ok(series) => Json(series).into_response(),
        Err(problem) => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "no history",
            format!("{problem:#}"),
        ),
    }
}

impl Span {
    /// The last day unless told otherwise.
    fn resolve(&self, now: i64) -> Result<(i64, i64, u32), String> {
        let time = |name: &str, text: &Option<String>, default: i64| match text {
            None => Ok(default),
            Some(text) => clock::parse_ms(text).ok_or_else(|| {
                format!("{name}: must be seconds since 1970 or like 2026-01-31T12:00:00Z")
            }),
        };
        let to = time("to", &self.to, now)?;
        let from = time("from", &self.from, to - DAY_MS)?;
        if from >= to {
            return Err("from: must be before to".into());
        }
        let points = self.points.unwrap_or(300);
        if !(1..=MOST_POINTS).contains(&points) {
            return Err(format!("points: must be between 1 and {MOST_POINTS}"));
        }
        Ok((from, to, points))
    }
}

//! `/api/history?from&to&points`: the readings of a period, summarised for a chart.

use axum::Json;
use axum::extract::State;
use kit::api::{Problem, Query, Span};
use kit::clock;
use serde::Deserialize;

use super::Api;
use crate::history::Series;

const DAY_MS: i64 = 86_400_000;
const MOST_POINTS: u32 = 2000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    from: Option<String>,
    to: Option<String>,
    points: Option<u32>,
}

/// The default period: the last day.
pub(super) async fn series(
    State(sources): Api,
    Query(Asked { from, to, points }): Query<Asked>,
) -> Result<Json<Series>, Problem> {
    let (from, to) = Span { from, to }.or(|end| end - DAY_MS, clock::now_ms())?;
    let points = points.unwrap_or(300);
    if !(1..=MOST_POINTS).contains(&points) {
        let problem = format!("points: must be between 1 and {MOST_POINTS}");
        return Err(Problem::bad_query(problem));
    }
    let series = sources.history.series(from, to, points).await;
    let series = series.map_err(|error| Problem::unavailable("no history", &error))?;
    Ok(Json(series))
}

//! `/api/reading`: the current values of the room, or why they are unknown.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::Api;
use crate::reading::ReadingBody;

pub(super) async fn current(State(sources): Api) -> Response {
    let (room, alerts) = (sources.room.now(), sources.webhook.now().alerts);
    let active: Vec<Value> = (sources.alerts.active().into_iter())
        .map(|(subject, level)| json!({ "subject": subject.name(), "level": level.name() }))
        .collect();
    let around = Around {
        limits: json!({
            "temperature": [alerts.temp_min_c, alerts.temp_max_c],
            "humidity": [alerts.humidity_min, alerts.humidity_max],
        }),
        alerts: active,
    };
    match (room.fault, room.last) {
        (None, Some(reading)) => {
            let reading = ReadingBody::from(reading);
            Json(Present {
                reading,
                faults: room.partial,
                around,
            })
            .into_response()
        }
        (fault, last) => {
            let details = fault.unwrap_or_else(|| "the first reading is being taken".into());
            let last_reading = last.map(ReadingBody::from);
            let error = "there is no current reading";
            let body = Absent {
                error,
                details,
                last_reading,
                around,
            };
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

#[derive(Serialize)]
struct Present {
    #[serde(flatten)]
    reading: ReadingBody,
    /// Values that could not be measured although others could.
    faults: Vec<String>,
    #[serde(flatten)]
    around: Around,
}

#[derive(Serialize)]
struct Absent {
    error: &'static str,
    details: String,
    /// The last reading, marked as not current.
    last_reading: Option<ReadingBody>,
    #[serde(flatten)]
    around: Around,
}

/// The limits for a value.
#[derive(Serialize)]
struct Around {
    limits: Value,
    alerts: Vec<Value>,
}

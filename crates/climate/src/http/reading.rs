//! `/api/reading`: the room right now, or why that is not known.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Api;
use crate::reading::ReadingBody;

pub(super) async fn current(State(Api(parts)): State<Api>) -> Response {
    if let Some(reading) = parts.room.present() {
        return Json(ReadingBody::from(reading)).into_response();
    }
    let room = parts.room.now();
    let body = json!({
        "error": "there is no current reading",
        "details": room.fault.unwrap_or_else(|| "the first reading is being taken".into()),
        // Not the present, and named so.
        "last_reading": room.last.map(ReadingBody::from),
    });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

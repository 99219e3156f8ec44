//! `/api/webhook/…`: the alert settings. Requires the bearer token.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use kit::api::Problem;
use kit::clock;
use serde_json::{Value, json};

use super::{Api, Sources};
use crate::alert::{Overrides, send};

type Answer = Result<Json<Value>, Problem>;

pub(super) async fn show(State(sources): Api, headers: HeaderMap) -> Answer {
    allowed(&sources, &headers)?;
    Ok(Json(sources.webhook.now().shown()))
}

pub(super) async fn change(State(sources): Api, headers: HeaderMap, body: Bytes) -> Answer {
    allowed(&sources, &headers)?;
    // Deserialize through a map, because serde would accept a list as the values of an object, in order.
    let overrides = serde_json::from_slice(&body)
        .and_then(|fields: serde_json::Map<_, _>| serde_json::from_value(fields.into()));
    keep(&sources, &overrides.map_err(bad_configuration)?).await
}

pub(super) async fn enable(State(sources): Api, headers: HeaderMap) -> Answer {
    allowed(&sources, &headers)?;
    keep(&sources, &Overrides::enabled(true)).await
}

pub(super) async fn disable(State(sources): Api, headers: HeaderMap) -> Answer {
    allowed(&sources, &headers)?;
    keep(&sources, &Overrides::enabled(false)).await
}

/// Sends a test message in a single attempt, and returns the result.
pub(super) async fn test(State(sources): Api, headers: HeaderMap) -> Answer {
    allowed(&sources, &headers)?;
    let webhook = sources.webhook.now();
    let Some(url) = webhook.url.clone() else {
        let hint = "set the secret climate.slack-webhook-url, or PUT a url to /api/webhook/config";
        let what = "no webhook is configured";
        return Err(Problem::new(StatusCode::CONFLICT, what, hint));
    };
    let at = clock::now_ms();
    let message = sources.texts.test(at);
    let timeout = Duration::from_secs(webhook.settings.timeout);
    let sent = tokio::task::spawn_blocking(move || send(&url, &message, timeout)).await;
    let not_run = |problem| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "the test message could not be sent", problem)
    };
    sent.map_err(not_run)?.map_err(|problem| {
        let what = "the test message was not delivered";
        Problem::new(StatusCode::BAD_GATEWAY, what, problem)
    })?;
    let at = clock::rfc3339(at);
    Ok(Json(
        json!({ "message": "the test message was delivered", "timestamp": at }),
    ))
}

async fn keep(sources: &Sources, change: &Overrides) -> Answer {
    let overrides = sources
        .webhook
        .proposed(change)
        .map_err(bad_configuration)?;
    sources.history.keep(overrides).await.map_err(|error| {
        Problem::unavailable("the change could not be stored, so it was not made", &error)
    })?;
    tracing::info!("webhook configuration changed over the API");
    let config = sources.webhook.now().shown();
    Ok(Json(
        json!({ "message": "webhook configuration changed", "config": config }),
    ))
}

fn bad_configuration(problem: impl ToString) -> Problem {
    let what = "bad webhook configuration";
    Problem::new(StatusCode::BAD_REQUEST, what, problem)
}

/// Checks the caller's bearer token.
fn allowed(sources: &Sources, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &sources.token else {
        let hint = format!("set the secret {} in lichen.toml", sources.token_name);
        let what = "no bearer token is configured";
        return Err(Problem::new(StatusCode::FORBIDDEN, what, hint));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let given = given
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if given.is_some_and(|(_, guess)| token.matches(guess.trim())) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "wrong bearer token",
        "the header Authorization: Bearer … is required",
    ))
}

//! `/api/webhook/…`: where alerts go. Only for whoever knows the bearer token.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kit::clock;
use serde_json::json;

use super::{Api, Parts, error};
use crate::alert::{Overrides, send};

pub(super) async fn show(State(Api(parts)): State<Api>, headers: HeaderMap) -> Response {
    match allowed(&parts, &headers) {
        Ok(()) => Json(parts.webhook.now().shown()).into_response(),
        Err(refusal) => refusal,
    }
}

pub(super) async fn change(
    State(Api(parts)): State<Api>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(refusal) = allowed(&parts, &headers) {
        return refusal;
    }
    // Through a map, as a list would be taken for the values of an object in order.
    let overrides = serde_json::from_slice(&body)
        .and_then(|fields: serde_json::Map<_, _>| serde_json::from_value(fields.into()));
    match overrides {
        Ok(overrides) => keep(&parts, &overrides).await,
        Err(problem) => error(
            StatusCode::BAD_REQUEST,
            "bad webhook configuration",
            problem,
        ),
    }
}

pub(super) async fn enable(State(Api(parts)): State<Api>, headers: HeaderMap) -> Response {
    match allowed(&parts, &headers) {
        Ok(()) => keep(&parts, &Overrides::enabled(true)).await,
        Err(refusal) => refusal,
    }
}

pub(super) async fn disable(State(Api(parts)): State<Api>, headers: HeaderMap) -> Response {
    match allowed(&parts, &headers) {
        Ok(()) => keep(&parts, &Overrides::enabled(false)).await,
        Err(refusal) => refusal,
    }
}

/// Sends a message now, once, and says what came of it.
pub(super) async fn test(State(Api(parts)): State<Api>, headers: HeaderMap) -> Response {
    if let Err(refusal) = allowed(&parts, &headers) {
        return refusal;
    }
    let webhook = parts.webhook.now();
    let Some(url) = webhook.url.clone() else {
        let details =
            "set the secret climate.slack-webhook-url, or PUT a url to /api/webhook/config";
        return error(StatusCode::CONFLICT, "no webhook is configured", details);
    };
    let at = clock::now_ms();
    let message = parts.texts.test(at);
    let timeout = Duration::from_secs(webhook.settings.timeout);
    match tokio::task::spawn_blocking(move || send(&url, &message, timeout)).await {
        Ok(Ok(())) => Json(
            json!({ "message": "the test message was delivered", "timestamp": clock::rfc3339(at) }),
        )
        .into_response(),
        Ok(Err(problem)) => error(
            StatusCode::BAD_GATEWAY,
            "the test message was not delivered",
            problem,
        ),
        Err(problem) => error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the test did not run",
            problem,
        ),
    }
}

async fn keep(parts: &Parts, change: &Overrides) -> Response {
    let overrides = match parts.webhook.proposed(change) {
        Ok(overrides) => overrides,
        Err(problem) => {
            return error(
                StatusCode::BAD_REQUEST,
                "bad webhook configuration",
                problem,
            );
        }
    };
    match parts.history.keep(overrides).await {
        Ok(()) => {
            tracing::info!("webhook configuration changed over the API");
            let config = parts.webhook.now().shown();
            Json(json!({ "message": "webhook configuration changed", "config": config }))
                .into_response()
        }
        Err(problem) => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "the change cannot be kept, so it was not made",
            format!("{problem:#}"),
        ),
    }
}

/// Whether the caller knows the token.
#[expect(
    clippy::result_large_err,
    reason = "the error is the response, made once per refused request"
)]
fn allowed(parts: &Parts, headers: &HeaderMap) -> Result<(), Response> {
    let Some(token) = &parts.token else {
        let details = format!("set the secret {} in lichen.toml", parts.token_name);
        return Err(error(
            StatusCode::FORBIDDEN,
            "no bearer token is configured",
            details,
        ));
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
    let mut refusal = error(
        StatusCode::UNAUTHORIZED,
        "wrong bearer token",
        "Authorization: Bearer … is needed",
    );
    refusal.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        header::HeaderValue::from_static("Bearer"),
    );
    Err(refusal)
}

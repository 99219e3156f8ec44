//! The layers around every request: request ID, time limit, body limit, counters, security headers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::api::Problem;
use crate::kit::Kit;
use crate::metrics::RequestLabels;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Adds the layers to a service's routes.
pub(super) fn wrap(kit: &Kit, routes: Router) -> Router {
    routes
        .fallback(async || Problem::plain(StatusCode::NOT_FOUND, "no such page"))
        .method_not_allowed_fallback(async || {
            Problem::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "this method is not allowed here",
            )
        })
        .layer(DefaultBodyLimit::max(kit.http().max_body_bytes))
        .layer(middleware::from_fn_with_state(kit.clone(), pass))
}

async fn pass(State(kit): State<Kit>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str)
        .to_owned();

    let limit = kit.http().request_timeout();
    let mut response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(request_id = id, route, "request took too long");
            Problem::plain(StatusCode::SERVICE_UNAVAILABLE, "the request took too long")
                .into_response()
        }
    };

    let (status, took) = (response.status(), started.elapsed());
    // 503 is a state (no sensor, starting, stopping), and states are logged when they change: a page that polls every
    // few seconds must not fill the journal.
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(request_id = id, %method, route, status = status.as_u16(), "request failed");
    } else {
        tracing::debug!(
            request_id = id,
            %method,
            route,
            status = status.as_u16(),
            took_us = took.as_micros() as u64,
            "request"
        );
    }
    let metrics = kit.metrics();
    // A client can send any text as the method; only known methods become labels.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE") => known,
        _ => "other",
    };
    let labels = RequestLabels {
        method: method.to_owned(),
        route,
        status: status.as_u16(),
    };
    metrics.requests.get_or_create(&labels).inc();
    metrics.served.inc();
    metrics.duration.observe(took.as_secs_f64());

    let headers = response.headers_mut();
    // A page that needs other values (for a map's tiles, a frame) sets these headers itself.
    for (name, value) in SECURITY_HEADERS {
        let header = headers.entry(name);
        header.or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The caller's request ID if it is well-formed, so that logs of both sides can be joined; otherwise a new one.
fn request_id(request: &Request) -> String {
    let sane = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    given.filter(sane).map_or_else(new_id, str::to_owned)
}

fn new_id() -> String {
    static START: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(
        "{:016x}",
        START.hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
    )
}

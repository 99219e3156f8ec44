//! Shared parts of all services' HTTP APIs: error answers, and queries for a period of time.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::clock;

/// An error answer: `{ "error": …, "details": … }`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    error: &'static str,
    details: Option<String>,
}

impl Problem {
    /// `error` is the service's own text; `details` is the message of the underlying error.
    pub fn new(status: StatusCode, error: &'static str, details: impl ToString) -> Self {
        Problem {
            status,
            error,
            details: Some(details.to_string()),
        }
    }

    /// `error` says all there is to say, and the answer has no `details`.
    pub(crate) fn plain(status: StatusCode, error: &'static str) -> Self {
        Problem {
            status,
            error,
            details: None,
        }
    }

    /// The request is invalid.
    pub fn bad_query(details: impl ToString) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad query", details)
    }

    /// The request cannot be served at the moment.
    pub fn unavailable(error: &'static str, why: &anyhow::Error) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, format!("{why:#}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.error });
        if let Some(details) = self.details {
            body["details"] = details.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// The query of a request; an invalid one is answered with a [`Problem`].
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Query(query)),
            Err(rejection) => Err(Problem::bad_query(rejection.body_text())),
        }
    }
}

/// The period of time in a query: `from` and `to`, in seconds since 1970 or as 2026-01-31T12:00:00Z.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Its start.
    pub from: Option<String>,
    /// Its end.
    pub to: Option<String>,
}

impl Span {
    /// Start and end in milliseconds since 1970. The default end is `end`; the default start is what `begin` returns
    /// for the end.
    pub fn or(&self, begin: impl FnOnce(i64) -> i64, end: i64) -> Result<(i64, i64), Problem> {
        let time = |name: &str, text: &str| {
            clock::parse_ms(text).ok_or_else(|| {
                let as_what = "must be seconds since 1970 or like 2026-01-31T12:00:00Z";
                Problem::bad_query(format!("{name}: {as_what}"))
            })
        };
        let to = self
            .to
            .as_deref()
            .map_or(Ok(end), |text| time("to", text))?;
        let from = match &self.from {
            Some(text) => time("from", text)?,
            None => begin(to),
        };
        match from < to {
            true => Ok((from, to)),
            false => Err(Problem::bad_query("from: must be before to")),
        }
    }
}

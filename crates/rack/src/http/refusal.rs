//! What the API says when it does not do what it was asked: `{ "error": …, "details": … }`, and what a program needs beside it.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::{Content, Ref, RefOr, Response as ApiResponse, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::cache::Outage;
use crate::library::limits;
use crate::plan::check::Conflict;
use crate::plan::model::Id;
use crate::store;

/// How long to wait before the next try when a part of the planner is gone, in seconds.
const SHORTLY: u64 = 2;

/// An answer that is not what was asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Map<String, Value>,
    retry_after: Option<u64>,
}

/// The body of an answer that is not what was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusalBody {
    /// What is wrong, in the same words each time.
    error: String,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The version that the thing has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<i64>,
    /// Why it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts: Option<Vec<ConflictBody>>,
}

/// Why a device does not fit: `what` says of which kind that is, and the other fields belong to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConflictBody {
    /// The device that is concerned, if a whole rack was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<Id>,
    /// A sentence for people.
    pub(super) text: String,
    /// What the conflict consists of.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub(super) conflict: Conflict,
}

impl From<Conflict> for ConflictBody {
    fn from(conflict: Conflict) -> Self {
        ConflictBody {
            device: None,
            text: conflict.to_string(),
            conflict,
        }
    }
}

/// What everything may be answered with.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<ApiResponse>> {
        described([
            (400, "The request cannot be understood."),
            (401, "Nobody is logged in."),
            (403, "Whoever is logged in may not do this."),
            (404, "There is no such thing."),
            (422, "A value is not permitted; `field` names it."),
            (
                429,
                "Too many requests; `Retry-After` says when to try again.",
            ),
            (503, "The database is away, or everything is in use."),
        ])
    }
}

/// What everything that changes something may be answered with, beside [`Refusals`].
pub(super) struct ChangeRefusals;

impl IntoResponses for ChangeRefusals {
    fn responses() -> BTreeMap<String, RefOr<ApiResponse>> {
        described([
            (
                409,
                "Somebody else changed it, it does not fit, its name is taken, or it is in use.",
            ),
            (413, "The body is too large."),
            (415, "The body is of another type than is taken."),
        ])
    }
}

fn described<const N: usize>(
    all: [(u16, &'static str); N],
) -> BTreeMap<String, RefOr<ApiResponse>> {
    let described = all.map(|(status, text)| {
        let body = Ref::from_schema_name(RefusalBody::name());
        let response = ResponseBuilder::new()
            .description(text)
            .content("application/json", Content::new(Some(body)));
        (status.to_string(), response.build().into())
    });
    described.into_iter().collect()
}

impl Refusal {
    fn new(status: StatusCode, error: &str) -> Self {
        let mut body = Map::new();
        body.insert("error".into(), error.into());
        Refusal {
            status,
            body,
            retry_after: None,
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body.insert(name.into(), value.into());
        self
    }

    fn because(self, details: impl ToString) -> Self {
        self.with("details", details.to_string())
    }

    fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The request cannot be understood.
    pub(super) fn bad(error: &str, details: impl ToString) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error).because(details)
    }

    /// Nobody is logged in.
    pub(super) fn unauthorized(details: &str) -> Self {
        Refusal::new(StatusCode::UNAUTHORIZED, "not logged in").because(details)
    }

    /// Whoever is logged in may not do this.
    pub(super) fn forbidden(details: impl ToString) -> Self {
        Refusal::new(StatusCode::FORBIDDEN, "not permitted").because(details)
    }

    /// There is no such thing.
    pub(super) fn missing(details: impl ToString) -> Self {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such thing").because(details)
    }

    /// The value of a field is not permitted.
    pub(super) fn invalid(field: impl ToString, why: impl ToString) -> Self {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid")
            .with("field", field.to_string())
            .because(why)
    }

    /// The body is larger than this many bytes.
    pub(super) fn too_large(most: usize) -> Self {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
            .because(format!("{most} bytes are the most"))
    }

    /// The body is of another type than this.
    pub(super) fn wrong_type(wanted: &str) -> Self {
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "this type of body is not taken",
        )
        .because(format!("send Content-Type: {wanted}"))
    }

    /// Too many requests; the next one is taken after so many seconds.
    pub(super) fn too_many(error: &str, seconds: u64) -> Self {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, error)
            .because(format!("try again in {seconds} s"))
            .after(seconds)
    }

    /// It cannot be done at the moment.
    pub(super) fn unavailable(error: &str, why: impl ToString) -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
            .because(why)
            .after(SHORTLY)
    }

    /// A mistake of the planner itself, which is told to its journal and not to the caller.
    pub(super) fn broken(what: &str, error: impl std::fmt::Display) -> Self {
        tracing::error!("{what}: {error}");
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the planner made a mistake",
        )
        .because(what)
    }

    /// Whether a later try may succeed, and something that was known before may be used until then.
    pub(super) fn is_passing(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE
    }
}

impl Outage for store::Error {
    fn is_outage(&self) -> bool {
        matches!(self, store::Error::Gone(_))
    }
}

impl Outage for Refusal {
    fn is_outage(&self) -> bool {
        self.is_passing()
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        let text = error.to_string();
        let conflict = |what: &str| Refusal::new(StatusCode::CONFLICT, what);
        match error {
            store::Error::Missing { .. } => Refusal::missing(text),
            store::Error::Changed { now, .. } => conflict("changed by somebody else")
                .with("now", now)
                .because(text),
            store::Error::Taken { .. } => conflict("the name is taken").because(text),
            store::Error::InUse { .. } => conflict("it is in use").because(text),
            store::Error::Conflicts(conflicts) => {
                let told = conflicts.into_iter().map(ConflictBody::from);
                let told: Vec<Value> = told.map(|conflict| json!(conflict)).collect();
                conflict("it does not fit").with("conflicts", told)
            }
            store::Error::Invalid { field, why } => Refusal::invalid(field, why),
            store::Error::Busy(why) => Refusal::unavailable("the database is busy", why),
            store::Error::Gone(why) => Refusal::unavailable("the database does not answer", why),
            store::Error::Fault(why) => Refusal::broken("the database refuses a statement", why),
            store::Error::Newer { .. } => Refusal::unavailable("the database is too new", text),
        }
    }
}

impl From<limits::Wrong> for Refusal {
    fn from((field, why): limits::Wrong) -> Self {
        Refusal::invalid(field, why)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

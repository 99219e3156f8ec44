//! `/api/audit`: who changed what.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::body::{List, Natural, Query, limit};
use super::caller::Admin;
use super::refusal::{Refusal, Refusals};
use crate::store::{AuditQuery, Entry};

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those of things of this sort: `rack`, `device`, `kind`, `user`, …
    #[param(max_length = 200)]
    what: Option<String>,
    /// Those of the thing of this number.
    #[param(minimum = 0, value_type = Option<i64>)]
    id: Option<Natural>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Those before this number, which is the `next` of the part before.
    #[param(minimum = 0, value_type = Option<i64>)]
    before: Option<Natural>,
}

/// Who changed what, the latest first
#[utoipa::path(get, path = "/api/audit", tag = "people", params(Which), responses((status = 200, body = List<Entry>), Refusals))]
pub(super) async fn list(
    State(api): State<Api>,
    _: Admin,
    Query(which): Query<Which>,
) -> Result<Json<List<Entry>>, Refusal> {
    let limit = limit(which.limit)?;
    let query = AuditQuery {
        what: which.what,
        id_of: which.id.map(|id| id.0),
        before: which.before.map(|before| before.0),
        limit: limit + 1,
    };
    let found = api.store.audit(query).await?;
    Ok(Json(List::part(found, limit, |entry| entry.id)))
}

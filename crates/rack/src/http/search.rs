//! `/api/search`: racks, devices and kinds by words.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::body::{List, Query, limit};
use super::caller::View;
use super::plan::{json, of_cache};
use super::refusal::{Refusal, Refusals};
use crate::cache::Group;
use crate::store::Hit;

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Words, or what words begin with. All of them have to be there.
    #[param(max_length = 200)]
    q: String,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Racks, devices and kinds that have these words, the best first
#[utoipa::path(get, path = "/api/search", tag = "racks", params(Wanted), responses((status = 200, body = List<Hit>), Refusals))]
pub(super) async fn search(
    State(api): State<Api>,
    _: View,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let limit = limit(wanted.limit)?;
    let key = format!("{limit}:{}", wanted.q.trim().to_lowercase());
    let make = async || json(&List::all(api.store.search(&wanted.q, limit).await?));
    let found = api.cache.get_or(Group::Search, &key, make).await?;
    Ok(of_cache(found))
}

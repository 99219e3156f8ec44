//! `/api/racks/{id}/plan`, `…/thermal` and `…/optimise`: what is in a rack, whether it fits, how warm it gets, and how it would be better.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::body::{Body, Number};
use super::caller::View;
use super::refusal::{ChangeRefusals, ConflictBody, Refusal, Refusals};
use crate::cache::{Group, Origin};
use crate::plan::check;
use crate::plan::model::{Filled, Item, Rack};
use crate::plan::optimise::{self, Proposal, Wish};
use crate::plan::thermal::{self, Thermal};

/// A rack, what is in it, and what there is to say of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Plan {
    /// The rack.
    rack: Rack,
    /// What is in it, by number.
    items: Vec<Item>,
    /// What does not fit.
    conflicts: Vec<ConflictBody>,
    /// How warm it gets.
    thermal: Thermal,
}

impl From<Filled> for Plan {
    fn from(mut filled: Filled) -> Self {
        // The same rack has the same text, by which it is known whether it has changed.
        filled.items.sort_by_key(|item| item.device.id);
        let conflicts = check::conflicts(&filled);
        let told = conflicts.into_iter().map(|(device, conflict)| {
            let mut told = ConflictBody::from(conflict);
            told.device = Some(device);
            told
        });
        Plan {
            conflicts: told.collect(),
            thermal: thermal::thermal(&filled),
            rack: filled.rack,
            items: filled.items,
        }
    }
}

/// All of a rack
///
/// With what is in it, what does not fit, and how warm it gets.
#[utoipa::path(
    get, path = "/api/racks/{id}/plan", tag = "racks", params(Number),
    responses((status = 200, body = Plan, headers(("etag" = String))), (status = 304), Refusals)
)]
pub(super) async fn show(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let make = async || json(&Plan::from(api.store.filled(id).await?));
    let found = api.cache.get_or(Group::Plan, &id.to_string(), make).await?;
    // What may be old is never taken for the same.
    let is_old = found.1 == Origin::Stale;
    let etag = etag(&found.0);
    let answer = match headers.get(header::IF_NONE_MATCH) {
        Some(known) if !is_old && known.as_bytes() == etag.as_bytes() => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => of_cache(found),
    };
    // Asked for each time, and seldom sent.
    let caching = [
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::ETAG, etag),
    ];
    Ok((caching, answer).into_response())
}

/// How warm a rack gets
#[utoipa::path(
    get, path = "/api/racks/{id}/thermal", tag = "racks", params(Number),
    responses((status = 200, body = Thermal), Refusals)
)]
pub(super) async fn thermal(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
) -> Result<Response, Refusal> {
    let make = async || json(&thermal::thermal(&api.store.filled(id).await?));
    let key = id.to_string();
    let found = api.cache.get_or(Group::Thermal, &key, make).await?;
    Ok(of_cache(found))
}

/// How a rack would be better
///
/// Nothing is moved: send `moves` to `/api/moves` for that.
#[utoipa::path(
    post, path = "/api/racks/{id}/optimise", tag = "racks", params(Number), request_body = Wish,
    responses((status = 200, body = Proposal), Refusals, ChangeRefusals)
)]
pub(super) async fn optimise(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
    Body(wish): Body<Wish>,
) -> Result<Response, Refusal> {
    let wished = Duration::from_millis(wish.milliseconds.into());
    let limit = wished.min(api.optimisation);
    let key = json(&wish)?;
    let key = format!("{id}:{}", String::from_utf8_lossy(&key));
    let make = async || {
        let filled = api.store.filled(id).await?;
        let work = move || optimise::optimise(&filled, &wish, Instant::now() + limit);
        json(&api.work.run(work).await?)
    };
    let found = api.cache.get_or(Group::Optimise, &key, make).await?;
    Ok(of_cache(found))
}

/// A thing as JSON.
pub(super) fn json(thing: &impl Serialize) -> Result<Bytes, Refusal> {
    let text = serde_json::to_vec(thing);
    text.map(Bytes::from)
        .map_err(|error| Refusal::broken("an answer was not written", error))
}

/// JSON that may come from the cache, and says so.
pub(super) fn of_cache((text, origin): (Bytes, Origin)) -> Response {
    const CACHE: HeaderName = HeaderName::from_static("x-cache");
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let mut answer = (kind, text).into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static(origin.word()));
    if origin == Origin::Stale {
        let warning = "110 - \"the database is away: this may be old\"";
        headers.insert(header::WARNING, HeaderValue::from_static(warning));
    }
    answer
}

fn etag(text: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

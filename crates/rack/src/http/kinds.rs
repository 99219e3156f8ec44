//! `/api/kinds`: kinds of devices.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::{Body, Change, List, Natural, Number, Query, Seen, limit};
use super::caller::{Edit, View};
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use super::{Api, OF_KINDS};
use crate::library::limits;
use crate::plan::model::{Id, Kind, KindFields};
use crate::store::{KindQuery, Store};

/// Which kinds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those that have these words, or words that begin with them.
    #[param(max_length = 200)]
    q: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// Those after this number, which is the `next` of the part before.
    #[param(minimum = 0, value_type = Option<i64>)]
    after: Option<Natural>,
}

/// Kinds of devices, by their numbers
#[utoipa::path(get, path = "/api/kinds", tag = "kinds", params(Which), responses((status = 200, body = List<Kind>), Refusals))]
pub(super) async fn list(
    State(api): State<Api>,
    _: View,
    Query(which): Query<Which>,
) -> Result<Json<List<Kind>>, Refusal> {
    let limit = limit(which.limit)?;
    let query = KindQuery {
        q: which.q,
        limit: limit + 1,
        after: which.after.map(|after| after.0),
    };
    let found = api.store.kinds(query).await?;
    Ok(Json(List::part(found, limit, |kind| kind.id)))
}

/// Add a kind of device
#[utoipa::path(
    post, path = "/api/kinds", tag = "kinds", request_body = KindFields,
    responses((status = 201, body = Kind), Refusals, ChangeRefusals)
)]
pub(super) async fn create(
    State(api): State<Api>,
    Edit(caller): Edit,
    Body(fields): Body<KindFields>,
) -> Result<(StatusCode, Json<Kind>), Refusal> {
    limits::check_kind(&fields)?;
    let create = |store: Store, who| async move { store.create_kind(&who, &fields).await };
    let created = api.change(OF_KINDS, &caller, create).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// A kind of device
#[utoipa::path(get, path = "/api/kinds/{id}", tag = "kinds", params(Number), responses((status = 200, body = Kind), Refusals))]
pub(super) async fn one(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
) -> Result<Json<Kind>, Refusal> {
    Ok(Json(api.store.kind(id).await?))
}

/// Change a kind of device
///
/// Those that came with the planner stay as they are.
#[utoipa::path(
    put, path = "/api/kinds/{id}", tag = "kinds", params(Number), request_body = Change<KindFields>,
    responses((status = 200, body = Kind), Refusals, ChangeRefusals)
)]
pub(super) async fn change(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    wish: Change<KindFields>,
) -> Result<Json<Kind>, Refusal> {
    limits::check_kind(&wish.fields)?;
    ours_stay(&api, id).await?;
    let (seen, fields) = (wish.version, wish.fields);
    let change =
        |store: Store, who| async move { store.change_kind(&who, id, seen, &fields).await };
    let changed = api.change(OF_KINDS, &caller, change).await?;
    Ok(Json(changed))
}

/// Remove a kind of device
///
/// There must be no device of this kind.
#[utoipa::path(
    delete, path = "/api/kinds/{id}", tag = "kinds", params(Number, Seen),
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn remove(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    Query(seen): Query<Seen>,
) -> Result<StatusCode, Refusal> {
    ours_stay(&api, id).await?;
    let remove = |store: Store, who| async move { store.delete_kind(&who, id, seen.version).await };
    api.change(OF_KINDS, &caller, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses changes of what came with the planner.
async fn ours_stay(api: &Api, id: Id) -> Result<(), Refusal> {
    match api.store.kind(id).await?.built_in {
        false => Ok(()),
        true => Err(Refusal::forbidden(
            "it came with the planner, and stays as it is",
        )),
    }
}

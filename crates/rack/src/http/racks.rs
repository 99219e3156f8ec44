//! `/api/racks`: racks, without what is in them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::body::{Body, Change, List, Number, Query, Seen};
use super::caller::{Edit, View};
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use super::{Api, OF_DEVICES};
use crate::library::limits;
use crate::plan::model::{Rack, RackFields};
use crate::store::Store;

/// All racks
#[utoipa::path(get, path = "/api/racks", tag = "racks", responses((status = 200, body = List<Rack>), Refusals))]
pub(super) async fn list(State(api): State<Api>, _: View) -> Result<Json<List<Rack>>, Refusal> {
    Ok(Json(List::all(api.store.racks().await?)))
}

/// Add a rack
#[utoipa::path(
    post, path = "/api/racks", tag = "racks", request_body = RackFields,
    responses((status = 201, body = Rack), Refusals, ChangeRefusals)
)]
pub(super) async fn create(
    State(api): State<Api>,
    Edit(caller): Edit,
    Body(fields): Body<RackFields>,
) -> Result<(StatusCode, Json<Rack>), Refusal> {
    limits::check_rack(&fields)?;
    let create = |store: Store, who| async move { store.create_rack(&who, &fields).await };
    let created = api.change(OF_DEVICES, &caller, create).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// A rack
#[utoipa::path(get, path = "/api/racks/{id}", tag = "racks", params(Number), responses((status = 200, body = Rack), Refusals))]
pub(super) async fn one(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
) -> Result<Json<Rack>, Refusal> {
    Ok(Json(api.store.rack(id).await?))
}

/// Change a rack
#[utoipa::path(
    put, path = "/api/racks/{id}", tag = "racks", params(Number), request_body = Change<RackFields>,
    responses((status = 200, body = Rack), Refusals, ChangeRefusals)
)]
pub(super) async fn change(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    wish: Change<RackFields>,
) -> Result<Json<Rack>, Refusal> {
    limits::check_rack(&wish.fields)?;
    let (seen, fields) = (wish.version, wish.fields);
    let change =
        |store: Store, who| async move { store.change_rack(&who, id, seen, &fields).await };
    let changed = api.change(OF_DEVICES, &caller, change).await?;
    Ok(Json(changed))
}

/// Remove a rack
///
/// It must be empty.
#[utoipa::path(
    delete, path = "/api/racks/{id}", tag = "racks", params(Number, Seen),
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn remove(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    Query(seen): Query<Seen>,
) -> Result<StatusCode, Refusal> {
    let remove = |store: Store, who| async move { store.delete_rack(&who, id, seen.version).await };
    api.change(OF_DEVICES, &caller, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

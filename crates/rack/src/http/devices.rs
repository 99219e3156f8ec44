//! `/api/devices` and `/api/moves`: devices, and where they are.

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Body, Change, List, Natural, Number, Query, Seen, limit, object, typed};
use super::caller::{Edit, View};
use super::refusal::{ChangeRefusals, ConflictBody, Refusal, Refusals};
use super::{Api, OF_DEVICES};
use crate::library::limits;
use crate::plan::check;
use crate::plan::model::{Device, DeviceFields, Id, Item, Place, Version};
use crate::store::{DeviceQuery, Move, Store};

/// The most devices that are moved at once.
const MOST_MOVES: usize = 1_000;

/// Which devices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those in this rack.
    #[param(minimum = 0, value_type = Option<i64>)]
    rack: Option<Natural>,
    /// Those that are nowhere yet.
    #[serde(default)]
    unplaced: bool,
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

/// A device to be.
#[derive(Debug, ToSchema)]
pub(super) struct NewDevice {
    /// Where it shall be; nowhere if there is none.
    place: Option<Place>,
    /// What it is.
    #[serde(flatten)]
    fields: DeviceFields,
}

impl<S: Sync> FromRequest<S> for NewDevice {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let mut object = object(request).await?;
        let place = object.remove_entry("place");
        let placing: Placing = typed(place.into_iter().collect())?;
        Ok(NewDevice {
            place: placing.place,
            fields: typed(object)?,
        })
    }
}

/// Where a device shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Placing {
    /// Where it shall be; nowhere if there is none.
    place: Option<Place>,
}

/// A place to be judged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Judged {
    /// The place.
    place: Place,
}

/// Moves that are made together, or not at all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Moves {
    /// Each device once.
    #[schema(max_items = 1000)]
    moves: Vec<Moved>,
}

/// A device and where it shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Moved {
    /// The device.
    device: Id,
    /// The version of it that the caller has seen.
    version: Version,
    /// Where it shall be; nowhere if there is none.
    place: Option<Place>,
}

/// Why a device does not fit; nothing if it does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fit {
    /// The reasons.
    conflicts: Vec<ConflictBody>,
}

/// Devices, by their numbers
#[utoipa::path(get, path = "/api/devices", tag = "devices", params(Which), responses((status = 200, body = List<Device>), Refusals))]
pub(super) async fn list(
    State(api): State<Api>,
    _: View,
    Query(which): Query<Which>,
) -> Result<Json<List<Device>>, Refusal> {
    let limit = limit(which.limit)?;
    let query = DeviceQuery {
        rack: which.rack.map(|rack| rack.0),
        unplaced: which.unplaced,
        q: which.q,
        limit: limit + 1,
        after: which.after.map(|after| after.0),
    };
    let found = api.store.devices(query).await?;
    Ok(Json(List::part(found, limit, |device| device.id)))
}

/// Add a device
#[utoipa::path(
    post, path = "/api/devices", tag = "devices", request_body = NewDevice,
    responses((status = 201, body = Device), Refusals, ChangeRefusals)
)]
pub(super) async fn create(
    State(api): State<Api>,
    Edit(caller): Edit,
    wish: NewDevice,
) -> Result<(StatusCode, Json<Device>), Refusal> {
    limits::check_device(&wish.fields)?;
    let create = |store: Store, who| async move {
        let (fields, place) = (wish.fields, wish.place);
        store.create_device(&who, &fields, place).await
    };
    let created = api.change(OF_DEVICES, &caller, create).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// A device
#[utoipa::path(get, path = "/api/devices/{id}", tag = "devices", params(Number), responses((status = 200, body = Device), Refusals))]
pub(super) async fn one(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
) -> Result<Json<Device>, Refusal> {
    Ok(Json(api.store.device(id).await?))
}

/// Change a device
///
/// It stays where it is, and has to fit there: with a heavier kind, for instance, it may not.
#[utoipa::path(
    put, path = "/api/devices/{id}", tag = "devices", params(Number), request_body = Change<DeviceFields>,
    responses((status = 200, body = Device), Refusals, ChangeRefusals)
)]
pub(super) async fn change(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    wish: Change<DeviceFields>,
) -> Result<Json<Device>, Refusal> {
    limits::check_device(&wish.fields)?;
    let (seen, fields) = (wish.version, wish.fields);
    let change =
        |store: Store, who| async move { store.change_device(&who, id, seen, &fields).await };
    let changed = api.change(OF_DEVICES, &caller, change).await?;
    Ok(Json(changed))
}

/// Remove a device
#[utoipa::path(
    delete, path = "/api/devices/{id}", tag = "devices", params(Number, Seen),
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn remove(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    Query(seen): Query<Seen>,
) -> Result<StatusCode, Refusal> {
    let remove =
        |store: Store, who| async move { store.delete_device(&who, id, seen.version).await };
    api.change(OF_DEVICES, &caller, remove).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Move a device
///
/// What stands on it goes with it. If it does not fit, `conflicts` says why, and nothing is moved.
#[utoipa::path(
    put, path = "/api/devices/{id}/place", tag = "devices", params(Number), request_body = Change<Placing>,
    responses((status = 200, body = Device), Refusals, ChangeRefusals)
)]
pub(super) async fn place(
    State(api): State<Api>,
    Edit(caller): Edit,
    Number(id): Number,
    wish: Change<Placing>,
) -> Result<Json<Device>, Refusal> {
    let (version, place) = (wish.version, wish.fields.place);
    let place = |store: Store, who| async move { store.place(&who, id, version, place).await };
    let placed = api.change(OF_DEVICES, &caller, place).await?;
    Ok(Json(placed))
}

/// Whether a device fits
///
/// Nothing is changed.
#[utoipa::path(
    post, path = "/api/devices/{id}/check", tag = "devices", params(Number), request_body = Judged,
    responses((status = 200, body = Fit), Refusals, ChangeRefusals)
)]
pub(super) async fn check(
    State(api): State<Api>,
    _: View,
    Number(id): Number,
    Body(wish): Body<Judged>,
) -> Result<Json<Fit>, Refusal> {
    let device = api.store.device(id).await?;
    let kind = api.store.kind(device.fields.kind).await?;
    let filled = api.store.filled(wish.place.rack()).await?;
    let found = check::check(&filled, &Item { device, kind }, wish.place);
    let conflicts = found.into_iter().map(ConflictBody::from).collect();
    Ok(Json(Fit { conflicts }))
}

/// Move several devices
///
/// All are moved, or none. The whole is judged, so devices may change places with each other.
#[utoipa::path(
    post, path = "/api/moves", tag = "devices", request_body = Moves,
    responses((status = 200, body = List<Device>), Refusals, ChangeRefusals)
)]
pub(super) async fn move_all(
    State(api): State<Api>,
    Edit(caller): Edit,
    Body(wish): Body<Moves>,
) -> Result<Json<List<Device>>, Refusal> {
    if wish.moves.len() > MOST_MOVES {
        let why = format!("must be at most {MOST_MOVES}");
        return Err(Refusal::invalid("moves", why));
    }
    let moves = wish.moves.into_iter().map(|moved| Move {
        device: moved.device,
        version: moved.version,
        place: moved.place,
    });
    let moves = moves.collect();
    let move_all = |store: Store, who| async move { store.move_all(&who, moves).await };
    let moved = api.change(OF_DEVICES, &caller, move_all).await?;
    Ok(Json(List::all(moved)))
}

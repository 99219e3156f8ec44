//! `/api/users`: who may log in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::body::{Body, Change, List, Number, Query, Seen};
use super::caller::Admin;
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use crate::password;
use crate::store::{Role, User};

/// The longest name, in characters.
pub(super) const NAME: usize = 64;

/// A user to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// The name, which nobody else has.
    name: String,
    /// What they may do.
    role: Role,
    /// The password.
    #[schema(min_length = 10, max_length = 200)]
    password: String,
}

/// What a user shall be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserFields {
    /// The name, which nobody else has.
    name: String,
    /// What they may do.
    role: Role,
    /// A new password, if it shall be another one. All sessions of the user end.
    #[serde(default)]
    #[schema(min_length = 10, max_length = 200)]
    password: Option<String>,
}

/// All users
#[utoipa::path(get, path = "/api/users", tag = "people", responses((status = 200, body = List<User>), Refusals))]
pub(super) async fn list(State(api): State<Api>, _: Admin) -> Result<Json<List<User>>, Refusal> {
    Ok(Json(List::all(api.store.users().await?)))
}

/// Add a user
#[utoipa::path(
    post, path = "/api/users", tag = "people", request_body = NewUser,
    responses((status = 201, body = User), Refusals, ChangeRefusals)
)]
pub(super) async fn create(
    State(api): State<Api>,
    Admin(caller): Admin,
    Body(wish): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), Refusal> {
    check(&wish.name, Some(&wish.password))?;
    let kept = api.passwords.keep(wish.password).await?;
    let who = caller.who();
    let created = api.store.create_user(&who, &wish.name, wish.role, &kept);
    Ok((StatusCode::CREATED, Json(created.await?)))
}

/// Change a user
///
/// The last administrator stays one.
#[utoipa::path(
    put, path = "/api/users/{id}", tag = "people", params(Number), request_body = Change<UserFields>,
    responses((status = 200, body = User), Refusals, ChangeRefusals)
)]
pub(super) async fn change(
    State(api): State<Api>,
    Admin(caller): Admin,
    Number(id): Number,
    wish: Change<UserFields>,
) -> Result<Json<User>, Refusal> {
    let (seen, wish) = (wish.version, wish.fields);
    check(&wish.name, wish.password.as_deref())?;
    let kept = match wish.password {
        None => None,
        Some(password) => {
            let kept = api.store.password(id).await?;
            Some(api.passwords.keep_instead(password, kept).await?)
        }
    };
    let (who, kept) = (caller.who(), kept.as_deref());
    let changed = api
        .store
        .change_user(&who, id, seen, &wish.name, wish.role, kept)
        .await;
    api.callers.forget();
    Ok(Json(changed?))
}

/// Remove a user
///
/// Their sessions and tokens end. The last administrator stays.
#[utoipa::path(
    delete, path = "/api/users/{id}", tag = "people", params(Number, Seen),
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn remove(
    State(api): State<Api>,
    Admin(caller): Admin,
    Number(id): Number,
    Query(seen): Query<Seen>,
) -> Result<StatusCode, Refusal> {
    let removed = api.store.delete_user(&caller.who(), id, seen.version).await;
    api.callers.forget();
    removed?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(name: &str, password: Option<&str>) -> Result<(), Refusal> {
    line("name", name, NAME)?;
    match password.map(password::check) {
        Some(Err(why)) => Err(Refusal::invalid("password", why)),
        _ => Ok(()),
    }
}

/// Refuses what is no name of a user or a token.
pub(super) fn line(field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    let count = text.chars().count();
    let why = if !(1..=most).contains(&count) {
        format!("must have 1 to {most} characters")
    } else if text.trim() != text || text.contains(char::is_control) {
        "must not begin or end with a space, and have no control characters".into()
    } else {
        return Ok(());
    };
    Err(Refusal::invalid(field, why))
}

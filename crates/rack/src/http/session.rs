//! `/api/session`: who is logged in.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::caller::{By, COOKIE, Caller, Origin, View, is_prepared};
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use super::{Api, token};
use crate::password;
use crate::store::{Role, User, Who};

/// A name and a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    /// The name of the user.
    #[schema(max_length = 64)]
    name: String,
    /// The password.
    #[schema(max_length = 200)]
    password: String,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    /// The password until now.
    #[schema(max_length = 200)]
    current: String,
    /// The password from now on.
    #[schema(min_length = 10, max_length = 200)]
    new: String,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The user; none if everybody may look and nobody is logged in.
    user: Option<User>,
    /// What may be done.
    role: Role,
    /// What to send as `X-CSRF-Token` with each change, if the session is that of a cookie.
    csrf: Option<String>,
    /// When it ends, in milliseconds since 1970.
    expires_at_ms: Option<i64>,
}

impl From<Caller> for Session {
    fn from(caller: Caller) -> Self {
        Session {
            csrf: match &caller.by {
                By::Session(session) => Some(token::csrf(session)),
                By::Token | By::Nothing => None,
            },
            user: caller.user,
            role: caller.role,
            expires_at_ms: caller.until_ms,
        }
    }
}

/// Who is logged in
#[utoipa::path(get, path = "/api/session", tag = "people", responses((status = 200, body = Session), Refusals))]
pub(super) async fn show(View(caller): View) -> Json<Session> {
    Json(caller.into())
}

/// Log in
///
/// The answer has a cookie, and what to send as `X-CSRF-Token` with each change.
#[utoipa::path(
    post, path = "/api/session", tag = "people", request_body = Login, security(()),
    responses((status = 200, body = Session, headers(("set-cookie" = String))), Refusals, ChangeRefusals)
)]
pub(super) async fn log_in(
    State(api): State<Api>,
    origin: Origin,
    Body(login): Body<Login>,
) -> Result<Response, Refusal> {
    is_prepared(&api)?;
    api.limits.login(origin.address, &login.name).await?;
    let found = api.store.user_by_name(&login.name).await?;
    let (user, kept) = found.unzip();
    let is_right = api.passwords.is(login.password, kept).await?;
    let Some(user) = user.filter(|_| is_right) else {
        tracing::warn!(address = %origin.address, "a login failed");
        return Err(Refusal::unauthorized("the name or the password is wrong"));
    };
    let session = token::of_session();
    let lifetime = api.access.session();
    let until_ms = api
        .store
        .create_session(user.id, &token::sum(&session), lifetime)
        .await?;
    let body = Session {
        role: user.role,
        user: Some(user),
        csrf: Some(token::csrf(&session)),
        expires_at_ms: Some(until_ms),
    };
    let cookie = set_cookie(&session, lifetime.as_secs(), origin);
    Ok(([(header::SET_COOKIE, cookie)], Json(body)).into_response())
}

/// Log out
#[utoipa::path(delete, path = "/api/session", tag = "people", responses((status = 204), Refusals))]
pub(super) async fn log_out(
    State(api): State<Api>,
    origin: Origin,
    View(caller): View,
) -> Result<Response, Refusal> {
    if let By::Session(session) = &caller.by {
        api.store.delete_session(&token::sum(session)).await?;
        api.callers.forget();
    }
    let cookie = set_cookie("", 0, origin);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Change your password
///
/// All other sessions of yours end.
#[utoipa::path(
    put, path = "/api/session/password", tag = "people", request_body = NewPassword,
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn change_password(
    State(api): State<Api>,
    origin: Origin,
    View(caller): View,
    Body(wish): Body<NewPassword>,
) -> Result<StatusCode, Refusal> {
    let Some(user) = &caller.user else {
        return Err(Refusal::forbidden("nobody is logged in"));
    };
    password::check(&wish.new).map_err(|why| Refusal::invalid("new", why))?;
    api.limits.login(origin.address, &user.name).await?;
    let found = api.store.user_by_name(&user.name).await?;
    let (user, kept) =
        found.ok_or_else(|| Refusal::missing(format!("there is no user {}", user.name)))?;
    if !api.passwords.is(wish.current, Some(kept.clone())).await? {
        return Err(Refusal::forbidden("the current password is another one"));
    }
    let kept = api.passwords.keep_instead(wish.new, kept).await?;
    save(&api, &caller.who(), user, kept).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn save(api: &Api, who: &Who, user: User, kept: String) -> Result<(), Refusal> {
    let changed = api
        .store
        .change_user(
            who,
            user.id,
            user.version,
            &user.name,
            user.role,
            Some(&kept),
        )
        .await;
    api.callers.forget();
    changed?;
    Ok(())
}

fn set_cookie(value: &str, seconds: u64, origin: Origin) -> String {
    let secure = if origin.is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

//! `/api/tokens`: what programs show in place of a password.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{Body, List, Number};
use super::caller::{Caller, View, word};
use super::refusal::{ChangeRefusals, Refusal, Refusals};
use super::users::line;
use super::{Api, token};
use crate::plan::model::Id;
use crate::store::{Role, Token};

/// The longest name, in characters.
pub(super) const NAME: usize = 64;

/// A token to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is for; of one's own tokens, each has a name of its own.
    name: String,
    /// What it may do: no more than its user may.
    role: Role,
}

/// A new token.
#[derive(Serialize, ToSchema)]
pub(super) struct Shown {
    /// What is known of it from now on.
    #[serde(flatten)]
    known: Token,
    /// The token itself, which is shown this once.
    token: String,
}

/// Your tokens; an administrator sees all
#[utoipa::path(get, path = "/api/tokens", tag = "people", responses((status = 200, body = List<Token>), Refusals))]
pub(super) async fn list(
    State(api): State<Api>,
    View(caller): View,
) -> Result<Json<List<Token>>, Refusal> {
    let mut all = api.store.tokens().await?;
    all.retain(|token| may_see(&caller, token));
    Ok(Json(List::all(all)))
}

/// Make a token
///
/// It is shown this once, and may do no more than who makes it.
#[utoipa::path(
    post, path = "/api/tokens", tag = "people", request_body = NewToken,
    responses((status = 201, body = Shown), Refusals, ChangeRefusals)
)]
pub(super) async fn create(
    State(api): State<Api>,
    View(caller): View,
    Body(wish): Body<NewToken>,
) -> Result<(StatusCode, Json<Shown>), Refusal> {
    line("name", &wish.name, NAME)?;
    let Some(user) = caller.id() else {
        return Err(Refusal::forbidden("nobody is logged in"));
    };
    if wish.role > caller.role {
        let why = format!("you have the role {}", word(caller.role));
        return Err(Refusal::forbidden(why));
    }
    let (who, token) = (caller.who(), token::of_program());
    let sum = token::sum(&token);
    let created = api
        .store
        .create_token(&who, user, &wish.name, wish.role, &sum);
    let known = created.await?;
    Ok((StatusCode::CREATED, Json(Shown { known, token })))
}

/// End a token
#[utoipa::path(
    delete, path = "/api/tokens/{id}", tag = "people", params(Number),
    responses((status = 204), Refusals, ChangeRefusals)
)]
pub(super) async fn remove(
    State(api): State<Api>,
    View(caller): View,
    Number(id): Number,
) -> Result<StatusCode, Refusal> {
    let all = api.store.tokens().await?;
    let seen = all.iter().find(|token| token.id == id);
    if !seen.is_some_and(|token| may_see(&caller, token)) {
        return Err(Refusal::missing(format!("there is no token {id}")));
    }
    let removed = api.store.delete_token(&caller.who(), id).await;
    api.callers.forget();
    removed?;
    Ok(StatusCode::NO_CONTENT)
}

fn may_see(caller: &Caller, token: &Token) -> bool {
    let own: Option<Id> = caller.id();
    caller.role == Role::Admin || own == Some(token.user)
}

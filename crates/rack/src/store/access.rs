//! Sessions of the page, and tokens of programs. Of both, only the hash of the secret is kept.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{self, Note};
use super::error::{Attempt, Error};
use super::rows::{Columns, word};
use super::users::{user, user_columns};
use super::{Role, Store, User, Who, again};
use crate::plan::model::Id;

const WHAT: &str = "token";

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Who it is, as of now.
    pub user: User,
    /// When it ends, in milliseconds since 1970, by the clock of the database.
    pub expires_at_ms: i64,
}

/// A program that shows a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Whose token it is, as of now.
    pub user: User,
    /// What it may do: never more than its user may.
    pub role: Role,
}

/// What a program may do instead of its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Token {
    /// Its number.
    pub id: Id,
    /// Its name, by which its user knows it.
    pub name: String,
    /// The number of its user.
    pub user: Id,
    /// The name of its user.
    pub user_name: String,
    /// What it may do: never more than its user may, as of now.
    pub role: Role,
    /// When it was made, in milliseconds since 1970, by the clock of the database.
    pub created_ms: i64,
}

macro_rules! token_columns {
    () => {
        "t.id, t.name, u.id, u.name, t.role, u.role, (extract(epoch FROM t.created) * 1000)::bigint"
    };
}

impl Store {
    /// A new session of a user, of which the hash of the secret is given. It ends after `lifetime` by the clock of the database, which all
    /// processes share. Returns when that is, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such user, and those of every change.
    pub async fn create_session(
        &self,
        user: Id,
        token: &[u8; 32],
        lifetime: Duration,
    ) -> Result<i64, Error> {
        let seconds = lifetime.as_secs_f64();
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            // The hash may be there already if an answer was lost and the same session is made again.
            let made = tx
                .row(
                    "INSERT INTO sessions (token, \"user\", expires) SELECT $1, id, now() + make_interval(secs => $3) \
                     FROM users WHERE id = $2 ON CONFLICT (token) DO UPDATE SET expires = excluded.expires \
                     RETURNING (extract(epoch FROM expires) * 1000)::bigint",
                    &[&token.as_slice(), &user, &seconds],
                )
                .await?;
            let (what, id) = ("user", user);
            let expires = made.ok_or(Error::Missing { what, id })?.try_get(0)?;
            tx.commit().await?;
            Ok(expires)
        })
        .await
    }

    /// The session whose secret has this hash, if it has not ended.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn session(&self, token: &[u8; 32]) -> Result<Option<Session>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                user_columns!(),
                ", (extract(epoch FROM s.expires) * 1000)::bigint FROM sessions s JOIN users u ON u.id = s.\"user\" \
                 WHERE s.token = $1 AND s.expires > now()"
            );
            let row = session.row(sql, &[&token.as_slice()]).await?;
            let Some(row) = row else { return Ok(None) };
            let mut columns = Columns::of(&row);
            Ok(Some(Session {
                user: user(&mut columns)?,
                expires_at_ms: columns.next()?,
            }))
        })
        .await
    }

    /// Ends a session, if it is there.
    ///
    /// # Errors
    /// Those of every change.
    pub async fn delete_session(&self, token: &[u8; 32]) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let sql = "DELETE FROM sessions WHERE token = $1";
            tx.rows(sql, &[&token.as_slice()]).await?;
            tx.commit().await
        })
        .await
    }

    /// A new token of a user, of which the hash of the secret is given.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such user, [`Error::Taken`] if the user has one of this name, and those of every change.
    pub async fn create_token(
        &self,
        who: &Who,
        user: Id,
        name: &str,
        role: Role,
        hash: &[u8; 32],
    ) -> Result<Token, Error> {
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            let why = "must have 1 to 100 characters, and no controls";
            return Err(Error::invalid("name", why));
        }
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let sql = concat!(
                "WITH t AS (INSERT INTO tokens (\"user\", name, role, token) SELECT id, $2, $3, $4 FROM users WHERE id = $1 \
                 RETURNING *) SELECT ",
                token_columns!(),
                " FROM t JOIN users u ON u.id = t.\"user\""
            );
            let rows = tx
                .complaining(
                    sql,
                    &[&user, &name, &word(&role), &hash.as_slice()],
                    |constraint| {
                        let name = name.to_owned();
                        (constraint == "tokens_name").then_some(Error::Taken { what: WHAT, name })
                    },
                )
                .await?;
            let (what, id) = ("user", user);
            let row = rows.first().ok_or(Error::Missing { what, id })?;
            let token = made(row)?;
            audit::write(&tx, who, &[Note::created(WHAT, token.id, &token)]).await?;
            tx.commit().await?;
            Ok(token)
        })
        .await
    }

    /// All tokens, by user and name.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn tokens(&self) -> Result<Vec<Token>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                token_columns!(),
                " FROM tokens t JOIN users u ON u.id = t.\"user\" ORDER BY lower(u.name), t.name"
            );
            let rows = session.rows(sql, &[]).await?;
            rows.iter().map(made).collect()
        })
        .await
    }

    /// Who shows the token whose secret has this hash.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn token(&self, hash: &[u8; 32]) -> Result<Option<Bearer>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                user_columns!(),
                ", t.role FROM tokens t JOIN users u ON u.id = t.\"user\" WHERE t.token = $1"
            );
            let row = session.row(sql, &[&hash.as_slice()]).await?;
            let Some(row) = row else { return Ok(None) };
            let mut columns = Columns::of(&row);
            let user = user(&mut columns)?;
            let role = user.role.min(columns.word()?);
            Ok(Some(Bearer { user, role }))
        })
        .await
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// [`Error::Missing`], and those of every change.
    pub async fn delete_token(&self, who: &Who, id: Id) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let sql = concat!(
                "WITH t AS (DELETE FROM tokens WHERE id = $1 RETURNING *) SELECT ",
                token_columns!(),
                " FROM t JOIN users u ON u.id = t.\"user\""
            );
            let row = tx.row(sql, &[&id]).await?;
            let token = made(&row.ok_or(Error::Missing { what: WHAT, id })?)?;
            audit::write(&tx, who, &[Note::deleted(WHAT, id, &token)]).await?;
            tx.commit().await
        })
        .await
    }
}

fn made(row: &tokio_postgres::Row) -> Attempt<Token> {
    let mut columns = Columns::of(row);
    let (id, name, user, user_name) = (
        columns.next()?,
        columns.next()?,
        columns.next()?,
        columns.next()?,
    );
    let own: Role = columns.word()?;
    let of_user: Role = columns.word()?;
    Ok(Token {
        id,
        name,
        user,
        user_name,
        role: own.min(of_user),
        created_ms: columns.next()?,
    })
}

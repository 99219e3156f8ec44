//! Users. What their passwords are, only those know who make and compare the hashes.

use serde::Serialize;
use utoipa::ToSchema;

use super::audit::{self, Note};
use super::error::{Attempt, Error};
use super::pool::Tx;
use super::rows::{Columns, word};
use super::{Role, Store, Who, again};
use crate::plan::model::{Id, Version};

const WHAT: &str = "user";
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// Its number.
    pub id: Id,
    /// How often it was changed.
    pub version: Version,
    /// Its name, which no other user has, in whatever letters.
    pub name: String,
    /// What the user may do.
    pub role: Role,
}

macro_rules! user_columns {
    () => {
        "u.id, u.version, u.name, u.role"
    };
}
pub(super) use user_columns;

impl Store {
    /// All users, by name.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                user_columns!(),
                " FROM users u ORDER BY lower(u.name)"
            );
            let rows = session.rows(sql, &[]).await?;
            rows.iter().map(|row| user(&mut Columns::of(row))).collect()
        })
        .await
    }

    /// The user of this name, in whatever letters, and the hash of the password.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn user_by_name(&self, name: &str) -> Result<Option<(User, String)>, Error> {
        if name.contains('\0') {
            return Ok(None);
        }
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                user_columns!(),
                ", u.password FROM users u WHERE lower(u.name) = lower($1)"
            );
            let row = session.row(sql, &[&name]).await?;
            let Some(row) = row else { return Ok(None) };
            let mut columns = Columns::of(&row);
            Ok(Some((user(&mut columns)?, columns.next()?)))
        })
        .await
    }

    /// The hash of a user's password.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Gone`] or [`Error::Busy`].
    pub async fn password(&self, id: Id) -> Result<String, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = "SELECT password FROM users WHERE id = $1";
            let row = session.row(sql, &[&id]).await?;
            let row = row.ok_or(Error::Missing { what: WHAT, id })?;
            Ok(row.try_get(0)?)
        })
        .await
    }

    /// A new user; `password` is the hash.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Taken`], and those of every change.
    pub async fn create_user(
        &self,
        who: &Who,
        name: &str,
        role: Role,
        password: &str,
    ) -> Result<User, Error> {
        checked(name)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let sql = concat!(
                "INSERT INTO users AS u (name, role, password) VALUES ($1, $2, $3) RETURNING ",
                user_columns!()
            );
            let rows = tx
                .complaining(sql, &[&name, &word(&role), &password], |constraint| {
                    taken(constraint, name)
                })
                .await?;
            let row = rows.first().ok_or(Error::Fault("no user".into()))?;
            let user = user(&mut Columns::of(row))?;
            audit::write(&tx, who, &[Note::created(WHAT, user.id, &user)]).await?;
            tx.commit().await?;
            Ok(user)
        })
        .await
    }

    /// Changes a user who still has this version. A new hash of a password ends the user's sessions.
    ///
    /// # Errors
    /// Those of [`Store::create_user`], [`Error::Missing`], [`Error::Changed`], and [`Error::InUse`] if there would be no administrator any
    /// more.
    pub async fn change_user(
        &self,
        who: &Who,
        id: Id,
        version: Version,
        name: &str,
        role: Role,
        password: Option<&str>,
    ) -> Result<User, Error> {
        checked(name)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            let sql = concat!(
                "UPDATE users u SET version = version + 1, name = $2, role = $3, password = coalesce($4, password) \
                 WHERE id = $1 RETURNING ",
                user_columns!()
            );
            let rows = tx
                .complaining(
                    sql,
                    &[&id, &name, &word(&role), &password],
                    |constraint| taken(constraint, name),
                )
                .await?;
            let row = rows.first().ok_or(Error::Missing { what: WHAT, id })?;
            let user = user(&mut Columns::of(row))?;
            administrated(&tx).await?;
            if password.is_some() {
                tx.rows("DELETE FROM sessions WHERE \"user\" = $1", &[&id])
                    .await?;
            }
            audit::write(&tx, who, &[Note::changed(WHAT, id, &before, &user)]).await?;
            tx.commit().await?;
            Ok(user)
        })
        .await
    }

    /// Deletes a user who still has this version, with the user's sessions and tokens.
    ///
    /// # Errors
    /// [`Error::InUse`] if it is the last administrator, [`Error::Missing`], [`Error::Changed`], and those of every change.
    pub async fn delete_user(&self, who: &Who, id: Id, version: Version) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            tx.rows("DELETE FROM users WHERE id = $1", &[&id]).await?;
            administrated(&tx).await?;
            audit::write(&tx, who, &[Note::deleted(WHAT, id, &before)]).await?;
            tx.commit().await
        })
        .await
    }
}

/// A user, of the columns that [`user_columns`] names.
pub(super) fn user(columns: &mut Columns<'_>) -> Attempt<User> {
    Ok(User {
        id: columns.next()?,
        version: columns.next()?,
        name: columns.next()?,
        role: columns.word()?,
    })
}

/// The user as it is now. All administrators are locked with it: two who remove each other at once must not both succeed.
async fn locked(tx: &Tx<'_>, id: Id, version: Version) -> Attempt<User> {
    let sql = concat!(
        "SELECT ",
        user_columns!(),
        " FROM users u WHERE u.id = $1 OR u.role = 'admin' ORDER BY u.id FOR UPDATE"
    );
    for row in &tx.rows(sql, &[&id]).await? {
        let user = user(&mut Columns::of(row))?;
        if user.id != id {
            continue;
        }
        let now = user.version;
        return match now == version {
            true => Ok(user),
            false => Err(Error::Changed {
                what: WHAT,
                id,
                now,
            }
            .into()),
        };
    }
    Err(Error::Missing { what: WHAT, id }.into())
}

async fn administrated(tx: &Tx<'_>) -> Attempt<()> {
    let sql = "SELECT id FROM users WHERE role = 'admin' LIMIT 1";
    match tx.row(sql, &[]).await? {
        Some(_) => Ok(()),
        None => Err(Error::InUse {
            what: WHAT,
            by: "nobody else is an administrator".into(),
        }
        .into()),
    }
}

fn checked(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.trim() != name {
        let why = "must neither be empty nor begin or end with a space";
        return Err(Error::invalid("name", why));
    }
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        let why = format!("must have at most {LONGEST_NAME} characters, and no controls");
        return Err(Error::invalid("name", why));
    }
    Ok(())
}

fn taken(constraint: &str, name: &str) -> Option<Error> {
    (constraint == "users_name").then(|| Error::Taken {
        what: WHAT,
        name: name.into(),
    })
}

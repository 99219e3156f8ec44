//! The schema of the database: which one it has, and how an older one becomes the newest.

use super::error::{Attempt, Error};
use super::pool::Tx;
use super::{Store, again, kinds};
use crate::library;

/// The schema that this version knows. The appliance's module says the same as the version of the planner's state.
pub const SCHEMA: i32 = MIGRATIONS.len() as i32;

/// What makes each schema of the one before it. Those that were ever delivered are never changed.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];

/// The number of the lock that only one process at a time can have on a database: the letters `rack`.
const LOCK: i64 = 0x7261_636b;

impl Store {
    /// Brings the database to the schema that this version knows, and puts the built-in kinds into it. Several processes may do so at
    /// once. Either all of it happens or nothing.
    ///
    /// # Errors
    /// [`Error::Newer`] if a newer version has changed the database, which is left as it is.
    pub async fn migrate(&self) -> Result<(), Error> {
        again(|| self.migrate_once()).await
    }

    /// The schema of the database; 0 if it has none yet.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn schema(&self) -> Result<i32, Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            found(&tx).await
        })
        .await
    }

    async fn migrate_once(&self) -> Attempt<()> {
        let mut session = self.connections.session().await?;
        let tx = session.begin_long().await?;
        tx.rows("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
            .await?;
        let found = found(&tx).await?;
        let done = usize::try_from(found).ok();
        let missing = done
            .and_then(|done| MIGRATIONS.get(done..))
            .ok_or(Error::Newer {
                found,
                known: SCHEMA,
            })?;
        if found == 0 {
            tx.batch("CREATE TABLE rack_schema (version integer NOT NULL)")
                .await?;
            tx.batch("INSERT INTO rack_schema VALUES (0)").await?;
        }
        for migration in missing {
            tx.batch(migration).await?;
        }
        if !missing.is_empty() {
            tx.rows("UPDATE rack_schema SET version = $1", &[&SCHEMA])
                .await?;
            tracing::info!(from = found, to = SCHEMA, "the database has a new schema");
        }
        kinds::put_built_in(&tx, library::built_in()).await?;
        tx.commit().await
    }
}

/// The schema that the database has.
async fn found(tx: &Tx<'_>) -> Attempt<i32> {
    let there = tx
        .row("SELECT to_regclass('rack_schema') IS NOT NULL", &[])
        .await?;
    let is_there: bool = there.map_or(Ok(false), |row| row.try_get(0))?;
    if !is_there {
        return Ok(0);
    }
    let version = tx.row("SELECT version FROM rack_schema", &[]).await?;
    Ok(version.map_or(Ok(0), |row| row.try_get(0))?)
}

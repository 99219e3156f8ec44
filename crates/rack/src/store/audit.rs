//! Who did what: written in the transaction that does it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::error::{Attempt, Error};
use super::pool::Tx;
use super::rows::Columns;
use super::{Store, Who, again, limited};
use crate::plan::model::Id;

/// What was done once.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Entry {
    /// Its number; later ones are higher.
    pub id: Id,
    /// When, in milliseconds since 1970, by the clock of the database.
    pub at_ms: i64,
    /// The name of the user.
    pub who: String,
    /// The number of the request.
    pub request: String,
    /// `create`, `change`, `move`, `delete` or `import`.
    pub action: String,
    /// What it was done to: `rack`, `device`, `kind`, …
    pub what: String,
    /// The number of that, if it has one.
    pub id_of: Option<Id>,
    /// How it was before.
    pub before: Option<Value>,
    /// How it was afterwards.
    pub after: Option<Value>,
}

/// Which entries are wanted. The newest are first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only those about such things.
    pub what: Option<String>,
    /// Only those about the thing of this number.
    pub id_of: Option<Id>,
    /// Only those before this entry.
    pub before: Option<Id>,
    /// How many at most.
    pub limit: usize,
}

/// A change that is to be in the log.
pub(super) struct Note {
    pub action: &'static str,
    pub what: &'static str,
    pub id: Option<Id>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Note {
    /// Something is new.
    pub(super) fn created(what: &'static str, id: Id, after: &impl Serialize) -> Self {
        Note::new("create", what, id, None, Some(json(after)))
    }

    /// Something is different.
    pub(super) fn changed<T: Serialize>(what: &'static str, id: Id, before: &T, after: &T) -> Self {
        Note::new("change", what, id, Some(json(before)), Some(json(after)))
    }

    /// Something is at another place.
    pub(super) fn moved<T: Serialize>(id: Id, before: &T, after: &T) -> Self {
        Note::new("move", "device", id, Some(json(before)), Some(json(after)))
    }

    /// Something is gone.
    pub(super) fn deleted(what: &'static str, id: Id, before: &impl Serialize) -> Self {
        Note::new("delete", what, id, Some(json(before)), None)
    }

    fn new(
        action: &'static str,
        what: &'static str,
        id: Id,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Self {
        Note {
            action,
            what,
            id: Some(id),
            before,
            after,
        }
    }
}

pub(super) fn json(value: &impl Serialize) -> Value {
    // The things of this crate are structures of texts and numbers, which JSON has.
    serde_json::to_value(value).unwrap_or_default()
}

/// Puts changes into the log.
pub(super) async fn write(tx: &Tx<'_>, who: &Who, notes: &[Note]) -> Attempt<()> {
    let actions: Vec<_> = notes.iter().map(|note| note.action).collect();
    let whats: Vec<_> = notes.iter().map(|note| note.what).collect();
    let ids: Vec<_> = notes.iter().map(|note| note.id).collect();
    let befores: Vec<_> = notes.iter().map(|note| note.before.as_ref()).collect();
    let afters: Vec<_> = notes.iter().map(|note| note.after.as_ref()).collect();
    tx.rows(
        "INSERT INTO audit (who, request, action, what, id_of, before, after) \
         SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bigint[], $6::jsonb[], $7::jsonb[])",
        &[
            &who.user,
            &who.request,
            &actions,
            &whats,
            &ids,
            &befores,
            &afters,
        ],
    )
    .await?;
    Ok(())
}

impl Store {
    /// What was done, the newest first.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<Entry>, Error> {
        let limit = limited(query.limit);
        again(|| async {
            let session = self.connections.session().await?;
            let rows = session
                .rows(
                    "SELECT id, (extract(epoch FROM at) * 1000)::bigint, who, request, action, what, id_of, before, after \
                     FROM audit WHERE ($1::text IS NULL OR what = $1) AND ($2::bigint IS NULL OR id_of = $2) \
                     AND ($3::bigint IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
                    &[&query.what, &query.id_of, &query.before, &limit],
                )
                .await?;
            rows.iter().map(entry).collect()
        })
        .await
    }

    /// Deletes entries of the audit log that are older than so many days, and sessions that are over. Returns how many entries are gone.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn tidy(&self, audit_days: u32) -> Result<u64, Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            tx.rows("DELETE FROM sessions WHERE expires < now()", &[])
                .await?;
            let gone = tx
                .row(
                    "WITH gone AS (DELETE FROM audit WHERE at < now() - make_interval(days => $1) RETURNING 1) \
                     SELECT count(*) FROM gone",
                    &[&i32::try_from(audit_days).unwrap_or(i32::MAX)],
                )
                .await?;
            let gone: i64 = gone.map_or(Ok(0), |row| row.try_get(0))?;
            tx.commit().await?;
            Ok(gone.unsigned_abs())
        })
        .await
    }
}

fn entry(row: &tokio_postgres::Row) -> Attempt<Entry> {
    let mut columns = Columns::of(row);
    Ok(Entry {
        id: columns.next()?,
        at_ms: columns.next()?,
        who: columns.next()?,
        request: columns.next()?,
        action: columns.next()?,
        what: columns.next()?,
        id_of: columns.next()?,
        before: columns.next()?,
        after: columns.next()?,
    })
}

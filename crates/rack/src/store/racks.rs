//! Racks, and what is in them.

use super::audit::{self, Note};
use super::error::{Attempt, Error};
use super::places::{Guard, lock};
use super::pool::Tx;
use super::rows::{Columns, rack_columns};
use super::{Store, Who, again, filled};
use crate::library::limits;
use crate::plan::model::{Filled, Id, Rack, RackFields, Version};

const WHAT: &str = "rack";

impl Store {
    /// All racks, by name.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn racks(&self) -> Result<Vec<Rack>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                rack_columns!(),
                " FROM racks r ORDER BY r.name, r.id"
            );
            let rows = session.rows(sql, &[]).await?;
            rows.iter().map(|row| Columns::of(row).rack()).collect()
        })
        .await
    }

    /// One rack.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Gone`] or [`Error::Busy`].
    pub async fn rack(&self, id: Id) -> Result<Rack, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!("SELECT ", rack_columns!(), " FROM racks r WHERE r.id = $1");
            let row = session.row(sql, &[&id]).await?;
            let row = row.ok_or(Error::Missing { what: WHAT, id })?;
            Columns::of(&row).rack()
        })
        .await
    }

    /// A rack and all that is in it, at one moment.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Gone`] or [`Error::Busy`].
    pub async fn filled(&self, id: Id) -> Result<Filled, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let filled = filled::one(&session, id).await?;
            Ok(filled.ok_or(Error::Missing { what: WHAT, id })?)
        })
        .await
    }

    /// A new rack.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::Taken`]; like every change, [`Error::Gone`], which may mean that the outcome is unknown, or
    /// [`Error::Busy`].
    pub async fn create_rack(&self, who: &Who, fields: &RackFields) -> Result<Rack, Error> {
        checked(fields)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let rack = insert(&tx, fields).await?;
            audit::write(&tx, who, &[Note::created(WHAT, rack.id, &rack)]).await?;
            tx.commit().await?;
            Ok(rack)
        })
        .await
    }

    /// Changes a rack that still has this version.
    ///
    /// # Errors
    /// Those of [`Store::create_rack`], [`Error::Missing`], [`Error::Changed`], and [`Error::Conflicts`] if what is in it would not fit any
    /// more.
    pub async fn change_rack(
        &self,
        who: &Who,
        id: Id,
        version: Version,
        fields: &RackFields,
    ) -> Result<Rack, Error> {
        checked(fields)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            let guard = Guard::hold(&tx, vec![id]).await?;
            let sql = concat!(
                "UPDATE racks r SET version = version + 1, name = $2, location = $3, units = $4, watts = $5, kilograms = $6, \
                 inlet_celsius = $7, notes = $8 WHERE id = $1 RETURNING ",
                rack_columns!()
            );
            let rows = tx
                .complaining(
                    sql,
                    &[
                        &id,
                        &fields.name,
                        &fields.location,
                        &i16::from(fields.units),
                        &fields.watts,
                        &fields.kilograms,
                        &fields.inlet_celsius,
                        &fields.notes,
                    ],
                    |constraint| taken(constraint, fields),
                )
                .await?;
            let row = rows.first().ok_or(Error::Missing { what: WHAT, id })?;
            let rack = Columns::of(row).rack()?;
            guard.judge(&tx).await?;
            audit::write(&tx, who, &[Note::changed(WHAT, id, &before, &rack)]).await?;
            tx.commit().await?;
            Ok(rack)
        })
        .await
    }

    /// Deletes an empty rack that still has this version.
    ///
    /// # Errors
    /// [`Error::InUse`] if something is in it, [`Error::Missing`], [`Error::Changed`], and those of every change.
    pub async fn delete_rack(&self, who: &Who, id: Id, version: Version) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            let used = tx
                .row("SELECT count(*) FROM devices WHERE rack = $1", &[&id])
                .await?;
            let used: i64 = used.map_or(Ok(0), |row| row.try_get(0))?;
            let in_use = |by: String| Error::InUse { what: WHAT, by };
            if used > 0 {
                return Err(in_use(format!("devices in it: {used}")).into());
            }
            tx.complaining("DELETE FROM racks WHERE id = $1", &[&id], |constraint| {
                (constraint == "devices_rack").then(|| in_use("a device in it".into()))
            })
            .await?;
            audit::write(&tx, who, &[Note::deleted(WHAT, id, &before)]).await?;
            tx.commit().await
        })
        .await
    }
}

/// Inserts a rack.
pub(super) async fn insert(tx: &Tx<'_>, fields: &RackFields) -> Attempt<Rack> {
    let sql = concat!(
        "INSERT INTO racks AS r (name, location, units, watts, kilograms, inlet_celsius, notes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
        rack_columns!()
    );
    let rows = tx
        .complaining(
            sql,
            &[
                &fields.name,
                &fields.location,
                &i16::from(fields.units),
                &fields.watts,
                &fields.kilograms,
                &fields.inlet_celsius,
                &fields.notes,
            ],
            |constraint| taken(constraint, fields),
        )
        .await?;
    let row = rows.first().ok_or(Error::Fault("no rack".into()))?;
    Columns::of(row).rack()
}

/// The rack as it is now, locked.
async fn locked(tx: &Tx<'_>, id: Id, version: Version) -> Attempt<Rack> {
    lock(tx, &[id]).await?;
    let sql = concat!("SELECT ", rack_columns!(), " FROM racks r WHERE r.id = $1");
    let row = tx.row(sql, &[&id]).await?;
    let rack = Columns::of(&row.ok_or(Error::Missing { what: WHAT, id })?).rack()?;
    match rack.version == version {
        true => Ok(rack),
        false => Err(Error::Changed {
            what: WHAT,
            id,
            now: rack.version,
        }
        .into()),
    }
}

/// Whether fields are within their limits.
pub(super) fn checked(fields: &RackFields) -> Result<(), Error> {
    limits::check_rack(fields).map_err(|(field, why)| Error::invalid(field, why))
}

fn taken(constraint: &str, fields: &RackFields) -> Option<Error> {
    (constraint == "racks_name").then(|| Error::Taken {
        what: WHAT,
        name: fields.name.clone(),
    })
}

//! Devices: what people say of them.

use super::audit::{self, Note};
use super::error::{Attempt, Error, Failure};
use super::places::{Guard, lock};
use super::pool::Tx;
use super::rows::{Columns, PlaceValues, device_columns};
use super::search::Question;
use super::{Store, Who, again, filled, limited};
use crate::library::limits;
use crate::plan::check::check;
use crate::plan::model::{Device, DeviceFields, Id, Item, Place, Version};

const WHAT: &str = "device";

/// Which devices are wanted.
#[derive(Debug, Clone, Default)]
pub struct DeviceQuery {
    /// Only those in this rack.
    pub rack: Option<Id>,
    /// Only those that are nowhere.
    pub unplaced: bool,
    /// Only those with these words, or what begins with them.
    pub q: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// Only those after this one.
    pub after: Option<Id>,
}

impl Store {
    /// Devices, by number.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn devices(&self, query: DeviceQuery) -> Result<Vec<Device>, Error> {
        let limit = limited(query.limit);
        let question = query.q.as_deref().map(Question::new);
        let (words, like) = (
            question.as_ref().map(|question| question.words.as_str()),
            question.as_ref().map(|question| question.like.as_str()),
        );
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                device_columns!(),
                " FROM devices d JOIN kinds k ON k.id = d.kind WHERE ($1::bigint IS NULL OR d.rack = $1) \
                 AND (NOT $2 OR d.rack IS NULL) \
                 AND ($3::text IS NULL OR (d.search || k.search) @@ rack_question($3) OR d.name ILIKE $4) \
                 AND d.id > $5 ORDER BY d.id LIMIT $6"
            );
            let after = query.after.unwrap_or(0);
            let rows = session
                .rows(
                    sql,
                    &[&query.rack, &query.unplaced, &words, &like, &after, &limit],
                )
                .await?;
            rows.iter().map(|row| Columns::of(row).device()).collect()
        })
        .await
    }

    /// One device.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Gone`] or [`Error::Busy`].
    pub async fn device(&self, id: Id) -> Result<Device, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = concat!(
                "SELECT ",
                device_columns!(),
                " FROM devices d WHERE d.id = $1"
            );
            let row = session.row(sql, &[&id]).await?;
            let row = row.ok_or(Error::Missing { what: WHAT, id })?;
            Columns::of(&row).device()
        })
        .await
    }

    /// A new device, in a place or nowhere yet.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Missing`] if there is no such kind, rack or shelf, [`Error::Conflicts`] if it does not fit, and those of
    /// every change.
    pub async fn create_device(
        &self,
        who: &Who,
        fields: &DeviceFields,
        place: Option<Place>,
    ) -> Result<Device, Error> {
        checked(fields)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let device = create(&tx, fields, place).await?;
            audit::write(&tx, who, &[Note::created(WHAT, device.id, &device)]).await?;
            tx.commit().await?;
            Ok(device)
        })
        .await
    }

    /// Changes what people say of a device that still has this version. It stays where it is.
    ///
    /// # Errors
    /// Those of [`Store::create_device`], and [`Error::Changed`].
    pub async fn change_device(
        &self,
        who: &Who,
        id: Id,
        version: Version,
        fields: &DeviceFields,
    ) -> Result<Device, Error> {
        checked(fields)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            hold_kind(&tx, fields.kind).await?;
            let rack = before.place.map(Place::rack);
            let guard = Guard::hold(&tx, rack.into_iter().collect()).await?;
            let sql = concat!(
                "UPDATE devices d SET version = version + 1, name = $2, kind = $3, watts = $4, kilograms = $5, pinned = $6, \
                 notes = $7, tags = $8 WHERE id = $1 RETURNING ",
                device_columns!()
            );
            let row = tx
                .row(
                    sql,
                    &[
                        &id,
                        &fields.name,
                        &fields.kind,
                        &fields.watts,
                        &fields.kilograms,
                        &fields.pinned,
                        &fields.notes,
                        &fields.tags,
                    ],
                )
                .await?;
            let device = Columns::of(&row.ok_or(Error::Missing { what: WHAT, id })?).device()?;
            guard.judge(&tx).await?;
            audit::write(&tx, who, &[Note::changed(WHAT, id, &before, &device)]).await?;
            tx.commit().await?;
            Ok(device)
        })
        .await
    }

    /// Deletes a device that still has this version.
    ///
    /// # Errors
    /// [`Error::InUse`] if things stand on it, [`Error::Missing`], [`Error::Changed`], and those of every change.
    pub async fn delete_device(&self, who: &Who, id: Id, version: Version) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let before = locked(&tx, id, version).await?;
            tx.complaining("DELETE FROM devices WHERE id = $1", &[&id], |constraint| {
                (constraint == "devices_shelf").then(|| Error::InUse {
                    what: "shelf",
                    by: "other devices stand on it".into(),
                })
            })
            .await?;
            audit::write(&tx, who, &[Note::deleted(WHAT, id, &before)]).await?;
            tx.commit().await
        })
        .await
    }
}

/// Adds a device, if it fits into its place.
pub(super) async fn create(
    tx: &Tx<'_>,
    fields: &DeviceFields,
    place: Option<Place>,
) -> Attempt<Device> {
    if let Some(place) = place {
        lock(tx, &[place.rack()]).await?;
    }
    hold_kind(tx, fields.kind).await?;
    let device = insert(tx, fields, place).await?;
    let Some(place) = place else {
        return Ok(device);
    };
    let racks = filled::all(tx, &[place.rack()]).await?;
    let filled = racks.get(&place.rack());
    let found = filled.and_then(|filled| {
        let is_it = |item: &&Item| item.device.id == device.id;
        let item = filled.items.iter().find(is_it)?;
        Some(check(filled, item, place))
    });
    match found.unwrap_or_default() {
        none if none.is_empty() => Ok(device),
        found => Err(Error::Conflicts(found).into()),
    }
}

/// Inserts a device, wherever it may be.
pub(super) async fn insert(
    tx: &Tx<'_>,
    fields: &DeviceFields,
    place: Option<Place>,
) -> Attempt<Device> {
    let place = PlaceValues::from(place);
    let sql = concat!(
        "INSERT INTO devices AS d (name, kind, watts, kilograms, pinned, notes, tags, rack, face, bottom, shelf, \"left\") \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING ",
        device_columns!()
    );
    let rows = tx
        .complaining(
            sql,
            &[
                &fields.name,
                &fields.kind,
                &fields.watts,
                &fields.kilograms,
                &fields.pinned,
                &fields.notes,
                &fields.tags,
                &place.rack,
                &place.face,
                &place.bottom,
                &place.shelf,
                &place.left,
            ],
            |constraint| {
                let id = place.shelf.filter(|_| constraint == "devices_shelf")?;
                Some(Error::Missing { what: "shelf", id })
            },
        )
        .await?;
    let row = rows.first().ok_or(Error::Fault("no device".into()))?;
    Columns::of(row).device()
}

/// Keeps others from changing a kind until the transaction ends.
async fn hold_kind(tx: &Tx<'_>, id: Id) -> Attempt<()> {
    let sql = "SELECT id FROM kinds WHERE id = $1 FOR SHARE";
    let kind = tx.row(sql, &[&id]).await?;
    kind.map(drop)
        .ok_or(Error::Missing { what: "kind", id }.into())
}

/// The device as it is now, locked together with its rack.
async fn locked(tx: &Tx<'_>, id: Id, version: Version) -> Attempt<Device> {
    let missing = || Failure::from(Error::Missing { what: WHAT, id });
    let rack = tx
        .row("SELECT rack FROM devices WHERE id = $1", &[&id])
        .await?;
    let rack: Option<Id> = rack.ok_or_else(missing)?.try_get(0)?;
    lock(tx, &rack.into_iter().collect::<Vec<_>>()).await?;
    let sql = concat!(
        "SELECT ",
        device_columns!(),
        " FROM devices d WHERE d.id = $1 FOR UPDATE"
    );
    let row = tx.row(sql, &[&id]).await?.ok_or_else(missing)?;
    let device = Columns::of(&row).device()?;
    if device.place.map(Place::rack) != rack {
        return Err(Failure::outdated());
    }
    match device.version == version {
        true => Ok(device),
        false => Err(Error::Changed {
            what: WHAT,
            id,
            now: device.version,
        }
        .into()),
    }
}

/// Whether fields are within their limits.
pub(super) fn checked(fields: &DeviceFields) -> Result<(), Error> {
    limits::check_device(fields).map_err(|(field, why)| Error::invalid(field, why))
}

//! Where devices are: what depends on all of a rack is decided while the rack is locked.
//!
//! The order of locks is the same everywhere: racks by number, then devices by number with their kinds. Whoever changes
//! a kind locks the racks that have devices of it, and then the kind, which whoever places such a device holds meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::{self, Note};
use super::error::{Attempt, Error, Failure};
use super::pool::Tx;
use super::rows::{Columns, PlaceValues, device_columns, kind_columns};
use super::{Store, Who, again, racks};
use crate::plan::check::{Conflict, check_moves, conflicts};
use crate::plan::model::{Device, Filled, Id, Item, Place, Version};

/// Where a device is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The device.
    pub device: Id,
    /// The version that it has to have still.
    pub version: Version,
    /// The place; nowhere if there is none.
    pub place: Option<Place>,
}

impl Store {
    /// Puts a device that still has this version into a place, or takes it out of its rack. What stands on a shelf goes with it.
    ///
    /// # Errors
    /// [`Error::Conflicts`] if it does not fit, [`Error::Missing`], [`Error::Changed`], [`Error::InUse`] if things stand on a shelf that is
    /// to be nowhere, and those of every change.
    pub async fn place(
        &self,
        who: &Who,
        id: Id,
        version: Version,
        place: Option<Place>,
    ) -> Result<Device, Error> {
        let step = Move {
            device: id,
            version,
            place,
        };
        let moved = self.shift(who, &[step]).await?;
        let device = moved.into_iter().next();
        device.ok_or(Error::Missing { what: "device", id })
    }

    /// Moves several devices, all of them or none: what is where they go may be among them.
    ///
    /// # Errors
    /// Those of [`Store::place`].
    pub async fn move_all(&self, who: &Who, moves: Vec<Move>) -> Result<Vec<Device>, Error> {
        let distinct: BTreeSet<Id> = moves.iter().map(|step| step.device).collect();
        if distinct.len() < moves.len() {
            return Err(Error::invalid("moves", "a device is there twice"));
        }
        self.shift(who, &moves).await
    }

    async fn shift(&self, who: &Who, steps: &[Move]) -> Result<Vec<Device>, Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let items = held(&tx, steps).await?;
            let moved = arranged(&tx, steps, &items).await?;
            let after = write(&tx, &moved).await?;
            let notes: Vec<Note> = moved
                .iter()
                .filter_map(|change| {
                    let after = after.get(&change.before.id)?;
                    Some(Note::moved(after.id, &change.before, after))
                })
                .collect();
            audit::write(&tx, who, &notes).await?;
            tx.commit().await?;
            Ok(steps
                .iter()
                .filter_map(|step| {
                    let unmoved = || items.get(&step.device).map(|item| item.device.clone());
                    after.get(&step.device).cloned().or_else(unmoved)
                })
                .collect())
        })
        .await
    }
}

/// Locks racks, in the order of their numbers. Nobody else can change them, or what is in them, until the transaction ends.
pub(super) async fn lock(tx: &Tx<'_>, ids: &[Id]) -> Attempt<()> {
    if ids.is_empty() {
        return Ok(());
    }
    // Not FOR UPDATE, which would also wait for everybody who merely refers to the rack.
    let sql = "SELECT id FROM racks WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    let rows = tx.rows(sql, &[&ids]).await?;
    let mut found = BTreeSet::<Id>::new();
    for row in &rows {
        found.insert(row.try_get(0)?);
    }
    match ids.iter().find(|id| !found.contains(id)) {
        None => Ok(()),
        Some(&id) => Err(Error::Missing { what: "rack", id }.into()),
    }
}

/// The devices of the steps with their kinds, locked together with the racks that they leave and those that they go to.
async fn held(tx: &Tx<'_>, steps: &[Move]) -> Attempt<BTreeMap<Id, Item>> {
    let ids: Vec<Id> = steps.iter().map(|step| step.device).collect();
    let mut concerned: BTreeSet<Id> = steps
        .iter()
        .filter_map(|step| step.place.map(Place::rack))
        .collect();
    let left = tx
        .rows(
            "SELECT DISTINCT rack FROM devices WHERE id = ANY($1) AND rack IS NOT NULL",
            &[&ids],
        )
        .await?;
    for row in &left {
        concerned.insert(row.try_get(0)?);
    }
    lock(tx, &concerned.iter().copied().collect::<Vec<_>>()).await?;
    let sql = concat!(
        "SELECT ",
        device_columns!(),
        ", ",
        kind_columns!(),
        " FROM devices d JOIN kinds k ON k.id = d.kind WHERE d.id = ANY($1) ORDER BY d.id FOR UPDATE OF d FOR SHARE OF k"
    );
    let mut items = BTreeMap::new();
    for row in &tx.rows(sql, &[&ids]).await? {
        let item = Columns::of(row).item()?;
        // It was moved after its rack was asked for.
        if matches!(item.device.place, Some(place) if !concerned.contains(&place.rack())) {
            return Err(Failure::outdated());
        }
        items.insert(item.device.id, item);
    }
    for step in steps {
        let what = "device";
        let id = step.device;
        let item = items.get(&id).ok_or(Error::Missing { what, id })?;
        let now = item.device.version;
        if now != step.version {
            return Err(Error::Changed { what, id, now }.into());
        }
    }
    Ok(items)
}

/// A device that goes somewhere.
struct Change {
    before: Device,
    place: Option<Place>,
}

/// Everything that moves: the devices of the steps, and what stands on those that are shelves. It is an error if any of them does
/// not fit where it goes, after all have moved.
async fn arranged(tx: &Tx<'_>, steps: &[Move], items: &BTreeMap<Id, Item>) -> Attempt<Vec<Change>> {
    let here = |item: &Item| item.device.place.map(Place::rack);
    let concerned: BTreeSet<Id> = steps
        .iter()
        .filter_map(|step| step.place.map(Place::rack))
        .chain(items.values().filter_map(here))
        .collect();
    let concerned: Vec<Id> = concerned.into_iter().collect();
    let mut filled = racks::filled(tx, &concerned).await?;
    let carried = carried(&filled, steps)?;
    let own = steps
        .iter()
        .filter_map(|step| Some((items.get(&step.device)?.clone(), step.place)));
    let moving: Vec<(Item, Option<Place>)> = own
        .filter(|(item, place)| item.device.place != *place)
        .chain(carried)
        .collect();
    // What is to be nowhere is in nobody's way.
    let leaves = |id: Id| {
        let mut leaving = moving.iter().filter(|(_, place)| place.is_none());
        leaving.any(|(item, _)| item.device.id == id)
    };
    for rack in filled.values_mut() {
        rack.items.retain(|item| !leaves(item.device.id));
    }
    let moves: Vec<(&Item, Place)> = moving
        .iter()
        .filter_map(|(item, place)| Some((item, (*place)?)))
        .collect();
    let found: Vec<Conflict> = filled
        .values()
        .flat_map(|rack| check_moves(rack, &moves))
        .map(|(_, conflict)| conflict)
        .collect();
    match found.is_empty() {
        true => Ok(moving
            .into_iter()
            .map(|(item, place)| Change {
                before: item.device,
                place,
            })
            .collect()),
        false => Err(Error::Conflicts(found).into()),
    }
}

/// What stands on shelves that go into another rack, and where it goes.
fn carried(
    filled: &BTreeMap<Id, Filled>,
    steps: &[Move],
) -> Result<Vec<(Item, Option<Place>)>, Error> {
    let mut carried = Vec::new();
    for item in filled.values().flat_map(|rack| &rack.items) {
        let Some(Place::Shelf { rack, shelf, left }) = item.device.place else {
            continue;
        };
        let moves_itself = steps.iter().any(|step| step.device == item.device.id);
        let Some(step) = steps.iter().find(|step| step.device == shelf) else {
            continue;
        };
        match step.place.map(Place::rack) {
            _ if moves_itself => {}
            None => {
                return Err(Error::InUse {
                    what: "shelf",
                    by: format!("{} stands on it", item.device.fields.name),
                });
            }
            Some(target) if target != rack => {
                let rack = target;
                let place = Place::Shelf { rack, shelf, left };
                carried.push((item.clone(), Some(place)));
            }
            Some(_) => {}
        }
    }
    Ok(carried)
}

/// Writes the new places; the devices as they are then.
async fn write(tx: &Tx<'_>, changes: &[Change]) -> Attempt<BTreeMap<Id, Device>> {
    let ids: Vec<Id> = changes.iter().map(|change| change.before.id).collect();
    let places: Vec<_> = changes
        .iter()
        .map(|change| PlaceValues::from(change.place))
        .collect();
    let racks: Vec<_> = places.iter().map(|place| place.rack).collect();
    let faces: Vec<_> = places.iter().map(|place| place.face).collect();
    let bottoms: Vec<_> = places.iter().map(|place| place.bottom).collect();
    let shelves: Vec<_> = places.iter().map(|place| place.shelf).collect();
    let lefts: Vec<_> = places.iter().map(|place| place.left).collect();
    let sql = concat!(
        "UPDATE devices d SET version = d.version + 1, rack = n.rack, face = n.face, bottom = n.bottom, shelf = n.shelf, \
         \"left\" = n.\"left\" FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[], $5::bigint[], $6::smallint[]) \
         AS n (id, rack, face, bottom, shelf, \"left\") WHERE d.id = n.id RETURNING ",
        device_columns!()
    );
    let values: super::pool::Values<'_> = &[&ids, &racks, &faces, &bottoms, &shelves, &lefts];
    let mut after = BTreeMap::new();
    for row in &tx.rows(sql, values).await? {
        let device = Columns::of(row).device()?;
        after.insert(device.id, device);
    }
    Ok(after)
}

/// The conflicts that locked racks had before a change of what they are or of what is in them: there must not be others after it.
pub(super) struct Guard {
    racks: Vec<Id>,
    before: Vec<(Id, Conflict)>,
}

impl Guard {
    /// Remembers how it is in racks that are locked.
    pub(super) async fn hold(tx: &Tx<'_>, racks: Vec<Id>) -> Attempt<Self> {
        let before = Guard::look(tx, &racks).await?;
        Ok(Guard { racks, before })
    }

    /// It is an error if anything fits no more that did before.
    pub(super) async fn judge(self, tx: &Tx<'_>) -> Attempt<()> {
        let mut after = Guard::look(tx, &self.racks).await?;
        after.retain(|conflict| !self.before.contains(conflict));
        match after.is_empty() {
            true => Ok(()),
            false => {
                let found = after.into_iter().map(|(_, conflict)| conflict);
                Err(Error::Conflicts(found.collect()).into())
            }
        }
    }

    async fn look(tx: &Tx<'_>, ids: &[Id]) -> Attempt<Vec<(Id, Conflict)>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let racks = racks::filled(tx, ids).await?;
        Ok(racks.values().flat_map(conflicts).collect())
    }
}

//! A rack that was written to a file, with all that was in it, as a new one.

use std::collections::HashMap;

use super::audit::{self, Note};
use super::error::{Attempt, Error, Failure};
use super::pool::Tx;
use super::{Store, Who, again, devices, filled, kinds, racks};
use crate::plan::check::conflicts;
use crate::plan::model::{Filled, Id, Item, KindFields, Place};

impl Store {
    /// Adds a rack and all that is in it: all of it or nothing. The numbers of `wish` only say what belongs together; all but those of kinds
    /// that are there already, by manufacturer and model, are new in what is returned.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Taken`] if there is a rack of this name, [`Error::Conflicts`] if something does not fit where it is, and
    /// those of every change.
    pub async fn import_rack(&self, who: &Who, wish: &Filled) -> Result<Filled, Error> {
        racks::checked(&wish.rack.fields)?;
        for item in &wish.items {
            devices::checked(&item.device.fields)?;
        }
        let described: Vec<KindFields> = wish
            .items
            .iter()
            .map(|item| item.kind.fields.clone())
            .collect();
        let (described, _) = kinds::distinct(&described)?;
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let filled = add(&tx, who, wish, &described).await?;
            tx.commit().await?;
            Ok(filled)
        })
        .await
    }
}

async fn add(tx: &Tx<'_>, who: &Who, wish: &Filled, described: &[&KindFields]) -> Attempt<Filled> {
    let rack = racks::insert(tx, &wish.rack.fields).await?;
    let mut notes = vec![Note::created("rack", rack.id, &rack)];
    let there = kinds::known(tx, described, true).await?;
    let is_new = |fields: &&KindFields| !there.contains_key(&kinds::key(fields));
    let new: Vec<&KindFields> = described.iter().copied().filter(is_new).collect();
    for kind in kinds::insert(tx, &new, false).await? {
        notes.push(Note::created("kind", kind.id, &kind));
    }
    let known = kinds::known(tx, described, true).await?;
    // What others stand on comes first.
    let on_shelf = |item: &&Item| matches!(item.device.place, Some(Place::Shelf { .. }));
    let (standing, mounted): (Vec<_>, Vec<_>) = wish.items.iter().partition(on_shelf);
    let mut numbers = HashMap::<Id, Id>::new();
    for item in mounted.into_iter().chain(standing) {
        let mut fields = item.device.fields.clone();
        let kind = known.get(&kinds::key(&item.kind.fields));
        fields.kind = kind.ok_or_else(Failure::outdated)?.id;
        let place = match item.device.place {
            None => None,
            Some(Place::Units {
                face, bottom, left, ..
            }) => Some(Place::Units {
                rack: rack.id,
                face,
                bottom,
                left,
            }),
            Some(Place::Shelf { shelf, left, .. }) => {
                let known = numbers.get(&shelf).copied();
                let missing = || {
                    let name = &item.device.fields.name;
                    Error::invalid(format!("device {name}"), "its shelf is not in the rack")
                };
                Some(Place::Shelf {
                    rack: rack.id,
                    shelf: known.ok_or_else(missing)?,
                    left,
                })
            }
        };
        let device = devices::insert(tx, &fields, place).await?;
        numbers.insert(item.device.id, device.id);
        notes.push(Note::created("device", device.id, &device));
    }
    audit::write(tx, who, &notes).await?;
    let filled = filled::all(tx, &[rack.id]).await?.remove(&rack.id);
    let filled = filled.ok_or_else(Failure::outdated)?;
    let found: Vec<_> = conflicts(&filled)
        .into_iter()
        .map(|(_, conflict)| conflict)
        .collect();
    match found.is_empty() {
        true => Ok(filled),
        false => Err(Error::Conflicts(found).into()),
    }
}

//! Whether a device may be at a place.
//!
//! - **Space.** What is mounted takes its height and its columns on its own face, and, if it is of full depth, the same columns on the
//!   other face. The columns of the rear are mirrored as seen from the front. What is of half depth meets nothing on the other face.
//! - **Beside.** What has no height is mounted beside the units; any number of such things may be there, within the rack's height.
//! - **Shelves.** What stands on a shelf shares its height: it may be as high as the shelf without the half that the board takes (of
//!   a shelf of half a unit, the board takes nothing), and its columns, counted from the shelf's left edge, are within the shelf's and
//!   not those of another device. Its depth does not matter. A shelf is mounted in the rack, never on another shelf. What stands on a
//!   shelf goes where the shelf goes.
//! - **Power and weight.** All that is in the rack together, also beside it and on shelves, stays within what the rack gives and bears.
//!   A rack that is already beyond that may be rearranged, but gets no more.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::model::{COLUMNS, Filled, Id, Item, Place};
use super::space::{Extent, Space};

/// Why a device may not be at a place. Its text is a whole sentence.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Conflict {
    /// There is no such rack, or it is not the one that was looked at.
    NoSuchRack {
        /// The number that was given.
        rack: Id,
    },
    /// The rack is not so high.
    OutsideRack {
        /// What would be needed.
        at: Extent,
        /// The rack's height in units.
        units: u8,
    },
    /// Another device is there, on the same face.
    Occupied {
        /// The other device.
        by: Id,
        /// Its name.
        name: String,
        /// Where it is.
        at: Extent,
    },
    /// A device on the other face is in the way, because it or this one is of full depth.
    Depth {
        /// The other device.
        by: Id,
        /// Its name.
        name: String,
        /// Where it is.
        at: Extent,
    },
    /// The rack, or the shelf, is not so wide.
    Width {
        /// The columns that would be needed from its left edge.
        needed: u16,
        /// The columns that there are.
        columns: u8,
        /// The name of the shelf; that of the rack is known.
        shelf: Option<String>,
    },
    /// The shelf is not in the rack.
    NoSuchShelf {
        /// The number that was given.
        shelf: Id,
    },
    /// Nothing can stand on that device.
    NotAShelf {
        /// The device.
        by: Id,
        /// Its name.
        name: String,
        /// Where it is; nowhere in the rack if there is none.
        at: Option<Extent>,
    },
    /// A shelf would stand on a shelf.
    ShelfOnShelf {
        /// The lower shelf.
        by: Id,
        /// Its name.
        name: String,
    },
    /// Another device stands there on the shelf.
    ShelfFull {
        /// The other device.
        by: Id,
        /// Its name.
        name: String,
        /// The shelf's name.
        shelf: String,
        /// Where the shelf is; nowhere in the rack if there is none.
        at: Option<Extent>,
    },
    /// The shelf is lower than the device.
    TooHighForShelf {
        /// The shelf.
        by: Id,
        /// Its name.
        name: String,
        /// Where it is; nowhere in the rack if there is none.
        at: Option<Extent>,
        /// The device's height in halves.
        halves: u8,
        /// The height that the shelf leaves, in halves.
        room: u8,
    },
    /// The rack's supply does not give so much.
    Power {
        /// What it gives, in watts.
        limit: f64,
        /// What all devices together would take, in watts.
        would_be: f64,
    },
    /// The rack does not bear so much.
    Weight {
        /// What it bears, in kilograms.
        limit: f64,
        /// What all devices together would weigh, in kilograms.
        would_be: f64,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conflict::NoSuchRack { rack } => write!(f, "There is no rack with the number {rack}."),
            Conflict::OutsideRack { at, units } => {
                write!(f, "It would be in {at}, but the rack ends at unit {units}.")
            }
            Conflict::Occupied { name, at, .. } => write!(f, "`{name}` is in the way, in {at}."),
            Conflict::Depth { name, at, .. } => write!(
                f,
                "`{name}` is on the other side, in {at}, and the rack is not deep enough for both."
            ),
            Conflict::Width {
                needed,
                columns,
                shelf,
            } => {
                write!(f, "It would reach to column {needed}, but ")?;
                match shelf {
                    Some(name) => write!(f, "the shelf `{name}` has only {columns}."),
                    None => write!(f, "the rack has only {columns}."),
                }
            }
            Conflict::NoSuchShelf { shelf } => {
                write!(f, "There is no shelf with the number {shelf} in this rack.")
            }
            Conflict::NotAShelf { name, at, .. } => {
                write!(f, "`{name}`{} is not a shelf.", Inside(at))
            }
            Conflict::ShelfOnShelf { name, .. } => {
                write!(
                    f,
                    "A shelf cannot stand on another shelf, such as `{name}`."
                )
            }
            Conflict::ShelfFull {
                name, shelf, at, ..
            } => {
                let at = Inside(at);
                write!(
                    f,
                    "`{name}` stands there already, on the shelf `{shelf}`{at}."
                )
            }
            Conflict::TooHighForShelf {
                name,
                at,
                halves,
                room,
                ..
            } => write!(
                f,
                "It is {} high, but the shelf `{name}`{} leaves only {}.",
                Units(*halves),
                Inside(at),
                Units(*room),
            ),
            Conflict::Power { limit, would_be } => write!(
                f,
                "All devices together would take {} W, but the rack's supply gives {} W.",
                Rounded(*would_be),
                Rounded(*limit),
            ),
            Conflict::Weight { limit, would_be } => write!(
                f,
                "All devices together would weigh {} kg, but the rack bears {} kg.",
                Rounded(*would_be),
                Rounded(*limit),
            ),
        }
    }
}

/// Where something is, behind its name.
struct Inside<'a>(&'a Option<Extent>);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(f, " in {at}"),
            None => Ok(()),
        }
    }
}

/// Halves of a unit, in units.
struct Units(u8);

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            2 => write!(f, "1 unit"),
            halves => write!(f, "{} units", f64::from(halves) / 2.0),
        }
    }
}

/// An amount, to its third decimal.
struct Rounded(f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0 * 1000.0).round() / 1000.0)
    }
}

/// What is against a device's being at a place: nothing, if it may be there.
///
/// The device may be in the rack already, and is then not in its own way. What stands on a shelf that is already in the rack is
/// moved with it; if the shelf comes from another rack, give both to [`check_moves`].
pub fn check(filled: &Filled, item: &Item, place: Place) -> Vec<Conflict> {
    if place.rack() != filled.rack.id {
        return vec![Conflict::NoSuchRack { rack: place.rack() }];
    }
    let conflicts = check_moves(filled, &[(item, place)]);
    conflicts
        .into_iter()
        .map(|(_, conflict)| conflict)
        .collect()
}

/// What is against several devices' being moved at once, as seen by one rack: those that stay, come or go. Those that go to
/// another rack leave, and what stands on them goes with them. Conflicts are told by the device that is moved.
pub fn check_moves(filled: &Filled, moves: &[(&Item, Place)]) -> Vec<(Id, Conflict)> {
    let before: Vec<_> = standing(filled).collect();
    let moved = |id: Id| moves.iter().any(|(item, _)| item.device.id == id);
    let leaves = |shelf: Id| {
        let mut others = moves.iter().filter(|(item, _)| item.device.id == shelf);
        others.any(|(_, place)| place.rack() != filled.rack.id)
    };
    let stays = before.iter().filter(|one| match one.place {
        _ if moved(one.item.device.id) => false,
        Place::Shelf { shelf, .. } => !leaves(shelf),
        Place::Units { .. } => true,
    });
    let comes = moves.iter().map(|&(item, place)| Standing { item, place });
    let comes = comes.filter(|one| one.place.rack() == filled.rack.id);
    let after: Vec<_> = stays.copied().chain(comes).collect();

    let moved: Vec<_> = after
        .iter()
        .filter(|one| moved(one.item.device.id))
        .collect();
    let mut found = of_space(filled, &after, &moved);
    found.extend(of_limits(filled, &before, &after, &moved));
    found
}

/// All conflicts of a rack that is as it is, by device. Too much power is told of the device that takes the most, and too much
/// weight of the heaviest.
pub fn conflicts(filled: &Filled) -> Vec<(Id, Conflict)> {
    let all: Vec<_> = standing(filled).collect();
    let each: Vec<_> = all.iter().collect();
    let mut found = of_space(filled, &all, &each);
    found.extend(of_limits(filled, &[], &all, &each));
    found
}

/// What stands on a shelf, and goes where it goes.
pub fn on_shelf(filled: &Filled, id: Id) -> impl Iterator<Item = &Item> {
    filled.items.iter().filter(
        move |item| matches!(item.device.place, Some(Place::Shelf { shelf, .. }) if shelf == id),
    )
}

/// The height that a shelf of this height leaves for what stands on it, in halves.
pub fn room_on_shelf(halves: u8) -> u8 {
    match halves {
        0 | 1 => halves,
        _ => halves - 1,
    }
}

/// A device at a place where it is, or would be.
#[derive(Clone, Copy)]
struct Standing<'a> {
    item: &'a Item,
    place: Place,
}

impl Standing<'_> {
    fn id(&self) -> Id {
        self.item.device.id
    }

    fn name(&self) -> String {
        self.item.device.fields.name.clone()
    }

    fn space(&self) -> Option<Space> {
        Space::of(&self.item.kind.fields, self.place)
    }

    /// Its part of the rack's height; none if it is on a shelf.
    fn extent(&self) -> Option<Extent> {
        match self.place {
            Place::Units { bottom, .. } => Some(Extent::new(bottom, &self.item.kind.fields)),
            Place::Shelf { .. } => None,
        }
    }
}

fn standing(filled: &Filled) -> impl Iterator<Item = Standing<'_>> {
    let rack = filled.rack.id;
    filled.items.iter().filter_map(move |item| {
        let place = item.device.place.filter(|place| place.rack() == rack)?;
        Some(Standing { item, place })
    })
}

/// The conflicts of space that some of all have with the others.
fn of_space(filled: &Filled, all: &[Standing], some: &[&Standing]) -> Vec<(Id, Conflict)> {
    let units = filled.rack.fields.units;
    let mut found = Vec::new();
    for one in some {
        let conflicts = match one.place {
            Place::Units { left, .. } => in_units(units, all, one, left),
            Place::Shelf { shelf, left, .. } => on_a_shelf(all, one, shelf, left),
        };
        found.extend(conflicts.into_iter().map(|conflict| (one.id(), conflict)));
    }
    found
}

fn in_units(units: u8, all: &[Standing], one: &Standing, left: u8) -> Vec<Conflict> {
    let kind = &one.item.kind.fields;
    let mut found = Vec::new();
    if let Some(at) = one.extent() {
        let needed = at.bottom + at.halves.max(1);
        if needed > 2 * u16::from(units) {
            found.push(Conflict::OutsideRack { at, units });
        }
    }
    let Some(space) = one.space() else {
        return found;
    };
    found.extend(too_wide(left, kind.columns, COLUMNS, None));
    for other in all.iter().filter(|other| other.id() != one.id()) {
        let Some(taken) = other.space().filter(|taken| taken.meets(&space)) else {
            continue;
        };
        let (by, name, at) = (other.id(), other.name(), taken.at);
        found.push(match taken.face == space.face {
            true => Conflict::Occupied { by, name, at },
            false => Conflict::Depth { by, name, at },
        });
    }
    found
}

fn on_a_shelf(all: &[Standing], one: &Standing, shelf: Id, left: u8) -> Vec<Conflict> {
    let kind = &one.item.kind.fields;
    let Some(below) = all.iter().find(|other| other.id() == shelf) else {
        return vec![Conflict::NoSuchShelf { shelf }];
    };
    let (by, at, board) = (shelf, below.extent(), &below.item.kind.fields);
    if !board.shelf {
        let name = below.name();
        return vec![Conflict::NotAShelf { by, name, at }];
    }
    if kind.shelf {
        let name = below.name();
        return vec![Conflict::ShelfOnShelf { by, name }];
    }
    let mut found = Vec::new();
    let (halves, room) = (kind.halves, room_on_shelf(board.halves));
    if halves > room {
        let name = below.name();
        found.push(Conflict::TooHighForShelf {
            by,
            name,
            at,
            halves,
            room,
        });
    }
    found.extend(too_wide(left, kind.columns, board.columns, Some(below)));
    let right = |left: u8, columns: u8| u16::from(left) + u16::from(columns);
    for other in all.iter().filter(|other| other.id() != one.id()) {
        let theirs = match other.place {
            Place::Shelf { shelf, left, .. } if shelf == by => left,
            _ => continue,
        };
        let columns = other.item.kind.fields.columns;
        if u16::from(left) < right(theirs, columns) && u16::from(theirs) < right(left, kind.columns)
        {
            found.push(Conflict::ShelfFull {
                by: other.id(),
                name: other.name(),
                shelf: below.name(),
                at,
            });
        }
    }
    found
}

fn too_wide(left: u8, wide: u8, columns: u8, shelf: Option<&Standing>) -> Option<Conflict> {
    let needed = u16::from(left) + u16::from(wide);
    (needed > columns.into()).then(|| Conflict::Width {
        needed,
        columns,
        shelf: shelf.map(Standing::name),
    })
}

/// Whether there is more of power or weight than the rack has, and more than there was; told of the one that is most to blame.
fn of_limits(
    filled: &Filled,
    before: &[Standing],
    after: &[Standing],
    blamed: &[&Standing],
) -> Vec<(Id, Conflict)> {
    let rack = &filled.rack.fields;
    let over = |limit: Option<f64>, of: fn(&Item) -> f64| {
        let limit = thousandths(limit?);
        let sum = |all: &[Standing]| {
            let each = all.iter().map(|one| thousandths(of(one.item)));
            each.fold(0, i64::saturating_add)
        };
        let would_be = sum(after);
        let most = blamed.iter().max_by_key(|one| thousandths(of(one.item)))?;
        let whole = |thousandths: i64| thousandths as f64 / 1000.0;
        (would_be > limit && would_be > sum(before))
            .then(|| (most.id(), whole(limit), whole(would_be)))
    };
    let power = over(rack.watts, Item::watts)
        .map(|(id, limit, would_be)| (id, Conflict::Power { limit, would_be }));
    let weight = over(rack.kilograms, Item::kilograms)
        .map(|(id, limit, would_be)| (id, Conflict::Weight { limit, would_be }));
    power.into_iter().chain(weight).collect()
}

/// Watts in milliwatts, kilograms in grams: sums of them are exact, so that 0.1 and 0.2 are within 0.3.
fn thousandths(amount: f64) -> i64 {
    (amount * 1000.0).round() as i64
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;

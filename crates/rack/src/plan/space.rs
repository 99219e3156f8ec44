//! The space of a rack: which halves of units, which columns, and how deep.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::model::{COLUMNS, Face, Filled, Id, Item, KindFields, Place};

/// A part of a rack's height, in halves of a unit. Its text is what is printed on the rack, such as `units 3 to 4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Extent {
    /// Its lower edge.
    pub bottom: u16,
    /// Its height; 0 for what is beside the rack.
    pub halves: u16,
}

impl Extent {
    /// That of a device of this kind, whose lower edge is at `bottom`.
    pub(super) fn new(bottom: u8, kind: &KindFields) -> Extent {
        Extent {
            bottom: bottom.into(),
            halves: kind.halves.into(),
        }
    }

    /// Its upper edge.
    pub fn top(self) -> u16 {
        self.bottom + self.halves
    }

    fn meets(self, other: Extent) -> bool {
        self.bottom < other.top() && other.bottom < self.top()
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bottom, top) = (self.bottom, self.top());
        let first = bottom / 2 + 1;
        let last = top.div_ceil(2).max(first);
        match (bottom % 2, top % 2) {
            _ if self.halves == 0 => write!(f, "unit {first}"),
            (0, 0) if first == last => write!(f, "unit {first}"),
            (0, 0) => write!(f, "units {first} to {last}"),
            (0, _) if first == last => write!(f, "the lower half of unit {first}"),
            (_, 0) if first == last => write!(f, "the upper half of unit {first}"),
            (0, _) => write!(f, "unit {first} to the middle of unit {last}"),
            (_, 0) => write!(f, "the middle of unit {first} to unit {last}"),
            (_, _) => write!(f, "the middle of unit {first} to the middle of unit {last}"),
        }
    }
}

/// The columns that a device takes at the front, as seen from there, in the lower twelve bits, and those at the rear in the
/// next twelve.
pub(super) type Cells = u32;

/// All cells of one half of a unit.
pub(super) const ALL_CELLS: Cells = (1 << (2 * COLUMNS)) - 1;

/// The cells of a device that is mounted on a face, with its left edge, as seen from there, at a column.
///
/// What is mounted at the rear is seen mirrored from the front. A device of full depth takes its columns on both faces; those
/// of half depth that are mounted on different faces never meet. Columns outside the rack are left out.
pub(super) fn cells(kind: &KindFields, face: Face, left: u8) -> Cells {
    let right = left.saturating_add(kind.columns).min(COLUMNS);
    let (from, to) = match face {
        Face::Front => (left.min(right), right),
        Face::Rear => (COLUMNS - right, COLUMNS - left.min(right)),
    };
    let columns: Cells = (1 << to) - (1 << from);
    let rear = columns << COLUMNS;
    match face {
        _ if kind.full_depth => columns | rear,
        Face::Front => columns,
        Face::Rear => rear,
    }
}

/// What a mounted device takes of a rack's space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Space {
    pub at: Extent,
    pub face: Face,
    cells: Cells,
}

impl Space {
    /// That of a device of this kind; none if it is beside the rack or on a shelf.
    pub fn of(kind: &KindFields, place: Place) -> Option<Space> {
        match place {
            Place::Units {
                face, bottom, left, ..
            } if kind.halves > 0 => Some(Space {
                at: Extent::new(bottom, kind),
                face,
                cells: cells(kind, face, left),
            }),
            _ => None,
        }
    }

    /// Whether both cannot be there.
    pub fn meets(&self, other: &Space) -> bool {
        self.at.meets(other.at) && self.cells & other.cells != 0
    }
}

/// Which part of the rack's height each device is in, and on which face: for what stands on a shelf, that of the shelf.
/// What is beside the rack or not in it has none.
pub(super) fn extents(filled: &Filled) -> HashMap<Id, (Extent, Face)> {
    let place = |item: &Item| {
        let place = item.device.place;
        place.filter(|place| place.rack() == filled.rack.id)
    };
    let mounted: HashMap<_, _> = filled
        .items
        .iter()
        .filter_map(|item| {
            let space = Space::of(&item.kind.fields, place(item)?)?;
            Some((item.device.id, (space.at, space.face)))
        })
        .collect();
    let standing = filled.items.iter().filter_map(|item| match place(item)? {
        Place::Shelf { shelf, .. } => Some((item.device.id, *mounted.get(&shelf)?)),
        Place::Units { .. } => None,
    });
    let standing: Vec<_> = standing.collect();
    let mut extents = mounted;
    extents.extend(standing);
    extents
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;

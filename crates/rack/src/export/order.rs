//! The order of what is in a rack, the same for each export, and numbers in it.

use crate::plan::model::{Face, Filled, Id, Item, Place};

/// What is in a rack: the front from above, the rear, what stands on shelves, and what is nowhere. So a shelf comes before
/// the things on it.
pub fn of(filled: &Filled) -> Vec<&Item> {
    let mut items: Vec<&Item> = filled.items.iter().collect();
    items.sort_by_cached_key(|item| {
        let shelf = match item.device.place {
            Some(Place::Shelf { shelf, .. }) => {
                filled.items.iter().find(|other| other.device.id == shelf)
            }
            _ => None,
        };
        // Things are ordered by their shelves first.
        (sort(item), shelf.map(within), within(item))
    });
    items
}

fn sort(item: &Item) -> u8 {
    match item.device.place {
        Some(Place::Units { .. }) => 0,
        Some(Place::Shelf { .. }) => 1,
        None => 2,
    }
}

/// Where it is: side, from above, from the left; the device's number keeps the order of what is alike.
fn within(item: &Item) -> (Option<Face>, u8, u8, Id) {
    let id = item.device.id;
    match item.device.place {
        Some(Place::Units {
            face, bottom, left, ..
        }) => (Some(face), u8::MAX - bottom, left, id),
        Some(Place::Shelf { left, .. }) => (None, 0, left, id),
        None => (None, 0, 0, id),
    }
}

/// The number of a device in that order, from 1.
pub fn number(items: &[&Item], id: Id) -> Option<usize> {
    let at = items.iter().position(|item| item.device.id == id);
    at.map(|at| at + 1)
}

/// The unit, as it is printed on a rack, whose lower edge a position in halves is; 12.5 is the middle of unit 12.
pub fn unit(bottom: u8) -> f64 {
    f64::from(bottom) / 2.0 + 1.0
}

//! The question in whole numbers: blocks, the slots that each may be in, and what a choice of slots costs.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::plan::check::{self, Conflict};
use crate::plan::model::{COLUMNS, Face, Filled, Id, Item, Place, Version};
use crate::plan::space::cells;
use crate::plan::thermal::{STAYS_PERCENT, against, heat, stray_percent};

use super::{MOST_WEIGHT, Move, Score, Wish};

/// Beyond these, an amount counts as this much, so that no sum overflows: ten tons, and ten kilowatts that stray.
const MOST_GRAMS: f64 = 1e7;
const MOST_STRAY: f64 = 1e4;

/// Which blocks are to be placed, and what that costs. It can be written as JSON, for other programs to solve.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// The rack's height in units.
    pub units: u8,
    /// What can be moved.
    pub blocks: Vec<Block>,
    /// The cells that are taken by what stays, by half.
    pub taken: Vec<u32>,
    /// The cost of what stays, and of its heat for one another.
    pub constant: Score,
    /// The points of heat between two blocks are `stray` of the lower, `suffers` of the upper, this weight, and the nearness of the
    /// halves between them.
    pub heat: i64,
    /// Percents by halves between blocks; 0 for all that are further apart.
    pub nearness: Vec<i64>,
    /// The cost of a unit that is not in the longest run of free ones.
    pub gap: i64,
    /// The cost of a block that is not at home.
    pub moving: i64,
    #[serde(skip)]
    rack: Id,
}

/// What is moved as one.
#[derive(Debug, Clone, Serialize)]
pub struct Block {
    /// The device that is mounted.
    pub device: Id,
    /// Its height in halves.
    pub halves: u8,
    /// Its heat that comes back to inlets, in watts.
    pub stray: i64,
    /// How much it suffers of others' heat, in tenths.
    pub suffers: i64,
    /// The number of the slot that it is in now.
    pub home: usize,
    /// Where it may be, with regard to what stays.
    pub slots: Vec<Slot>,
    #[serde(skip)]
    version: Version,
    #[serde(skip)]
    face: Face,
}

/// Where a block may be.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Slot {
    /// Its lower edge, in halves.
    pub bottom: u8,
    /// The column of its left edge, as seen from its face.
    pub left: u8,
    /// The cells that it takes in each of its halves.
    pub cells: u32,
    /// The cost of its weight there.
    pub low: i64,
    /// The cost of heat between it and what stays.
    pub heat: i64,
}

/// What is mounted in units, with what stands on it.
struct Mounted<'a> {
    item: &'a Item,
    face: Face,
    bottom: u8,
    left: u8,
    stays: bool,
    grams: i64,
    stray: i64,
    suffers: i64,
}

impl Mounted<'_> {
    fn top(&self) -> usize {
        usize::from(self.bottom) + usize::from(self.item.kind.fields.halves)
    }
}

impl Problem {
    /// What may be moved in a rack, by a wish.
    pub fn new(filled: &Filled, wish: &Wish) -> Problem {
        let weight = |weight: u32| i64::from(weight.min(MOST_WEIGHT));
        let units = filled.rack.fields.units;
        let mut problem = Problem {
            units,
            blocks: Vec::new(),
            taken: vec![0; 2 * usize::from(units)],
            constant: Score::default(),
            heat: weight(wish.heat),
            nearness: nearness(),
            gap: 1000 * weight(wish.gaps),
            moving: 1000 * weight(wish.moves),
            rack: filled.rack.id,
        };
        let mounted = mounted(filled);
        let (stay, moved): (Vec<_>, Vec<_>) = mounted.into_iter().partition(|one| one.stays);
        for one in &stay {
            let fields = &one.item.kind.fields;
            let taken = problem.taken.iter_mut();
            for row in taken.take(one.top()).skip(one.bottom.into()) {
                *row |= cells(fields, one.face, one.left);
            }
            problem.constant.low += low(wish, one.grams, one.bottom, fields.halves);
            problem.constant.heat += stay
                .iter()
                .map(|other| problem.warms((one.top(), one.stray), (other.bottom, other.suffers)))
                .sum::<i64>();
        }
        problem.constant.total = problem.constant.low + problem.constant.heat;
        for one in moved {
            let block = problem.block(&one, &stay, wish);
            problem.blocks.push(block);
        }
        problem
    }

    /// The rack's height in halves.
    pub fn halves(&self) -> usize {
        self.taken.len()
    }

    /// The slots that all blocks are in now.
    pub fn home(&self) -> Vec<usize> {
        self.blocks.iter().map(|block| block.home).collect()
    }

    /// Whether a slot for each block is a possible arrangement.
    pub fn fits(&self, choice: &[usize]) -> bool {
        let mut taken = self.taken.clone();
        self.chosen(choice).all(|(block, slot)| {
            let mut rows = taken[slot.rows(block.halves)].iter_mut();
            rows.all(|row| {
                let free = *row & slot.cells == 0;
                *row |= slot.cells;
                free
            })
        })
    }

    /// How good a slot for each block is: the objective as it is written down, term by term.
    pub fn score(&self, choice: &[usize]) -> Score {
        let mut score = self.constant;
        let mut taken = self.taken.clone();
        for (block, slot) in self.chosen(choice) {
            score.low += slot.low;
            score.heat += slot.heat;
            let top = usize::from(slot.bottom) + usize::from(block.halves);
            for (other, above) in self.chosen(choice) {
                let upper = (above.bottom, other.suffers);
                score.heat += self.warms((top, block.stray), upper);
            }
            for row in &mut taken[slot.rows(block.halves)] {
                *row |= slot.cells;
            }
        }
        let free = taken.chunks(2).map(|unit| unit == [0, 0]);
        let free: Vec<bool> = free.collect();
        let runs = free.chunk_by(|one, next| one == next);
        let longest = runs.filter(|run| run[0]).map(<[bool]>::len).max();
        score.gaps = self.gap * (free.len() - longest.unwrap_or(0)) as i64;
        let moved = self.blocks.iter().zip(choice);
        let moved = moved.filter(|(block, slot)| block.home != **slot).count();
        score.moves = self.moving * moved as i64;
        score.total = score.low + score.heat + score.gaps + score.moves;
        score
    }

    /// What is to be moved for a slot for each block.
    pub fn moves(&self, choice: &[usize]) -> Vec<Move> {
        self.chosen(choice)
            .filter(|(block, slot)| {
                let home = &block.slots[block.home];
                (home.bottom, home.left) != (slot.bottom, slot.left)
            })
            .map(|(block, slot)| Move {
                device: block.device,
                version: block.version,
                place: Place::Units {
                    rack: self.rack,
                    face: block.face,
                    bottom: slot.bottom,
                    left: slot.left,
                },
            })
            .collect()
    }

    fn chosen<'a>(&'a self, choice: &'a [usize]) -> impl Iterator<Item = (&'a Block, &'a Slot)> {
        let both = self.blocks.iter().zip(choice);
        both.map(|(block, slot)| (block, &block.slots[*slot]))
    }

    /// The points of the heat of one, which ends at a half and strays so much, for another, which begins at a half and suffers so.
    fn warms(&self, lower: (usize, i64), upper: (u8, i64)) -> i64 {
        let (top, stray) = lower;
        let (bottom, suffers) = upper;
        let between = usize::from(bottom).checked_sub(top);
        let nearness = between.and_then(|between| self.nearness.get(between));
        self.heat * stray * suffers * nearness.copied().unwrap_or(0)
    }

    fn block(&self, one: &Mounted, stay: &[Mounted], wish: &Wish) -> Block {
        let fields = &one.item.kind.fields;
        let halves = fields.halves;
        let step = if halves.is_multiple_of(2) { 2 } else { 1 };
        let highest = self.halves().saturating_sub(halves.into()) as u8;
        let mut bottoms: Vec<u8> = (0..=highest).step_by(step).collect();
        let mut lefts: Vec<u8> = match fields.columns {
            0 => Vec::new(),
            columns => (0..=COLUMNS - columns).step_by(columns.into()).collect(),
        };
        bottoms.push(one.bottom);
        lefts.push(one.left);
        let mut places: Vec<_> = bottoms
            .iter()
            .flat_map(|bottom| lefts.iter().map(|left| (*bottom, *left)))
            // A device of whole units that begins in the middle of one may stay there, but goes to no other middle.
            .filter(|place| {
                *place == (one.bottom, one.left) || usize::from(place.0).is_multiple_of(step)
            })
            .collect();
        places.sort_unstable();
        places.dedup();

        let slot = |(bottom, left): (u8, u8)| {
            let top = usize::from(bottom) + usize::from(halves);
            let heat = stay.iter().map(|other| {
                let from = self.warms((other.top(), other.stray), (bottom, one.suffers));
                from + self.warms((top, one.stray), (other.bottom, other.suffers))
            });
            Slot {
                bottom,
                left,
                cells: cells(fields, one.face, left),
                low: low(wish, one.grams, bottom, halves),
                heat: heat.sum(),
            }
        };
        let free = |slot: &Slot| {
            let mut rows = self.taken[slot.rows(halves)].iter();
            rows.all(|row| row & slot.cells == 0)
        };
        let slots: Vec<_> = places.into_iter().map(slot).filter(free).collect();
        let own = |slot: &Slot| (slot.bottom, slot.left) == (one.bottom, one.left);
        Block {
            device: one.item.device.id,
            halves,
            stray: one.stray,
            suffers: one.suffers,
            // What is in conflict stays, so a block's own place is free of what stays.
            home: slots.iter().position(own).unwrap_or_default(),
            slots,
            version: one.item.device.version,
            face: one.face,
        }
    }
}

impl Slot {
    /// The halves that a block of a height takes here.
    pub fn rows(&self, halves: u8) -> std::ops::Range<usize> {
        usize::from(self.bottom)..usize::from(self.bottom) + usize::from(halves)
    }
}

/// The weighted part of height.
fn low(wish: &Wish, grams: i64, bottom: u8, halves: u8) -> i64 {
    let quarters = 2 * i64::from(bottom) + i64::from(halves);
    i64::from(wish.low.min(MOST_WEIGHT)) * (grams * quarters / 4)
}

/// Percents by halves: each is that of the one before, by the share of heat that is left after half a unit, rounded down.
fn nearness() -> Vec<i64> {
    let next = |percent: &i64| Some(percent * i64::from(STAYS_PERCENT) / 100);
    std::iter::successors(Some(100), next)
        .take_while(|percent| *percent > 0)
        .collect()
}

fn mounted(filled: &Filled) -> Vec<Mounted<'_>> {
    let in_conflict: HashSet<Id> = check::conflicts(filled)
        .into_iter()
        .filter(|(_, conflict)| {
            !matches!(conflict, Conflict::Power { .. } | Conflict::Weight { .. })
        })
        .map(|(id, _)| id)
        .collect();
    let opposed: HashSet<Id> = against(filled).iter().map(|one| one.device).collect();
    // The same rack has the same answer, in whichever order a database tells what is in it.
    let mut items: Vec<&Item> = filled.items.iter().collect();
    items.sort_by_key(|item| item.device.id);
    let mut on_it: HashMap<Id, Vec<&Item>> = HashMap::new();
    for item in &items {
        if let Some(Place::Shelf { shelf, .. }) = item.device.place {
            on_it.entry(shelf).or_default().push(item);
        }
    }
    items
        .into_iter()
        .filter_map(|item| match item.device.place? {
            Place::Units {
                rack,
                face,
                bottom,
                left,
            } if rack == filled.rack.id && item.kind.fields.halves > 0 => {
                let riders = on_it.get(&item.device.id).map_or(&[][..], Vec::as_slice);
                let parts = || riders.iter().copied().chain([item]);
                let stray = |part: &Item| {
                    let opposed = opposed.contains(&part.device.id);
                    heat(part) * f64::from(stray_percent(part.kind.fields.airflow, opposed)) / 100.0
                };
                Some(Mounted {
                    item,
                    face,
                    bottom,
                    left,
                    stays: in_conflict.contains(&item.device.id)
                        || parts().any(|part| part.device.fields.pinned),
                    grams: whole(parts().map(|part| part.kilograms() * 1000.0), MOST_GRAMS),
                    stray: whole(parts().map(stray), MOST_STRAY),
                    suffers: parts().map(suffers).max().unwrap_or_default(),
                })
            }
            _ => None,
        })
        .collect()
}

/// A sum as a whole number from 0 to a limit; what is not a number is 0.
fn whole(amounts: impl Iterator<Item = f64>, most: f64) -> i64 {
    amounts.sum::<f64>().clamp(0.0, most).round() as i64
}

/// How much a device suffers of others' heat, in tenths.
fn suffers(item: &Item) -> i64 {
    let watts = heat(item);
    if watts == 0.0 {
        return 0;
    }
    let tenths = 5 + (watts / 40.0).min(15.0) as i64;
    match item.kind.fields.category.eq_ignore_ascii_case("storage") {
        true => 2 * tenths,
        false => tenths,
    }
}

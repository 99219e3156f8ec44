//! An arrangement that is changed block by block, and always knows what it costs.

use crate::plan::space::Cells;

use super::problem::{Block, Problem, Slot};

/// Blocks in slots. Some may be in none, while a search looks for theirs.
///
/// Heat is kept as two fields over the rack's height: what arrives at a half from all blocks below, and how much all blocks above a
/// half suffer. So a block's part is found without looking at the others.
#[derive(Clone)]
pub struct Layout<'a> {
    problem: &'a Problem,
    choice: Vec<Option<usize>>,
    taken: Vec<Cells>,
    /// A bit for each unit in which nothing is.
    free: u128,
    arrives: Vec<i64>,
    suffers: Vec<i64>,
    /// The cost of all blocks in slots, without gaps.
    cost: i64,
}

impl<'a> Layout<'a> {
    /// That of what stays.
    pub fn new(problem: &'a Problem) -> Layout<'a> {
        let halves = problem.halves();
        let units = problem.taken.chunks(2).enumerate();
        let free = units.filter(|(_, unit)| *unit == [0, 0]);
        Layout {
            problem,
            choice: vec![None; problem.blocks.len()],
            taken: problem.taken.clone(),
            free: free.map(|(unit, _)| 1 << unit).sum(),
            arrives: vec![0; halves + 1],
            suffers: vec![0; halves + 1],
            cost: problem.constant.total,
        }
    }

    /// That of a slot for each block.
    pub fn of(problem: &'a Problem, choice: &[usize]) -> Layout<'a> {
        let mut layout = Layout::new(problem);
        for (block, slot) in choice.iter().enumerate() {
            layout.put(block, *slot);
        }
        layout
    }

    /// The slot of a block.
    pub fn slot(&self, block: usize) -> Option<usize> {
        self.choice[block]
    }

    /// The slots of all blocks, once each has one.
    pub fn choice(&self) -> Option<Vec<usize>> {
        self.choice.iter().copied().collect()
    }

    /// What all blocks in slots cost, with gaps.
    pub fn total(&self) -> i64 {
        self.cost + self.gaps(self.free)
    }

    /// What all blocks in slots cost, without gaps.
    pub fn cost(&self) -> i64 {
        self.cost
    }

    /// What a block would add in a slot, without gaps; nothing if the slot is not free.
    pub fn price(&self, block: usize, slot: usize) -> Option<i64> {
        let (one, at) = self.at(block, slot);
        let mut rows = self.taken[at.rows(one.halves)].iter();
        rows.all(|row| row & at.cells == 0)
            .then(|| self.cost_at(block, slot))
    }

    /// What a block would add in a slot, with gaps; nothing if the slot is not free.
    pub fn price_with_gaps(&self, block: usize, slot: usize) -> Option<i64> {
        let price = self.price(block, slot)?;
        let (one, at) = self.at(block, slot);
        Some(price + self.gaps(self.free & !units(at, one.halves)))
    }

    /// Puts a block, which is in no slot, into a free one.
    pub fn put(&mut self, block: usize, slot: usize) {
        let (one, at) = self.at(block, slot);
        self.cost += self.cost_at(block, slot);
        self.choice[block] = Some(slot);
        for row in &mut self.taken[at.rows(one.halves)] {
            *row |= at.cells;
        }
        self.free &= !units(at, one.halves);
        self.radiate(one, at, 1);
    }

    /// Takes a block out of its slot, if it is in one.
    pub fn take(&mut self, block: usize) {
        let Some(slot) = self.choice[block].take() else {
            return;
        };
        let (one, at) = self.at(block, slot);
        for row in &mut self.taken[at.rows(one.halves)] {
            *row &= !at.cells;
        }
        let first = usize::from(at.bottom) / 2;
        let last = (usize::from(at.bottom) + usize::from(one.halves)).div_ceil(2);
        for unit in first..last {
            if self.taken[2 * unit..2 * unit + 2] == [0, 0] {
                self.free |= 1 << unit;
            }
        }
        self.radiate(one, at, -1);
        self.cost -= self.cost_at(block, slot);
    }

    /// The blocks that are in the way of a block in a slot.
    pub fn in_the_way(&self, block: usize, slot: usize) -> Vec<usize> {
        let (one, at) = self.at(block, slot);
        let rows = at.rows(one.halves);
        let meets = |other: &usize| {
            self.choice[*other].is_some_and(|theirs| {
                let (two, there) = self.at(*other, theirs);
                let their = there.rows(two.halves);
                their.start < rows.end && rows.start < their.end && there.cells & at.cells != 0
            })
        };
        let others = (0..self.choice.len()).filter(|other| *other != block);
        others.filter(meets).collect()
    }

    /// The least that gaps cost when so many more cells are taken: no run is longer than the longest of now, nor than all units that
    /// stay free if the others are filled first.
    pub fn least_gaps(&self, more: u32) -> i64 {
        let units = self.taken.chunks(2).enumerate();
        let begun = units.filter(|(unit, _)| self.free & (1 << unit) == 0);
        let room: u32 = begun
            .map(|(_, unit)| unit.iter().map(|row| CELLS - row.count_ones()).sum::<u32>())
            .sum();
        let opened = more.saturating_sub(room).div_ceil(2 * CELLS);
        let left = self.free.count_ones().saturating_sub(opened);
        let run = longest(self.free).min(left);
        self.problem.gap * (i64::from(self.problem.units) - i64::from(run))
    }

    fn at(&self, block: usize, slot: usize) -> (&'a Block, &'a Slot) {
        let one = &self.problem.blocks[block];
        (one, &one.slots[slot])
    }

    fn cost_at(&self, block: usize, slot: usize) -> i64 {
        let (one, at) = self.at(block, slot);
        let bottom = usize::from(at.bottom);
        let top = bottom + usize::from(one.halves);
        let heat = one.suffers * self.arrives[bottom] + one.stray * self.suffers[top];
        let moving = match slot == one.home {
            true => 0,
            false => self.problem.moving,
        };
        at.low + at.heat + moving + self.problem.heat * heat
    }

    /// Adds to the fields what a block in a slot does to them, or takes it away.
    fn radiate(&mut self, one: &Block, at: &Slot, sign: i64) {
        let bottom = usize::from(at.bottom);
        let top = bottom + usize::from(one.halves);
        let nearness = &self.problem.nearness;
        if one.stray != 0 {
            let above = self.arrives[top..].iter_mut();
            for (field, percent) in above.zip(nearness) {
                *field += sign * one.stray * percent;
            }
        }
        if one.suffers != 0 {
            let below = self.suffers[..=bottom].iter_mut().rev();
            for (field, percent) in below.zip(nearness) {
                *field += sign * one.suffers * percent;
            }
        }
    }

    fn gaps(&self, free: u128) -> i64 {
        self.problem.gap * (i64::from(self.problem.units) - i64::from(longest(free)))
    }
}

/// The cells of a half.
const CELLS: u32 = crate::plan::space::ALL_CELLS.count_ones();

/// A bit for each unit that a block in a slot is in.
fn units(at: &Slot, halves: u8) -> u128 {
    let first = at.bottom / 2;
    let end = (u16::from(at.bottom) + u16::from(halves)).div_ceil(2);
    (1 << end) - (1 << first)
}

/// The longest run of ones: each step shortens every run by one.
fn longest(mut bits: u128) -> u32 {
    let mut length = 0;
    while bits != 0 {
        bits &= bits << 1;
        length += 1;
    }
    length
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;

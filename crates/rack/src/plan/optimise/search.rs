//! Large neighbourhood search: some blocks are taken out, and each is put back where it costs the least.
//!
//! A worse arrangement is accepted if it is worse by less than a limit, which falls to nothing in each of several turns, and each turn
//! begins with the best so far. So a search that is cut short has finished most of its turns.

use fastrand::Rng;

use super::layout::Layout;
use super::problem::Problem;

/// The rounds for each block before branch and bound, which is the quicker the better the arrangement is that it begins with.
pub const FIRST: u32 = 50;

/// The rounds for each block in all turns together.
pub const ROUNDS: u32 = 4000;

/// How often the limit falls.
const TURNS: u32 = 8;

/// The most blocks that are taken out at once.
const MOST_OUT: usize = 6;

/// A search that can be continued.
pub struct Search<'a> {
    problem: &'a Problem,
    random: Rng,
    /// The best choice so far.
    pub best: Vec<usize>,
    least: i64,
}

impl<'a> Search<'a> {
    /// One that begins with what is.
    pub fn new(problem: &'a Problem, seed: u64) -> Search<'a> {
        let best = problem.home();
        let least = Layout::of(problem, &best).total();
        Search {
            problem,
            random: Rng::with_seed(seed),
            best,
            least,
        }
    }

    /// Searches for so many rounds for each block, or until there is no time.
    pub fn run(&mut self, rounds: u32, out_of_time: &dyn Fn() -> bool) {
        let blocks = self.problem.blocks.len() as u32;
        let each = (rounds * blocks).div_ceil(TURNS);
        for turn in 0..TURNS {
            // Later turns look more closely around the best.
            let limit = self.limit() >> turn;
            let mut layout = Layout::of(self.problem, &self.best);
            for round in 0..each {
                if round % 32 == 0 && out_of_time() {
                    return;
                }
                let left = i64::from(each - round);
                self.round(&mut layout, limit * left / i64::from(each));
            }
        }
    }

    /// How much worse an arrangement may be at first: an eighth of what a block costs on average. With twice that cost, the same was found
    /// at the end, but nothing in the first half of each turn; with a thirty-second part, less was found.
    fn limit(&self) -> i64 {
        let blocks = self.problem.blocks.len().max(1) as i64;
        (self.least - self.problem.constant.total) / blocks / 8
    }

    fn round(&mut self, layout: &mut Layout, limit: i64) {
        let before = layout.total();
        let out = self.take_out(layout);
        let old: Vec<_> = out.iter().map(|(block, slot, _)| (*block, *slot)).collect();
        let mut put = Vec::with_capacity(out.len());
        let complete = out.iter().all(|(block, old, wanted)| {
            let slot = match wanted {
                Some(slot) if layout.price(*block, *slot).is_some() => Some(*slot),
                _ => self.cheapest(layout, *block, *old),
            };
            slot.inspect(|slot| {
                layout.put(*block, *slot);
                put.push(*block);
            })
            .is_some()
        });
        let after = layout.total();
        let allowed = match limit {
            0 => 0,
            limit => self.random.i64(0..=limit),
        };
        if complete && after <= before + allowed {
            if after < self.least
                && let Some(choice) = layout.choice()
            {
                self.least = after;
                self.best = choice;
            }
            return;
        }
        for block in put {
            layout.take(block);
        }
        for (block, slot) in old {
            layout.put(block, slot);
        }
    }

    /// Takes blocks out, and tells the slot of each, and for some the slot that it is to have, in the order to put them back.
    fn take_out(&mut self, layout: &mut Layout) -> Vec<(usize, usize, Option<usize>)> {
        let count = self.problem.blocks.len();
        let mut out: Vec<(usize, Option<usize>)> = match self.random.u8(0..3) {
            // One goes elsewhere, and what is in its way makes room.
            0 => {
                let block = self.random.usize(0..count);
                let slot = self.random.usize(0..self.problem.blocks[block].slots.len());
                let others = layout.in_the_way(block, slot).into_iter();
                let others = others.map(|other| (other, None));
                return self.lift(layout, [(block, Some(slot))].into_iter().chain(others));
            }
            // Neighbours.
            1 => {
                let bottom = |block: usize| {
                    let slot = layout.slot(block).unwrap_or_default();
                    self.problem.blocks[block].slots[slot].bottom
                };
                let mut by_height: Vec<_> = (0..count).collect();
                by_height.sort_by_key(|block| bottom(*block));
                let length = self.random.usize(1..=MOST_OUT.min(count));
                let first = self.random.usize(0..=count - length);
                let some = by_height[first..first + length].iter();
                some.map(|block| (*block, None)).collect()
            }
            // Any.
            _ => {
                let length = self.random.usize(1..=MOST_OUT.min(count));
                let some = self.random.choose_multiple(0..count, length).into_iter();
                some.map(|block| (block, None)).collect()
            }
        };
        self.random.shuffle(&mut out);
        // High ones find room more easily while there is much of it.
        if self.random.bool() {
            out.sort_by_key(|(block, _)| std::cmp::Reverse(self.problem.blocks[*block].halves));
        }
        self.lift(layout, out.into_iter())
    }

    fn lift(
        &self,
        layout: &mut Layout,
        out: impl Iterator<Item = (usize, Option<usize>)>,
    ) -> Vec<(usize, usize, Option<usize>)> {
        out.map(|(block, wanted)| {
            let slot = layout.slot(block).unwrap_or_default();
            layout.take(block);
            (block, slot, wanted)
        })
        .collect()
    }

    /// The slot in which a block costs the least, and now and then the best one that is not the one it was in.
    fn cheapest(&mut self, layout: &Layout, block: usize, old: usize) -> Option<usize> {
        let elsewhere = self.random.u8(0..4) == 0;
        (0..self.problem.blocks[block].slots.len())
            .filter(|slot| !(elsewhere && *slot == old))
            .filter_map(|slot| Some((layout.price_with_gaps(block, slot)?, slot)))
            .min()
            .map(|(_, slot)| slot)
    }
}

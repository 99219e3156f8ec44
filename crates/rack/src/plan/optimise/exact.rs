//! Branch and bound: the best arrangement, and the proof that it is.
//!
//! Blocks are placed one after the other, and each slot of a block is a branch. A branch is left when it cannot become better than the
//! best so far: even if each block that is not placed yet got the cheapest slot that is free for it now, whatever the others get, and
//! if gaps cost the least that they can. That is a lower bound because no two blocks cost less together than each alone.

use super::layout::Layout;
use super::problem::Problem;

/// As many branches as take no longer than a search.
pub const QUICK: u32 = 20_000;

/// As many branches as prove what can be proven in a second or a few.
pub const PATIENT: u32 = 300_000;

/// The best choice of slots, if it is proven that there is none better before the time is over and so many branches are looked at.
/// `known` is a possible one, which is the answer if nothing is better.
pub fn best(
    problem: &Problem,
    known: &[usize],
    branches: u32,
    out_of_time: &dyn Fn() -> bool,
) -> Option<Vec<usize>> {
    let mut branches = Branches {
        problem,
        layout: Layout::new(problem),
        left: (0..problem.blocks.len()).collect(),
        best: known.to_vec(),
        least: Layout::of(problem, known).total(),
        more: branches,
        out_of_time,
    };
    branches.descend().then_some(branches.best)
}

struct Branches<'a> {
    problem: &'a Problem,
    layout: Layout<'a>,
    /// The blocks that are in no slot.
    left: Vec<usize>,
    best: Vec<usize>,
    least: i64,
    /// The branches that may still be looked at.
    more: u32,
    out_of_time: &'a dyn Fn() -> bool,
}

/// The block to branch on.
struct Next {
    /// How much dearer its second best slot is than its best one.
    regret: i64,
    /// Where it is among those that are left.
    position: usize,
    cheapest: i64,
    /// Its free slots, behind what they cost, from the cheapest.
    prices: Vec<(i64, usize)>,
}

impl Branches<'_> {
    /// Looks at all ways to place the blocks that are left; false if that was given up.
    fn descend(&mut self) -> bool {
        if self.left.is_empty() {
            if self.layout.total() < self.least
                && let Some(choice) = self.layout.choice()
            {
                self.least = self.layout.total();
                self.best = choice;
            }
            return true;
        }
        if self.more == 0 || (self.more.is_multiple_of(256) && (self.out_of_time)()) {
            return false;
        }
        self.more -= 1;

        let cells = self.left.iter().map(|block| {
            let block = &self.problem.blocks[*block];
            block.slots[0].cells.count_ones() * u32::from(block.halves)
        });
        let gaps = self.layout.least_gaps(cells.sum());
        let mut bound = self.layout.cost() + gaps;
        // The block that loses most without its best slot, so that most branches are left at once.
        let mut next: Option<Next> = None;
        for (position, block) in self.left.iter().enumerate() {
            let slots = 0..self.problem.blocks[*block].slots.len();
            let prices = slots.filter_map(|slot| Some((self.layout.price(*block, slot)?, slot)));
            let mut prices: Vec<_> = prices.collect();
            prices.sort_unstable();
            let Some((cheapest, _)) = prices.first().copied() else {
                return true;
            };
            bound += cheapest;
            let second = prices.get(1).map_or(i64::MAX, |(price, _)| *price);
            let regret = second.saturating_sub(cheapest);
            if next.as_ref().is_none_or(|next| regret > next.regret) {
                next = Some(Next {
                    regret,
                    position,
                    cheapest,
                    prices,
                });
            }
        }
        let Some(Next {
            position,
            cheapest,
            prices,
            ..
        }) = next
        else {
            return true;
        };
        let block = self.left.swap_remove(position);
        let mut complete = true;
        for (price, slot) in prices {
            // Prices rise, so all branches behind this one are no better either.
            if bound - cheapest + price >= self.least {
                break;
            }
            self.layout.put(block, slot);
            complete = self.descend();
            self.layout.take(block);
            if !complete {
                break;
            }
        }
        self.left.push(block);
        let last = self.left.len() - 1;
        self.left.swap(position, last);
        complete
    }
}

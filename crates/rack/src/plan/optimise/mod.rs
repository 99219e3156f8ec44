//! Where devices are better placed.
//!
//! # What is moved
//!
//! Blocks: each is a device that is mounted in units, together with what stands on it if it is a shelf. A block stays on its face, and
//! may be at each height and, if it is narrower than the rack, at its own left edge or at a multiple of its width. What has whole units
//! of height begins where a unit begins. A block may always be where it is.
//!
//! These stay where they are, and others go round them: what is pinned, a shelf on which something pinned stands, what is beside the
//! rack, and what is in conflict with something now, because people must say which of the two is right.
//!
//! # Constraints
//!
//! No two blocks take the same cell: the rules of space of [`check`](super::check). Power and weight do not change within a rack.
//!
//! # Objective
//!
//! The smallest sum of four parts, each of which has a weight in the [`Wish`]; in thousandths of points, in whole numbers:
//!
//! - **low**: the weight of each block, in grams, times the height of its middle, in units, rounded down. Heavy things are below.
//! - **heat**: for each block and each that begins at its upper edge or higher: `stray` · `suffers` · `nearness`. So hot things are
//!   apart, and not below what suffers.
//!   - `stray` is the heat that comes back to inlets, in watts, by the model of [`thermal`](super::thermal).
//!   - `suffers`, in tenths, is 0 for what takes no power, and otherwise 5, and 1 more for each 40 W, but at most 20. It is twice that
//!     for the category `storage`, as disks age with warmth. Of a shelf, it is the largest of all that stand on it.
//!   - `nearness`, in percent, is 100 if one stands on the other, and a tenth less for each half of a unit between them.
//! - **gaps**: the units that are not in the longest run of free ones, so that large devices find room later. A unit is free if
//!   nothing is in it on either face.
//! - **moves**: the blocks that are not where they were, as each costs somebody work.
//!
//! # Search
//!
//! A large neighbourhood search takes some blocks out and puts each back where it costs the least. For few blocks, branch and bound then
//! looks for anything better, and proves that there is nothing if it comes to its end. Both count in whole numbers and draw from a
//! generator with a seed, so that the same question has the same answer unless the deadline cut the search short. What is proposed is
//! better than what is, or else nothing is proposed.

mod exact;
mod layout;
mod problem;
mod search;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{Filled, Id, Place, Version};

pub use problem::{Block, Problem, Slot};

/// The largest weight of a part of the objective; a larger one counts as this.
pub const MOST_WEIGHT: u32 = 1000;

/// With more blocks than these, a long branch and bound has never come to its end.
const MOST_PROVABLE: usize = 14;

/// What is wanted of a rack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    /// The points of a kilogram that is a unit higher.
    pub low: u32,
    /// The points of a watt that comes back to a device of 200 W just above.
    pub heat: u32,
    /// The points of a unit that is not in the longest run of free ones.
    pub gaps: u32,
    /// The points of a block that is moved.
    pub moves: u32,
    /// The time that the search may take, in milliseconds.
    pub milliseconds: u32,
    /// Where the search begins to draw; another one may find something else.
    pub seed: u64,
}

impl Default for Wish {
    /// A move is worth lifting ten kilograms by one unit, or five kilograms by two. The time leaves a fifth of a second for all else, so
    /// that an answer takes a second.
    fn default() -> Wish {
        Wish {
            low: 1,
            heat: 2,
            gaps: 20,
            moves: 10,
            milliseconds: 800,
            seed: 1,
        }
    }
}

/// A device that is to be elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The device.
    pub device: Id,
    /// Its version when it was looked at.
    pub version: Version,
    /// Where it is to be.
    pub place: Place,
}

/// How good an arrangement is, in thousandths of points; less is better.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Score {
    /// The sum.
    pub total: i64,
    /// The part of weight and height.
    pub low: i64,
    /// The part of heat.
    pub heat: i64,
    /// The part of units that are not in the longest run of free ones.
    pub gaps: i64,
    /// The part of moves.
    pub moves: i64,
}

/// A better arrangement of a rack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Proposal {
    /// What is to be moved, all at once; nothing if nothing better was found.
    pub moves: Vec<Move>,
    /// How good the rack is as it is.
    pub before: Score,
    /// How good it is with all moves, their cost included.
    pub after: Score,
    /// Whether it is proven that nothing is better.
    pub exhausted: bool,
}

/// Finds a better arrangement, until the deadline or the time of the wish is over, whichever comes first.
pub fn optimise(filled: &Filled, wish: &Wish, deadline: Instant) -> Proposal {
    let wished = Instant::now() + Duration::from_millis(wish.milliseconds.into());
    let deadline = deadline.min(wished);
    let problem = Problem::new(filled, wish);
    let home = problem.home();
    let before = problem.score(&home);

    let out_of_time = || Instant::now() >= deadline;
    let (found, exhausted) = solve(&problem, wish.seed, &out_of_time);
    let after = problem.score(&found);
    if after.total >= before.total {
        return Proposal {
            moves: Vec::new(),
            before,
            after: before,
            exhausted,
        };
    }
    Proposal {
        moves: problem.moves(&found),
        before,
        after,
        exhausted,
    }
}

/// The best choice of slots that is found, and whether it is proven to be the best.
fn solve(problem: &Problem, seed: u64, out_of_time: &dyn Fn() -> bool) -> (Vec<usize>, bool) {
    let mut search = search::Search::new(problem, seed);
    // With many blocks, even the first branches of a proof that never ends would take the time of the search.
    let provable = problem.blocks.len() <= MOST_PROVABLE;
    let prove = |known: &[usize], branches| {
        let proof = || exact::best(problem, known, branches, out_of_time);
        provable.then(proof).flatten()
    };
    search.run(search::FIRST, out_of_time);
    if let Some(best) = prove(&search.best, exact::QUICK) {
        return (best, true);
    }
    search.run(search::ROUNDS, out_of_time);
    match prove(&search.best, exact::PATIENT) {
        Some(best) => (best, true),
        None => (search.best, false),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod told_again;

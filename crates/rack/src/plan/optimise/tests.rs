use std::time::{Duration, Instant};

use fastrand::Rng;
use proptest::prelude::*;

use super::told_again::{exhaustively, points, random_rack, random_wish};
use super::*;
use crate::plan::check::{self, Conflict};
use crate::plan::model::{Airflow, Face, KindFields};
use crate::plan::testing::*;

/// Long enough that no test is cut short.
fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

/// A wish without a limit that a slow machine could meet.
fn patient() -> Wish {
    Wish {
        milliseconds: 600_000,
        ..Wish::default()
    }
}

fn optimised(filled: &Filled, wish: &Wish) -> Proposal {
    optimise(filled, wish, later())
}

/// The rack after a proposal.
fn after(filled: &Filled, proposal: &Proposal) -> Filled {
    let mut after = filled.clone();
    for one in &proposal.moves {
        let item = after
            .items
            .iter_mut()
            .find(|item| item.device.id == one.device);
        item.unwrap().device.place = Some(one.place);
    }
    after
}

#[test]
fn small_racks_are_as_good_as_they_can_be() {
    let mut moved = 0;
    for seed in 0..400 {
        let mut random = Rng::with_seed(seed);
        let (units, devices) = (random.u8(3..6), random.i64(2..6));
        let filled = random_rack(&mut random, units, devices);
        let wish = random_wish(&mut random);
        let proposal = optimised(&filled, &wish);
        assert!(proposal.exhausted, "seed {seed}");
        assert_eq!(
            proposal.after.total,
            exhaustively(&filled, &wish),
            "seed {seed}"
        );
        assert_eq!(
            proposal.after.total,
            points(&filled, &after(&filled, &proposal), &wish),
            "seed {seed}"
        );
        assert_eq!(
            proposal.before.total,
            points(&filled, &filled, &wish),
            "seed {seed}"
        );
        moved += usize::from(!proposal.moves.is_empty());
    }
    assert!(moved > 200, "most of these racks can be better: {moved}");
}

#[test]
fn the_search_alone_is_within_two_percent_of_the_best() {
    let mut compared = 0;
    for seed in 0..30 {
        let mut random = Rng::with_seed(seed);
        let filled = random_rack(&mut random, 10, 7);
        let problem = Problem::new(&filled, &random_wish(&mut random));
        let mut search = search::Search::new(&problem, seed);
        // Less than half of what a rack gets: without optimisation by the compiler, all would take a minute.
        search.run(1600, &|| false);
        let best = exact::best(&problem, &search.best, exact::QUICK, &|| false);
        let Some(best) = best else {
            continue;
        };
        let (found, best) = (
            problem.score(&search.best).total,
            problem.score(&best).total,
        );
        assert!(
            found * 100 <= best * 102,
            "seed {seed}: {found} instead of {best}"
        );
        compared += 1;
    }
    assert!(compared > 20, "of 30, only {compared} could be compared");
}

#[test]
fn a_layout_that_is_changed_knows_what_the_objective_says() {
    for seed in 0..100 {
        let mut random = Rng::with_seed(seed);
        let filled = random_rack(&mut random, 12, 12);
        let problem = Problem::new(&filled, &random_wish(&mut random));
        let mut layout = layout::Layout::of(&problem, &problem.home());
        for _ in 0..50.min(50 * problem.blocks.len()) {
            let block = random.usize(0..problem.blocks.len());
            let slot = random.usize(0..problem.blocks[block].slots.len());
            for other in layout.in_the_way(block, slot) {
                layout.take(other);
            }
            layout.take(block);
            let total = layout.total();
            let price = layout.price_with_gaps(block, slot).unwrap();
            // Gaps before are part of the total, and gaps after of the price.
            let gaps = total - layout.cost();
            layout.put(block, slot);
            assert_eq!(layout.total(), total - gaps + price, "seed {seed}");
            if let Some(choice) = layout.choice() {
                assert_eq!(layout.total(), problem.score(&choice).total, "seed {seed}");
                assert!(problem.fits(&choice), "seed {seed}");
            }
        }
    }
}

#[test]
fn heavy_things_go_below() {
    let heavy = KindFields {
        kilograms: 8.0,
        ..kind()
    };
    let filled = rack(10, vec![item(1, heavy, unit(10)), item(2, kind(), unit(1))]);
    let proposal = optimised(&filled, &patient());
    let places: Vec<_> = proposal
        .moves
        .iter()
        .map(|one| (one.device, one.place))
        .collect();
    assert_eq!(
        places,
        [(1, unit(2))],
        "the light one need not be moved out of the way: {proposal:?}"
    );
    assert!(proposal.exhausted);
}

#[test]
fn hot_things_go_above_what_suffers() {
    let oven = KindFields {
        watts: 300.0,
        airflow: Airflow::Passive,
        ..kind()
    };
    let disks = KindFields {
        watts: 80.0,
        category: "storage".into(),
        ..kind()
    };
    let filled = rack(3, vec![item(1, oven, unit(1)), item(2, disks, unit(2))]);
    let proposal = optimised(&filled, &patient());
    let placed = after(&filled, &proposal);
    let bottom = |index: usize| match placed.items[index].device.place {
        Some(Place::Units { bottom, .. }) => bottom,
        _ => unreachable!(),
    };
    assert!(bottom(0) > bottom(1), "{proposal:?}");
    assert!(proposal.after.heat < proposal.before.heat);
}

#[test]
fn free_units_are_brought_together() {
    let light = |id: Id, at: u8| item(id, kind(), unit(at));
    let filled = rack(9, vec![light(1, 1), light(2, 5), light(3, 9)]);
    let proposal = optimised(&filled, &patient());
    assert_eq!(proposal.after.gaps, 3 * 20_000);
    assert_eq!(
        proposal.moves.len(),
        1,
        "three more units are worth a move, and six are worth no more moves than needed: {proposal:?}"
    );
}

#[test]
fn a_good_rack_is_left_alone() {
    let heavy = KindFields {
        kilograms: 10.0,
        ..kind()
    };
    let filled = rack(10, vec![item(1, heavy, unit(1)), item(2, kind(), unit(2))]);
    let proposal = optimised(&filled, &patient());
    assert_eq!(proposal.moves, []);
    assert_eq!(proposal.before, proposal.after);
    assert!(proposal.exhausted);
}

#[test]
fn an_empty_rack_and_one_in_which_nothing_may_move_have_no_proposal() {
    let mut pinned = item(1, kind(), unit(7));
    pinned.device.fields.pinned = true;
    let strip = KindFields {
        halves: 0,
        kilograms: 5.0,
        ..kind()
    };
    for items in [Vec::new(), vec![pinned, item(2, strip, unit(8))]] {
        let proposal = optimised(&rack(10, items), &patient());
        assert_eq!((proposal.moves.len(), proposal.exhausted), (0, true));
    }
}

#[test]
fn a_shelf_moves_as_one_with_what_stands_on_it() {
    let heavy = KindFields {
        kilograms: 20.0,
        ..small()
    };
    let mut filled = rack(
        10,
        vec![item(1, shelf(4), unit(8)), item(2, heavy, on(1, 0))],
    );
    let proposal = optimised(&filled, &patient());
    let places: Vec<_> = proposal
        .moves
        .iter()
        .map(|one| (one.device, one.place))
        .collect();
    assert_eq!(places, [(1, unit(1))]);
    filled.items[1].device.fields.pinned = true;
    assert_eq!(
        optimised(&filled, &patient()).moves,
        [],
        "nor does it, if one of these is pinned"
    );
}

#[test]
fn what_is_in_conflict_is_left_for_people() {
    let heavy = KindFields {
        kilograms: 50.0,
        ..kind()
    };
    let items = vec![
        item(1, heavy.clone(), unit(5)),
        item(2, heavy.clone(), unit(5)),
        item(3, heavy.clone(), unit(11)),
        item(4, heavy, unit(9)),
    ];
    let proposal = optimised(&rack(10, items), &patient());
    let moved: Vec<_> = proposal.moves.iter().map(|one| one.device).collect();
    assert_eq!(moved, [4]);
}

#[test]
fn a_device_in_the_middle_of_a_unit_may_stay_there() {
    let filled = rack(3, vec![item(1, kind(), mounted(Face::Front, 1, 0))]);
    let problem = Problem::new(&filled, &patient());
    let bottoms: Vec<_> = problem.blocks[0]
        .slots
        .iter()
        .map(|slot| slot.bottom)
        .collect();
    assert_eq!(bottoms, [0, 1, 2, 4]);
}

#[test]
fn no_time_is_no_harm() {
    let mut random = Rng::with_seed(1);
    let filled = random_rack(&mut random, 42, 60);
    let wish = Wish::default();
    let proposal = optimise(&filled, &wish, Instant::now());
    assert!(proposal.after.total <= proposal.before.total);
    assert!(!proposal.exhausted);
    let wish = Wish {
        milliseconds: 0,
        ..wish
    };
    assert!(!optimise(&filled, &wish, later()).exhausted);
}

#[test]
fn amounts_and_weights_beyond_all_reason_do_no_harm() {
    let absurd = |watts: f64, kilograms: f64| KindFields {
        watts,
        kilograms,
        airflow: Airflow::Passive,
        ..kind()
    };
    let kinds = [
        absurd(f64::MAX, f64::MAX),
        absurd(f64::INFINITY, f64::INFINITY),
        absurd(f64::NAN, f64::NAN),
        absurd(-1e300, -1e300),
    ];
    let items = (1..)
        .zip(kinds)
        .map(|(id, kind)| item(id, kind, unit(id as u8)));
    let filled = rack(100, items.collect());
    let wish = Wish {
        low: u32::MAX,
        heat: u32::MAX,
        gaps: u32::MAX,
        moves: u32::MAX,
        ..patient()
    };
    let proposal = optimised(&filled, &wish);
    assert!(proposal.after.total <= proposal.before.total);
    assert!(proposal.after.total > 0);
}

#[test]
fn a_wish_is_read_with_what_it_does_not_say() {
    let wish: Wish = serde_json::from_str(r#"{"gaps": 5}"#).unwrap();
    assert_eq!(
        wish,
        Wish {
            gaps: 5,
            ..Wish::default()
        }
    );
    assert!(serde_json::from_str::<Wish>(r#"{"gasp": 5}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_proposal_is_possible_and_no_worse(seed: u64, units in 1..16_u8, devices in 0..20_i64) {
        let mut random = Rng::with_seed(seed);
        let mut filled = random_rack(&mut random, units, devices);
        // Some that are in conflict, too.
        if random.bool() {
            let place = mounted(Face::Front, random.u8(0..2 * units), 0);
            filled.items.push(item(100, kind(), place));
        }
        let wish = random_wish(&mut random);
        // A search that is cut short by its count of questions after the time, and not by a clock.
        let asked = std::cell::Cell::new(0);
        let out_of_time = || { asked.set(asked.get() + 1); asked.get() > 20 };
        let problem = Problem::new(&filled, &wish);
        let (choice, _) = solve(&problem, seed, &out_of_time);
        let (before, found) = (problem.score(&problem.home()), problem.score(&choice));
        prop_assert!(found.total <= before.total);

        let moves = problem.moves(&choice);
        let find = |id: Id| filled.items.iter().find(|item| item.device.id == id).unwrap();
        let pairs: Vec<_> = moves.iter().map(|one| (find(one.device), one.place)).collect();
        let space = |(_, conflict): &(Id, Conflict)| !matches!(conflict, Conflict::Power { .. } | Conflict::Weight { .. });
        let conflicts: Vec<_> = check::check_moves(&filled, &pairs).into_iter().filter(space).collect();
        prop_assert_eq!(conflicts, []);
        prop_assert!(pairs.iter().all(|(item, _)| !item.device.fields.pinned));

        asked.set(0);
        let mut shuffled = filled.clone();
        random.shuffle(&mut shuffled.items);
        let (again, _) = solve(&Problem::new(&shuffled, &wish), seed, &out_of_time);
        prop_assert_eq!(again, choice, "in whichever order the rack is told");
    }
}

use std::time::{Duration, Instant};

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::plan::check::{self, Conflict};
use crate::plan::model::{Airflow, COLUMNS, Face, Item, KindFields};
use crate::plan::testing::*;
use crate::plan::thermal;

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

/// The objective, told once more from its description, and slowly.
fn points(before: &Filled, after: &Filled, wish: &Wish) -> i64 {
    struct Part {
        bottom: i64,
        halves: i64,
        grams: i64,
        stray: i64,
        suffers: i64,
    }
    let opposed: Vec<_> = thermal::thermal(before)
        .against
        .iter()
        .map(|one| one.device)
        .collect();
    let mut parts = Vec::new();
    let mut moved = 0;
    let mut used = vec![false; after.rack.fields.units.into()];
    for (old, item) in before.items.iter().zip(&after.items) {
        moved += i64::from(old.device.place != item.device.place);
        let Some(Place::Units { bottom, .. }) = item.device.place else {
            continue;
        };
        let halves = item.kind.fields.halves;
        if halves == 0 {
            continue;
        }
        for half in bottom..bottom + halves {
            used[usize::from(half / 2)] = true;
        }
        let all = || check::on_shelf(after, item.device.id).chain([item]);
        let stray =
            |item: &Item| match (item.kind.fields.airflow, opposed.contains(&item.device.id)) {
                (_, true) => item.watts(),
                (Airflow::FrontToRear | Airflow::RearToFront, _) => item.watts() * 0.1,
                (Airflow::LeftToRight, _) => item.watts() * 0.4,
                (Airflow::Passive, _) => item.watts() * 0.6,
                other => panic!("{other:?}"),
            };
        let suffers = |item: &Item| {
            let tenths = (5 + item.watts() as i64 / 40).min(20);
            let disks = if item.kind.fields.category == "storage" {
                2
            } else {
                1
            };
            if item.watts() > 0.0 {
                tenths * disks
            } else {
                0
            }
        };
        parts.push(Part {
            bottom: bottom.into(),
            halves: halves.into(),
            grams: all()
                .map(|item| (item.kilograms() * 1000.0).round() as i64)
                .sum(),
            stray: all().map(stray).sum::<f64>().round() as i64,
            suffers: all().map(suffers).max().unwrap(),
        });
    }
    let low: i64 = parts
        .iter()
        .map(|part| part.grams * (2 * part.bottom + part.halves) / 4)
        .sum();
    let mut heat = 0;
    for below in &parts {
        for above in &parts {
            let between = above.bottom - (below.bottom + below.halves);
            if between >= 0 {
                let nearness = (0..between).fold(100, |percent, _| percent * 9 / 10);
                heat += below.stray * above.suffers * nearness;
            }
        }
    }
    let (mut run, mut longest) = (0, 0);
    for used in &used {
        run = if *used { 0 } else { run + 1 };
        longest = longest.max(run);
    }
    let gaps = used.len() as i64 - longest;
    i64::from(wish.low) * low
        + i64::from(wish.heat) * heat
        + i64::from(wish.gaps) * 1000 * gaps
        + i64::from(wish.moves) * 1000 * moved
}

/// Everything that may be done with a rack, tried: the least points.
fn exhaustively(before: &Filled, wish: &Wish) -> i64 {
    fn in_units(item: &Item) -> bool {
        matches!(item.device.place, Some(Place::Units { .. })) && item.kind.fields.halves > 0
    }
    fn deeper(before: &Filled, so_far: &mut Filled, wish: &Wish, least: &mut i64) {
        let mut items = before.items.iter().enumerate();
        let next = items.find(|(index, item)| {
            let pinned = |item: &Item| item.device.fields.pinned;
            let held = pinned(item) || check::on_shelf(before, item.device.id).any(pinned);
            in_units(item) && !held && so_far.items[*index].device.place.is_none()
        });
        let Some((index, item)) = next else {
            *least = points(before, so_far, wish).min(*least);
            return;
        };
        let Some(Place::Units {
            face,
            bottom: own,
            left: home,
            ..
        }) = item.device.place
        else {
            unreachable!()
        };
        let kind = &item.kind.fields;
        for bottom in 0..2 * before.rack.fields.units {
            for left in 0..COLUMNS {
                let place = mounted(face, bottom, left);
                let aligned = kind.halves % 2 == 1 || bottom % 2 == 0;
                let usual = aligned && (left % kind.columns == 0 || left == home);
                if !(usual || (bottom, left) == (own, home)) {
                    continue;
                }
                if check::check(so_far, item, place).is_empty() {
                    so_far.items[index].device.place = Some(place);
                    deeper(before, so_far, wish, least);
                    so_far.items[index].device.place = None;
                }
            }
        }
    }
    let mut so_far = before.clone();
    for item in &mut so_far.items {
        let id = item.device.id;
        let held = item.device.fields.pinned
            || check::on_shelf(before, id).any(|item| item.device.fields.pinned);
        if in_units(item) && !held {
            item.device.place = None;
        }
    }
    let mut least = i64::MAX;
    deeper(before, &mut so_far, wish, &mut least);
    least
}

/// A rack at random, in which nothing is in conflict: devices that fit where chance put them.
fn random_rack(random: &mut Rng, units: u8, devices: i64) -> Filled {
    let mut filled = rack(units, Vec::new());
    for id in 1..=devices {
        let kind = KindFields {
            halves: [1, 2, 2, 2, 2, 3, 4][random.usize(0..7)],
            columns: [12, 12, 12, 12, 6, 4][random.usize(0..6)],
            full_depth: random.u8(0..3) > 0,
            shelf: random.u8(0..6) == 0,
            watts: [0.0, 8.0, 60.0, 200.0, 750.0][random.usize(0..5)],
            kilograms: f64::from(random.u32(0..300)) / 10.0,
            airflow: [
                Airflow::FrontToRear,
                Airflow::RearToFront,
                Airflow::LeftToRight,
                Airflow::Passive,
            ][random.usize(0..4)],
            category: ["server", "storage"][random.usize(0..2)].into(),
            ..kind()
        };
        for _ in 0..10 {
            let face = if random.u8(0..4) > 0 {
                Face::Front
            } else {
                Face::Rear
            };
            let place = match random.u8(0..4) {
                0 => on(random.i64(1..=devices), random.u8(0..12)),
                _ => mounted(
                    face,
                    random.u8(0..2 * units),
                    random.u8(0..12) / kind.columns * kind.columns,
                ),
            };
            let mut one = item(id, kind.clone(), place);
            one.device.fields.pinned = random.u8(0..8) == 0;
            if check::check(&filled, &one, place).is_empty() {
                filled.items.push(one);
                break;
            }
        }
    }
    filled
}

/// Wishes in which each part matters now and then.
fn random_wish(random: &mut Rng) -> Wish {
    Wish {
        low: random.u32(0..3),
        heat: random.u32(0..5),
        gaps: random.u32(0..40),
        moves: random.u32(0..20),
        ..patient()
    }
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
    let mut missed = 0;
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let filled = random_rack(&mut random, 10, 7);
        let problem = Problem::new(&filled, &random_wish(&mut random));
        let mut search = search::Search::new(&problem, seed);
        search.run(search::FIRST, &|| false);
        let Some(best) = exact::best(&problem, &search.best, exact::PATIENT, &|| false) else {
            continue;
        };
        search.run(search::ROUNDS, &|| false);
        let (found, best) = (
            problem.score(&search.best).total,
            problem.score(&best).total,
        );
        assert!(
            found >= best,
            "seed {seed}: branch and bound found {best}, and the search {found}"
        );
        assert!(
            found * 100 <= best * 102,
            "seed {seed}: {found} instead of {best}"
        );
        missed += usize::from(found > best);
    }
    assert!(missed < 30, "{missed} of 300 are not the best");
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

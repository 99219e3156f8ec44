//! For tests: the objective told once more from its description, all that can be done with a rack, and racks at random.

use fastrand::Rng;

use super::Wish;
use crate::plan::check;
use crate::plan::model::{Airflow, COLUMNS, Face, Filled, Item, KindFields, Place};
use crate::plan::testing::*;
use crate::plan::thermal;

/// The objective, told once more from its description, and slowly.
pub fn points(before: &Filled, after: &Filled, wish: &Wish) -> i64 {
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
pub fn exhaustively(before: &Filled, wish: &Wish) -> i64 {
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
pub fn random_rack(random: &mut Rng, units: u8, devices: i64) -> Filled {
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
pub fn random_wish(random: &mut Rng) -> Wish {
    Wish {
        low: random.u32(0..3),
        heat: random.u32(0..5),
        gaps: random.u32(0..40),
        moves: random.u32(0..20),
        milliseconds: 600_000,
        ..Wish::default()
    }
}

//! How good optimisation is, and how long it takes: small racks beside exhaustive search, and full racks of 42 units; in JSON.
//!
//! `cargo run --release -p rack --example rack_optimise -- [SMALL] [FULL] [MILLISECONDS]`
//!
//! The problems are in the JSON too, so that `bench/optimise_milp.py` can give them to another solver.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use rack::plan::check::check;
use rack::plan::model::{
    Airflow, COLUMNS, Device, DeviceFields, Face, Filled, Id, Item, Kind, KindFields, Place, Rack,
    RackFields,
};
use rack::plan::optimise::{Problem, Proposal, Wish, optimise};
use serde_json::{Value, json};

const RACK: Id = 1;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut count = |usual: u64| match arguments.next() {
        Some(text) => text
            .parse()
            .with_context(|| format!("`{text}` is not a number")),
        None => Ok(usual),
    };
    let (small, full) = (count(200)?, count(5)?);
    let wish = Wish {
        milliseconds: count(Wish::default().milliseconds.into())?.try_into()?,
        ..Wish::default()
    };
    let small: Vec<Value> = (0..small).map(small_rack).collect();
    let full: Vec<Value> = (0..full).map(|seed| full_rack(seed, &wish)).collect();
    println!("{}", json!({ "small": small, "full": full }));
    Ok(())
}

/// A small rack, beside all that can be done with it.
fn small_rack(seed: u64) -> Value {
    let mut random = Rng::with_seed(seed);
    let wish = Wish {
        low: random.u32(0..3),
        heat: random.u32(0..5),
        gaps: random.u32(0..40),
        moves: random.u32(0..20),
        ..Wish::default()
    };
    let kinds = (0..random.usize(3..7)).map(|_| any_kind(&mut random));
    let kinds: Vec<_> = kinds.collect();
    let filled = filled(&mut random, 7, kinds);
    let problem = Problem::new(&filled, &wish);
    let (proposal, took) = timed(&filled, &wish);
    let begun = Instant::now();
    let best = exhaustive(&problem, &mut Vec::new());
    let exhaustive = json!({ "total": best, "milliseconds": milliseconds(begun.elapsed()) });
    let mut told = told(&problem, &proposal, took);
    told["exhaustive"] = exhaustive;
    told
}

/// A rack of 42 units, filled as people fill them, in disorder.
fn full_rack(seed: u64, wish: &Wish) -> Value {
    let mut random = Rng::with_seed(seed);
    let filled = loop {
        let kinds = usual_kinds();
        let count = kinds.len();
        let filled = filled(&mut random, 42, kinds);
        if filled.items.len() == count {
            break filled;
        }
    };
    let (proposal, took) = timed(&filled, wish);
    told(&Problem::new(&filled, wish), &proposal, took)
}

fn timed(filled: &Filled, wish: &Wish) -> (Proposal, Duration) {
    let begun = Instant::now();
    let proposal = optimise(filled, wish, begun + Duration::from_secs(60));
    (proposal, begun.elapsed())
}

fn told(problem: &Problem, proposal: &Proposal, took: Duration) -> Value {
    json!({
        "blocks": problem.blocks.len(),
        "before": proposal.before,
        "after": proposal.after,
        "moves": proposal.moves.len(),
        "exhausted": proposal.exhausted,
        "milliseconds": milliseconds(took),
        "problem": problem,
    })
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The least total of all choices of slots that fit.
fn exhaustive(problem: &Problem, choice: &mut Vec<usize>) -> i64 {
    let Some(block) = problem.blocks.get(choice.len()) else {
        return problem.score(choice).total;
    };
    let mut least = i64::MAX;
    for slot in 0..block.slots.len() {
        choice.push(slot);
        if problem.fits(choice) {
            least = exhaustive(problem, choice).min(least);
        }
        choice.pop();
    }
    least
}

fn any_kind(random: &mut Rng) -> KindFields {
    KindFields {
        full_depth: random.u8(0..3) > 0,
        columns: [COLUMNS, COLUMNS, COLUMNS, 6][random.usize(0..4)],
        ..kind(
            [1, 2, 2, 2, 4][random.usize(0..5)],
            [0.0, 8.0, 60.0, 200.0, 750.0][random.usize(0..5)],
            f64::from(random.u32(0..300)) / 10.0,
            [Airflow::FrontToRear, Airflow::RearToFront, Airflow::Passive][random.usize(0..3)],
        )
    }
}

/// Forty devices, of which some share a unit, for a bit less than 42 units.
fn usual_kinds() -> Vec<KindFields> {
    let shallow = |kind: KindFields| KindFields {
        full_depth: false,
        ..kind
    };
    let narrow = |kind: KindFields| KindFields { columns: 6, ..kind };
    let storage = KindFields {
        category: "storage".into(),
        ..kind(8, 300.0, 45.0, Airflow::FrontToRear)
    };
    let server =
        |units: u8, watts, kilograms| kind(2 * units, watts, kilograms, Airflow::FrontToRear);
    [
        vec![storage; 2],
        vec![server(2, 500.0, 28.0); 3],
        vec![kind(4, 50.0, 40.0, Airflow::Passive); 2],
        vec![server(1, 350.0, 16.0); 6],
        vec![server(1, 180.0, 12.0); 4],
        vec![shallow(kind(2, 60.0, 4.0, Airflow::LeftToRight)); 4],
        vec![shallow(kind(2, 0.0, 1.0, Airflow::Passive)); 6],
        vec![narrow(kind(2, 30.0, 2.0, Airflow::Passive)); 8],
        vec![shallow(kind(1, 0.0, 0.5, Airflow::Passive)); 5],
    ]
    .concat()
}

fn kind(halves: u8, watts: f64, kilograms: f64, airflow: Airflow) -> KindFields {
    KindFields {
        manufacturer: "Generic".into(),
        model: format!("{halves} halves, {watts} W"),
        halves,
        columns: COLUMNS,
        full_depth: true,
        shelf: false,
        watts,
        kilograms,
        airflow,
        category: "server".into(),
    }
}

/// A rack in which each kind is put at the first free place from a unit at random on; what finds none is left out.
fn filled(random: &mut Rng, units: u8, mut kinds: Vec<KindFields>) -> Filled {
    let fields = RackFields {
        name: "bench".into(),
        location: String::new(),
        units,
        watts: None,
        kilograms: None,
        inlet_celsius: 22.0,
        notes: String::new(),
    };
    let mut filled = Filled {
        rack: Rack {
            id: RACK,
            version: 1,
            fields,
        },
        items: Vec::new(),
    };
    random.shuffle(&mut kinds);
    kinds.sort_by_key(|kind| {
        let narrow = kind.columns < COLUMNS;
        std::cmp::Reverse((kind.halves, kind.full_depth, !narrow))
    });
    for (id, fields) in (1..).zip(kinds) {
        let first = random.u8(0..units);
        let face = match fields.full_depth || random.bool() {
            true => Face::Front,
            false => Face::Rear,
        };
        let places = (0..units).flat_map(|next| {
            let bottom = 2 * ((first + next) % units);
            (0..=COLUMNS - fields.columns)
                .step_by(fields.columns.into())
                .map(move |left| Place::Units {
                    rack: RACK,
                    face,
                    bottom,
                    left,
                })
        });
        let mut item = item(id, &fields);
        let free = places
            .into_iter()
            .find(|place| check(&filled, &item, *place).is_empty());
        if free.is_some() {
            item.device.place = free;
            filled.items.push(item);
        }
    }
    filled
}

fn item(id: Id, kind: &KindFields) -> Item {
    let fields = DeviceFields {
        name: format!("device-{id}"),
        kind: id,
        watts: None,
        kilograms: None,
        pinned: false,
        notes: String::new(),
        tags: Vec::new(),
    };
    Item {
        device: Device {
            id,
            version: 1,
            place: None,
            fields,
        },
        kind: Kind {
            id,
            version: 1,
            built_in: false,
            fields: kind.clone(),
        },
    }
}

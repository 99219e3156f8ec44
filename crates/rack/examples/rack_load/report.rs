//! Medians of what was measured, and how many times as much one of both does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::generator::Outcome;
use crate::usage::{Part, Usage, megabytes};

/// The servers that work for either of both.
const BEHIND: [&str; 3] = ["postgresql", "valkey", "nginx"];

/// What one load on one side gave.
pub struct Cell {
    per_second: f64,
    milliseconds: [f64; 3],
    failed: f64,
    failures: Vec<String>,
    unsent: f64,
    /// Requests for each second of processor time of the program itself.
    per_own_second: f64,
    /// The same for that of all servers together.
    per_second_of_all: f64,
    /// Microseconds of processor time for a request, of the program and of each server.
    costs: Vec<(&'static str, f64)>,
    resident: f64,
    shared_once: f64,
}

impl Cell {
    /// Of a program with this name.
    pub fn new(program: &'static str, mut outcome: Outcome, usage: Usage) -> Self {
        outcome.took_us.sort_unstable();
        let at = |share: f64| {
            let last = outcome.took_us.len().saturating_sub(1);
            let index = (last as f64 * share).ceil() as usize;
            let took = outcome.took_us.get(index).copied().unwrap_or_default();
            took as f64 / 1000.0
        };
        let own = usage.of(program);
        let behind = BEHIND.map(|name| (name, usage.of(name)));
        let answered = outcome.answered as f64;
        let all = own.cpu_seconds + behind.iter().map(|(_, part)| part.cpu_seconds).sum::<f64>();
        // A clock tick is the least that is told.
        let each = |seconds: f64| answered / seconds.max(0.01);
        let cost = |(name, part): &(&'static str, Part)| {
            (*name, part.cpu_seconds * 1e6 / answered.max(1.0))
        };
        Cell {
            per_second: answered / outcome.seconds,
            milliseconds: [at(0.5), at(0.95), at(0.99)],
            failed: outcome.refused.values().sum::<u64>() as f64,
            failures: outcome.refused.into_keys().collect(),
            unsent: outcome.unsent as f64,
            per_own_second: each(own.cpu_seconds),
            per_second_of_all: each(all),
            costs: [(program, own)].iter().chain(&behind).map(cost).collect(),
            resident: megabytes(own.resident),
            shared_once: megabytes(own.proportional),
        }
    }
}

/// What was measured until now, by load and program.
#[derive(Default)]
pub struct Report(Vec<(&'static str, BTreeMap<&'static str, Vec<Cell>>)>);

impl Report {
    /// Adds what one round gave.
    pub fn add(&mut self, load: &'static str, program: &'static str, cell: Cell) {
        let known = self.0.iter().position(|(name, _)| *name == load);
        let at = known.unwrap_or_else(|| {
            self.0.push((load, BTreeMap::new()));
            self.0.len() - 1
        });
        self.0[at].1.entry(program).or_default().push(cell);
    }

    /// As JSON.
    pub fn told(&self) -> Value {
        let loads = self.0.iter().map(|(load, programs)| {
            let told = programs.iter();
            let mut told: Map<_, _> = told
                .map(|(program, cells)| ((*program).to_owned(), medians(cells)))
                .collect();
            if let (Some(ours), Some(theirs)) = (programs.get("rack"), programs.get("fastapi")) {
                told.insert("times".into(), times(ours, theirs));
            }
            ((*load).to_owned(), Value::Object(told))
        });
        Value::Object(loads.collect())
    }
}

fn medians(cells: &[Cell]) -> Value {
    let of = |value: &dyn Fn(&Cell) -> f64| rounded(median(cells, value));
    let costs = cells.first().map_or(0, |cell| cell.costs.len());
    let costs = (0..costs).map(|at| {
        let name = cells[0].costs[at].0.to_owned();
        (name, of(&|cell| cell.costs[at].1))
    });
    let failures: BTreeSet<&String> = cells.iter().flat_map(|cell| &cell.failures).collect();
    json!({
        "per_second": of(&|cell| cell.per_second),
        "p50_ms": of(&|cell| cell.milliseconds[0]),
        "p95_ms": of(&|cell| cell.milliseconds[1]),
        "p99_ms": of(&|cell| cell.milliseconds[2]),
        "p99_ms_of_each_round": cells.iter().map(|cell| rounded(cell.milliseconds[2])).collect::<Vec<_>>(),
        "failed": of(&|cell| cell.failed),
        "failures": failures,
        "unsent": of(&|cell| cell.unsent),
        "per_processor_second": of(&|cell| cell.per_own_second),
        "per_processor_second_of_all_servers": of(&|cell| cell.per_second_of_all),
        "processor_us_of_a_request": costs.collect::<Map<_, _>>(),
        "resident_mb": of(&|cell| cell.resident),
        "resident_mb_shared_once": of(&|cell| cell.shared_once),
    })
}

/// How many times as much ours does as theirs.
fn times(ours: &[Cell], theirs: &[Cell]) -> Value {
    let times = |value: &dyn Fn(&Cell) -> f64| {
        rounded(median(ours, value) / median(theirs, value).max(f64::MIN_POSITIVE))
    };
    json!({
        "per_second": times(&|cell| cell.per_second),
        "per_processor_second": times(&|cell| cell.per_own_second),
        "per_processor_second_of_all_servers": times(&|cell| cell.per_second_of_all),
    })
}

fn median(cells: &[Cell], value: &dyn Fn(&Cell) -> f64) -> f64 {
    let mut values: Vec<f64> = cells.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

/// Three digits are as much as such a measurement says.
fn rounded(value: f64) -> Value {
    if value == 0.0 || !value.is_finite() {
        return json!(value);
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let factor = 10f64.powi(digits.max(0));
    json!((value * factor).round() / factor)
}

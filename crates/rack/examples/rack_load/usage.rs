//! What the processes use that this one has started, by what they are.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Result;
use serde_json::{Map, Value, json};

/// The processes of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    /// Processor time, in seconds; also that of those which have ended.
    pub cpu_seconds: f64,
    /// The sum of their resident memory, in bytes.
    pub resident: u64,
    /// The same, with what several of them share counted once.
    pub proportional: u64,
    /// How many there are.
    pub processes: u64,
}

/// What all of them use.
#[derive(Debug, Clone, Default)]
pub struct Usage(BTreeMap<&'static str, Part>);

impl Usage {
    /// Until now.
    pub fn now() -> Result<Self> {
        let mut processes = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // It may have ended meanwhile.
            if let Some(stat) = Stat::of(id) {
                processes.insert(id, stat);
            }
        }
        let own = std::process::id();
        let mut usage = Usage::default();
        for (&id, stat) in &processes {
            let Some(kind) = kind(id).filter(|_| id != own && descends(&processes, id, own)) else {
                continue;
            };
            let part = usage.0.entry(kind).or_default();
            part.cpu_seconds += stat.cpu_seconds;
            part.resident += stat.resident;
            part.proportional += proportional(id).unwrap_or(stat.resident);
            part.processes += 1;
        }
        Ok(usage)
    }

    /// The same, with the processor time since then.
    pub fn since(mut self, before: &Usage) -> Self {
        for (kind, part) in &mut self.0 {
            let until = before.0.get(kind).copied().unwrap_or_default();
            part.cpu_seconds -= until.cpu_seconds;
        }
        self
    }

    /// What the processes of a kind use.
    pub fn of(&self, kind: &str) -> Part {
        self.0.get(kind).copied().unwrap_or_default()
    }

    /// The memory of each kind, in megabytes.
    pub fn memory(&self) -> Value {
        let parts = self.0.iter().map(|(kind, part)| {
            let told = json!({
                "resident": megabytes(part.resident),
                "shared_once": megabytes(part.proportional),
                "processes": part.processes,
            });
            ((*kind).to_owned(), told)
        });
        Value::Object(parts.collect::<Map<_, _>>())
    }
}

/// Megabytes with one decimal.
pub fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e5).round() / 10.0
}

struct Stat {
    parent: u32,
    cpu_seconds: f64,
    resident: u64,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name of the program may have spaces and parentheses.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        // Its own time, and that of its children which have ended: PostgreSQL has a process for each connection.
        let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
        Some(Stat {
            parent: field(4)?.try_into().ok()?,
            cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
            resident: field(24)? * rustix::param::page_size() as u64,
        })
    }
}

fn descends(processes: &BTreeMap<u32, Stat>, id: u32, from: u32) -> bool {
    let mut id = id;
    while let Some(stat) = processes.get(&id) {
        if stat.parent == from {
            return true;
        }
        id = stat.parent;
    }
    false
}

/// What a process is, if it is one of those that are measured and not a wrapper around one.
fn kind(id: u32) -> Option<&'static str> {
    let program = fs::read_link(format!("/proc/{id}/exe")).ok()?;
    let program = program.file_name()?.to_str()?.to_owned();
    let arguments = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    match program.as_str() {
        "postgres" => Some("postgresql"),
        name if name.starts_with("valkey") || name.starts_with("redis") => Some("valkey"),
        name if name.starts_with("rack_load") => Some("rack"),
        name if name.starts_with("python") => Some("fastapi"),
        // A program of Debian's root, started by its loader.
        name if name.starts_with("ld-linux") && !arguments.contains("bwrap") => {
            arguments.contains("nginx").then_some("nginx")
        }
        _ => None,
    }
}

fn proportional(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

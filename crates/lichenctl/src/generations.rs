//! The generations on BOOT: `gen/<number in hex>.env`, as the boot script reads them.

use crate::root::Root;
use crate::state::{BootState, Generation, State};
use anyhow::{Context, Result};
use protocol::status::Standing;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

/// The default number of boots that a generation on trial gets.
pub const TRIES: u64 = 3;

/// A generation that the boot script can boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub generation: Generation,
    /// Its toplevel, if its arguments name one.
    pub toplevel: Option<String>,
    /// The folder of its kernel on BOOT.
    pub kernel: Option<String>,
    /// Its version, as `nixos-version` has it.
    pub version: Option<String>,
    /// When it was put there, in seconds since 1970 by the device's clock; null for what came with the image.
    pub since: Option<u64>,
    /// Whether it runs now.
    pub running: bool,
    /// Whether it is the good generation.
    pub good: bool,
    /// How many tries it has left, if it is on trial.
    pub trial: Option<u64>,
}

/// All generations on BOOT, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generations(pub Vec<Entry>);

/// The generation that was booted, as named by the boot script or by a later soft-reboot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booted {
    /// `lichen.generation=`
    pub generation: Option<Generation>,
    /// `lichen.toplevel=`
    pub toplevel: Option<String>,
}

impl Booted {
    /// Reads it from the running root if a soft-reboot wrote it there, else from the kernel's command line.
    pub fn read(root: &Root) -> Self {
        let text = fs::read_to_string(root.at(SOFT_BOOTED))
            .or_else(|_| fs::read_to_string(root.at("proc/cmdline")));
        Self::of(&text.unwrap_or_default())
    }

    /// The generation that a soft-reboot is about to start.
    pub fn soon(root: &Root) -> Option<Self> {
        let path = root.at(NEXT_ROOT).join(SOFT_BOOTED);
        fs::read_to_string(path).ok().map(|text| Self::of(&text))
    }

    /// The text that this is parsed from.
    pub fn text(generation: Generation, toplevel: &str) -> String {
        let number = generation.hex();
        format!("lichen.generation={number} lichen.toplevel={toplevel}\n")
    }

    /// The boot script puts the generation that it chose first, so the first occurrence counts.
    fn of(arguments: &str) -> Self {
        let argument = |key: &str| {
            arguments
                .split_ascii_whitespace()
                .find_map(|word| word.strip_prefix(key))
        };
        Self {
            generation: argument("lichen.generation=").and_then(Generation::from_hex),
            toplevel: argument("lichen.toplevel=").map(str::to_owned),
        }
    }
}

/// The file in a root started by a soft-reboot that names its generation, in the format of the kernel's command line.
/// It exists only in that root.
pub const SOFT_BOOTED: &str = ".booted";
const NEXT_ROOT: &str = "run/nextroot";

/// The link to the running toplevel. A live switch changes it, but cannot change the kernel's command line.
pub const CURRENT: &str = "run/current-system";
/// The link to the booted toplevel.
pub const BOOTED: &str = "run/booted-system";

/// The running toplevel after any live switches: a generation, or a toplevel under `test` that is not a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Its number, if it has one.
    pub generation: Option<Generation>,
    /// Its toplevel.
    pub toplevel: Option<String>,
}

impl Running {
    /// Reads it from the device: the link names the toplevel, and BOOT has its number.
    pub fn read(root: &Root) -> Self {
        let booted = Booted::read(root);
        let current = fs::read_link(root.at(CURRENT))
            .ok()
            .map(|path| path.to_string_lossy().into_owned());
        Self::of(booted, current, || on_boot(root).unwrap_or_default())
    }

    fn of(
        booted: Booted,
        current: Option<String>,
        on_boot: impl FnOnce() -> Vec<(Generation, Env)>,
    ) -> Self {
        if current.is_none() || current == booted.toplevel {
            return Self {
                generation: booted.generation,
                toplevel: booted.toplevel,
            };
        }
        let generation = on_boot()
            .into_iter()
            .filter(|(_, env)| env.toplevel == current)
            .map(|(generation, _)| generation)
            .max();
        Self {
            generation,
            toplevel: current,
        }
    }
}

/// The generation whose trial failed. If it is running or about to run, it is only on its last try.
pub fn failed_trial(root: &Root, state: State) -> Option<Generation> {
    let soon = Booted::soon(root).and_then(|soon| soon.generation);
    let at_it = [Booted::read(root).generation, soon];
    state
        .out_of_tries()
        .filter(|generation| !at_it.contains(&Some(*generation)))
}

/// The toplevel of a generation on BOOT.
pub fn toplevel(root: &Root, generation: Generation) -> Option<String> {
    let all = on_boot(root).ok()?;
    let (_, env) = all.into_iter().find(|(g, _)| *g == generation)?;
    env.toplevel
}

/// The numbers that this toplevel has on BOOT.
pub fn known_as(root: &Root, toplevel: &std::path::Path) -> Vec<Generation> {
    let path = toplevel
        .canonicalize()
        .unwrap_or_else(|_| toplevel.to_owned());
    let path = path.to_string_lossy();
    let all = on_boot(root).unwrap_or_default().into_iter();
    let same = all.filter(|(_, env)| env.toplevel.as_deref() == Some(&*path));
    same.map(|(generation, _)| generation).collect()
}

/// What `gen/<n>.env` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// Its toplevel, if its arguments name one.
    pub toplevel: Option<String>,
    /// The folder of its kernel on BOOT.
    pub kernel: Option<String>,
}

impl Env {
    /// Parses such a file. A file that a power cut truncated gives nothing.
    pub fn of(text: &str) -> Self {
        if !text.ends_with('\n') {
            return Self::default();
        }
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        Self {
            toplevel: value("args=").and_then(|arguments| Booted::of(arguments).toplevel),
            kernel: value("kdir=").map(str::to_owned),
        }
    }
}

/// The generations described by the files on BOOT, the oldest first. Other files are ignored.
pub fn on_boot(root: &Root) -> Result<Vec<(Generation, Env)>> {
    let folder = root.at("boot/gen");
    let cannot = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for file in fs::read_dir(&folder).with_context(cannot)? {
        let path = file.with_context(cannot)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(generation) = name.strip_suffix(".env").and_then(Generation::from_hex) else {
            continue;
        };
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // A power cut may leave arbitrary content in a file that no slot names yet.
        found.push((generation, Env::of(&String::from_utf8_lossy(&text))));
    }
    found.sort_by_key(|(generation, _)| *generation);
    Ok(found)
}

/// Lists the generations on BOOT.
pub fn list(root: &Root) -> Result<Generations> {
    let state = BootState::load(&root.at("boot"))?.state();
    let running = Running::read(root).generation;
    let entries = on_boot(root)?
        .into_iter()
        .map(|(generation, env)| {
            let mut entry = Entry::new(generation, env, state, running);
            entry.since = since(root, generation);
            entry.version = entry.toplevel.as_deref().and_then(|it| version(root, it));
            entry
        })
        .collect();
    Ok(Generations(entries))
}

/// When a generation was put on BOOT, by the clock of that moment; the first one, which came with the image, has no date.
fn since(root: &Root, generation: Generation) -> Option<u64> {
    const THIS_PROJECT_BEGAN: Duration = Duration::from_secs(1_735_689_600);
    let file = root
        .at("boot/gen")
        .join(format!("{}.env", generation.hex()));
    let since = fs::metadata(file).ok()?.modified().ok()?;
    let since = since.duration_since(UNIX_EPOCH).ok()?;
    (since > THIS_PROJECT_BEGAN).then_some(since.as_secs())
}

fn version(root: &Root, toplevel: &str) -> Option<String> {
    let file = root
        .at(toplevel.trim_start_matches('/'))
        .join("nixos-version");
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned())
}

impl Entry {
    fn new(generation: Generation, env: Env, state: State, running: Option<Generation>) -> Self {
        Self {
            generation,
            toplevel: env.toplevel,
            kernel: env.kernel,
            version: None,
            since: None,
            running: running == Some(generation),
            good: state.good == generation,
            trial: state
                .trial
                .filter(|t| t.generation == generation && (state.good != generation))
                .map(|t| t.tries),
        }
    }
}

impl fmt::Display for Generations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.0 {
            let trial = entry.trial.map(|tries| match tries {
                0 if entry.running => "on trial".to_owned(),
                0 => "trial failed".to_owned(),
                1 => "on trial, 1 try left".to_owned(),
                _ => format!("on trial, {tries} tries left"),
            });
            let marks = [
                entry.running.then(|| "running".to_owned()),
                entry.good.then(|| "good".to_owned()),
                trial,
            ];
            let marks: Vec<_> = marks.into_iter().flatten().collect();
            let toplevel = entry.toplevel.as_deref().unwrap_or("names no toplevel");
            let date = entry.since.map(|since| {
                let since = UNIX_EPOCH + Duration::from_secs(since);
                humantime::format_rfc3339_seconds(since).to_string()
            });
            let told = [entry.version.clone(), date, Some(marks.join(", "))];
            let told: Vec<_> = told.into_iter().flatten().collect();
            writeln!(
                f,
                "{:>4}  {toplevel}  {}",
                entry.generation,
                told.join("  ")
            )?;
        }
        Ok(())
    }
}

/// The standing of the generation that runs.
pub(crate) fn standing(running: Option<Generation>, state: Option<State>) -> Standing {
    let (Some(running), Some(state)) = (running, state) else {
        return Standing::Unknown;
    };
    match state.trial {
        _ if running == state.good => Standing::Good,
        Some(trial) if trial.generation == running => Standing::Trial,
        _ => Standing::Other,
    }
}

#[cfg(test)]
#[path = "generations_tests.rs"]
mod tests;

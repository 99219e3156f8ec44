//! The generations on BOOT: `gen/<number in hex>.env`, as the boot script reads them.

use crate::root::Root;
use crate::state::{BootState, Generation, State};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;

/// A generation that the boot script can boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub generation: Generation,
    /// Its toplevel, if its arguments name one.
    pub toplevel: Option<String>,
    /// The folder of its kernel on BOOT.
    pub kernel: Option<String>,
    /// Whether it runs now.
    pub running: bool,
    /// Whether it is the good one.
    pub good: bool,
    /// How many tries it has left, if it is on trial.
    pub trial: Option<u64>,
}

/// All generations on BOOT, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generations(pub Vec<Entry>);

/// What the kernel's command line says about the generation that was booted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booted {
    /// `lichen.generation=`
    pub generation: Option<Generation>,
    /// `lichen.toplevel=`
    pub toplevel: Option<String>,
}

impl Booted {
    /// Reads the command line of the running kernel.
    pub fn read(root: &Root) -> Self {
        Self::of(&fs::read_to_string(root.at("proc/cmdline")).unwrap_or_default())
    }

    /// The boot script puts the generation it chose first, so the first one counts, whatever follows.
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

/// Lists what is on BOOT. Files that are no generation's are passed over.
pub fn list(root: &Root) -> Result<Generations> {
    let state = BootState::load(&root.at("boot"))?.state();
    let running = Booted::read(root).generation;
    let folder = root.at("boot/gen");
    let mut entries = Vec::new();
    for file in
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = file
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(generation) = name.strip_suffix(".env").and_then(Generation::from_hex) else {
            continue;
        };
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        entries.push(Entry::new(generation, &text, state, running));
    }
    entries.sort_by_key(|entry| entry.generation);
    Ok(Generations(entries))
}

impl Entry {
    fn new(generation: Generation, env: &str, state: State, running: Option<Generation>) -> Self {
        let value = |key: &str| env.lines().find_map(|line| line.strip_prefix(key));
        Self {
            generation,
            toplevel: value("args=").and_then(|arguments| Booted::of(arguments).toplevel),
            kernel: value("kdir=").map(str::to_owned),
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
            writeln!(
                f,
                "{:>4}  {toplevel}  {}",
                entry.generation,
                marks.join(", ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::atomic_write;
    use crate::state::tests::{FIXTURES, fixture};
    use std::path::Path;

    #[test]
    fn generations_are_listed_with_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for folder in ["boot/gen", "proc"] {
            fs::create_dir_all(root.at(folder)).unwrap();
        }
        let put = |path: &str, bytes: &[u8]| atomic_write(&root.at(path), bytes, 0o644).unwrap();
        put(
            "boot/st0.env",
            &fixture(&Path::new(FIXTURES).join("trial.txt")).0,
        );
        put(
            "proc/cmdline",
            b"lichen.generation=10 panic=10 lichen.generation=3\n",
        );
        put("boot/gen/f.env", b"kdir=k1\nargs=panic=10\n");
        put(
            "boot/gen/10.env",
            b"kdir=k1\nargs=panic=10 lichen.toplevel=/nix/store/a-climate quiet\n",
        );
        put(
            "boot/gen/11.env",
            b"kdir=k2\nargs=lichen.toplevel=/nix/store/b-climate\n",
        );
        put("boot/gen/notes.env", b"not ours");

        let generations = list(&root).unwrap();
        let text = generations.to_string();
        let expected = "  15  names no toplevel  \n  \
                        16  /nix/store/a-climate  running, good\n  \
                        17  /nix/store/b-climate  on trial, 3 tries left\n";
        assert_eq!(text, expected);
        let json = serde_json::to_string(&generations).unwrap();
        assert_eq!(
            serde_json::from_str::<Generations>(&json).unwrap(),
            generations
        );
    }

    #[test]
    fn without_boot_it_is_an_error_with_a_hint() {
        let error = list(&Root::new("/nonexistent")).unwrap_err();
        assert!(
            error.downcast_ref::<crate::state::StateError>().is_some(),
            "{error:#}"
        );
    }
}

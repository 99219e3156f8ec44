//! What stories use: images, generations, tools and programs, each by a name.
//!
//! Whoever runs the stories writes the file that `LICHEN_INPUTS` names, a JSON object from names to paths. A story gets
//! a path only by asking for its name, and each name that it asks for is written into the file that `LICHEN_USES` names
//! before the path is given away. So its runner knows what its verdict depends on: the verdict stands for as long as
//! nothing of that changes.
//!
//! `LICHEN_USES` gets lines: `input NAME`; `day REASON` for a verdict that holds no longer than a day; `room NEEDED FREE`,
//! in bytes, from a story that this machine has no room for; `boot cold` and `boot warm` for what it cost.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

const INPUTS: &str = "LICHEN_INPUTS";
const USES: &str = "LICHEN_USES";
const STORE: &str = "/nix/store";

/// The path of the input called `name`, such as `image climate`. That it was asked for is recorded.
pub fn input(name: &str) -> Result<PathBuf> {
    let Some(file) = std::env::var_os(INPUTS).filter(|value| !value.is_empty()) else {
        bail!("{INPUTS} is not set, so this story cannot run\nhint: ./lichen test");
    };
    let text = fs::read_to_string(&file).with_context(|| format!("{INPUTS}={}", file.display()))?;
    let inputs: BTreeMap<String, PathBuf> =
        serde_json::from_str(&text).with_context(|| format!("{INPUTS}={}", file.display()))?;
    let path = inputs.get(name);
    let path = path.with_context(|| format!("stories have no input called {name:?}"))?;
    uses(&format!("input {name}"))?;
    fs::canonicalize(path).with_context(|| format!("{name}: {}", path.display()))
}

/// Whether inputs are given at all: on its own, this crate's tests use what the machine has.
pub(crate) fn given() -> bool {
    std::env::var_os(INPUTS).is_some_and(|value| !value.is_empty())
}

/// Says that what this story finds depends on more than its inputs, such as the wall clock or what else the host does,
/// so that its verdict holds no longer than a day.
pub fn lasts_a_day(reason: &str) -> Result<()> {
    uses(&format!("day {reason}"))
}

/// Fails if the file system of the Nix store has less than `needed` bytes left. The runner learns of it, too: it puts
/// off a story that nobody asked for, instead of calling it red.
pub fn needs_room(needed: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(STORE).with_context(|| format!("cannot look at {STORE}"))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free < needed {
        uses(&format!("room {needed} {free}"))?;
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        bail!(
            "no space for this story: {:.1} GB is needed in {STORE}, {:.1} GB is free\n\
             hint: `nix-collect-garbage` drops old builds",
            gigabytes(needed),
            gigabytes(free)
        );
    }
    Ok(())
}

pub(crate) fn booted(how: &str) -> Result<()> {
    uses(&format!("boot {how}"))
}

/// Appends one line in one write, as threads of a story may do so at the same time.
fn uses(line: &str) -> Result<()> {
    let Some(file) = std::env::var_os(USES).filter(|value| !value.is_empty()) else {
        return Ok(());
    };
    let write = || {
        let mut uses = File::options().append(true).create(true).open(&file)?;
        uses.write_all(format!("{line}\n").as_bytes())
    };
    write().with_context(|| format!("{USES}={}", file.display()))
}

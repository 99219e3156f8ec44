//! Decides which generations stay, and removes the others: from BOOT, from Nix's roots, then from the store.
//!
//! The running generation, the booted one, the good one and the one on trial always stay. A generation's file on BOOT
//! is removed before its kernel directory, and both before its closure, so whatever is still named is complete.

use crate::generations::{self, Booted, Env, Running};
use crate::lock::GenerationsLock;
use crate::profile;
use crate::root::Root;
use crate::service_data;
use crate::state::{BootState, Generation};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The default number of newest generations to keep.
pub const KEEP: usize = 5;

/// A store that shares the device's database but has no files: deleting there only removes database entries.
const NO_FILES: &str = "/run/lichen/no-store";

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Generations.
    pub generations: Vec<Generation>,
    /// Kernel folders on BOOT.
    pub kernels: Vec<String>,
    /// What Nix reports to have freed, if it was run.
    pub store: Option<String>,
}

/// The generations that may be removed: those that are neither in `needed` nor among the `keep` newest.
pub fn superfluous(
    all: &[Generation],
    needed: &BTreeSet<Generation>,
    keep: usize,
) -> Vec<Generation> {
    let mut sorted = all.to_vec();
    sorted.sort();
    sorted.dedup();
    let old = sorted.len().saturating_sub(keep);
    sorted
        .into_iter()
        .take(old)
        .filter(|generation| !needed.contains(generation))
        .collect()
}

/// Removes all generations except the `keep` newest and the needed ones, and lets Nix collect what is no longer
/// referenced.
pub fn collect(root: &Root, keep: usize, _lock: &GenerationsLock) -> Result<Removed> {
    let mut removed = prune(root, keep, None, Path::new(""))?;
    if root.is_device() {
        removed.store = sweep()?;
    }
    Ok(removed)
}

/// Lets Nix remove dead paths, and returns the last line that it printed. The database entries are durably removed
/// first: Nix deletes files before its database's write-ahead log is on the card, so after a power cut it would take
/// deleted paths for valid and never copy them again. (`use-sqlite-wal = false` is no alternative, because its lock
/// file survives a power cut.)
fn sweep() -> Result<Option<String>> {
    let dead = nix_store(&["--gc", "--print-dead"], None)?;
    let dead: Vec<&str> = dead.lines().collect();
    if !dead.is_empty() {
        fs::create_dir_all(NO_FILES).with_context(|| format!("cannot make {NO_FILES}"))?;
        let store = format!("local?real={NO_FILES}");
        nix_store(&[&["--delete"], &dead[..]].concat(), Some(&store))?;
        durable::sync_file_system(Path::new("/nix"))?;
    }
    let said = nix_store(&["--gc"], None)?;
    Ok(said.lines().last().map(str::to_owned))
}

/// The output of nix-store for the device's store or another one.
fn nix_store(arguments: &[&str], store: Option<&str>) -> Result<String> {
    let mut command = Command::new("nix-store");
    command.args(arguments);
    command.envs(store.map(|store| ("NIX_REMOTE", store)));
    let output = command.output().context("cannot run nix-store")?;
    anyhow::ensure!(
        output.status.success(),
        "nix-store {}: {}",
        arguments[0],
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The part of [`collect`] that concerns BOOT and the roots. Keeps `also` and the kernel directory `kernel`.
pub fn prune(root: &Root, keep: usize, also: Option<Generation>, kernel: &Path) -> Result<Removed> {
    let on_boot = generations::on_boot(root)?;
    let needed = needed(root, also)?;
    let links = profile::links(root);
    let all: Vec<_> = on_boot
        .iter()
        .map(|(g, _)| *g)
        .chain(links.iter().map(|(g, _)| *g))
        .collect();
    let gone = superfluous(&all, &needed, keep);
    if let Some(last) = gone.iter().max() {
        profile::use_up(root, *last)?;
    }
    for generation in &gone {
        if on_boot.iter().any(|(g, _)| g == generation) {
            let file = format!("{}.env", generation.hex());
            durable::remove_from_boot(&root.at("boot/gen").join(file))?;
        }
        profile::release(root, *generation)?;
        service_data::forget(root, *generation)?;
    }
    let left = on_boot.into_iter().filter(|(g, _)| !gone.contains(g));
    let kernels = remove_kernels(root, left.map(|(_, env)| env), kernel)?;
    Ok(Removed {
        generations: gone,
        kernels,
        store: None,
    })
}

fn needed(root: &Root, also: Option<Generation>) -> Result<BTreeSet<Generation>> {
    let state = BootState::load(&root.at("boot"))?.state();
    Ok([
        Some(state.good),
        state.trial.map(|trial| trial.generation),
        Running::read(root).generation,
        Booted::read(root).generation,
        also,
    ]
    .into_iter()
    .flatten()
    .collect())
}

/// Removes the kernel directories that no generation on BOOT names.
fn remove_kernels(
    root: &Root,
    named_by: impl Iterator<Item = Env>,
    spared: &Path,
) -> Result<Vec<String>> {
    let named: BTreeSet<String> = named_by.filter_map(|env| env.kernel).collect();
    let folder = root.at("boot/k");
    let cannot = || format!("cannot read {}", folder.display());
    let mut removed = Vec::new();
    for entry in fs::read_dir(&folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if named.contains(&format!("k/{name}")) || entry.path() == spared {
            continue;
        }
        durable::remove_from_boot(&entry.path())?;
        removed.push(name);
    }
    durable::sync_file_system(&root.at("boot"))?;
    Ok(removed)
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.generations.iter().map(ToString::to_string).collect();
        match numbers.as_slice() {
            [] => writeln!(f, "there is no generation to remove")?,
            [one] => writeln!(f, "removed generation {one}")?,
            many => writeln!(f, "removed generations {}", many.join(", "))?,
        }
        for kernel in &self.kernels {
            writeln!(f, "removed kernel {kernel} from BOOT")?;
        }
        self.store.iter().try_for_each(|said| writeln!(f, "{said}"))
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;

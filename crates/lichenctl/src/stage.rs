//! Stage: a toplevel whose closure is on DATA becomes a generation that the boot script can boot, durably, without
//! changing what boots.
//!
//! The order makes a power cut harmless: first the garbage-collector roots, then DATA is synced, then the complete
//! kernel directory is written to BOOT and synced, and only then `gen/<n>.env`, which is synced as well. The state slot
//! is written last, by the caller that decides to boot the generation. An existing kernel directory is compared byte by
//! byte before it is reused, so that one left incomplete by a power cut is never taken for a complete one.

use crate::generations::{self, Env};
use crate::hint::Hint;
use crate::lock::GenerationsLock;
use crate::profile;
use crate::retention;
use crate::root::Root;
use crate::state::Generation;
use crate::toplevel::{self, Toplevel};
use crate::trust;
use anyhow::{Context, Result};
use durable::cut;
use std::fs;
use std::path::{Path, PathBuf};

/// Space for block rounding, directories and the FAT itself, in bytes.
const CLUSTER: u64 = 4096;
const MARGIN: u64 = 1 << 20;

/// BOOT has no space for another kernel.
#[derive(Debug, thiserror::Error)]
#[error(
    "BOOT is full: the kernel of this generation needs {needed} bytes, {free} are free; what boots next is unchanged"
)]
pub struct Full {
    /// The space needed.
    pub needed: u64,
    /// The free space, after everything that is not needed was removed.
    pub free: u64,
}

impl Hint for Full {
    fn hint(&self) -> &'static str {
        "`lichenctl gc --keep 0` removes all generations except the running, the good and the next one"
    }
}

/// The result of staging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The number of the generation.
    pub generation: Generation,
    /// Bytes that were written to BOOT.
    pub written: u64,
}

/// Makes `toplevel` a generation, or finds the generation that it already is.
pub fn stage(root: &Root, toplevel: &Toplevel, _lock: &GenerationsLock) -> Result<Staged> {
    toplevel.verify(root)?;
    trust::check(root, &toplevel.path)?;
    let on_boot = generations::on_boot(root)?;
    let generation = number(
        &on_boot,
        &profile::links(root),
        profile::used(root),
        &toplevel.path,
    );
    let kernel = kernel_files(root, toplevel)?;
    make_room(root, &kernel, generation)?;

    profile::keep(root, generation, &toplevel.path)?;
    // A client may have given it a number that another generation had before.
    let mut known = generations::known_as(root, Path::new(&toplevel.path));
    known.push(generation);
    profile::forget(root, &toplevel.path, &known)?;
    cut::point("roots");
    durable::sync_file_system(&root.at("nix"))?;
    let mut written = place_kernel(root, &kernel)?;
    written += place_env(root, generation, toplevel)?;
    Ok(Staged {
        generation,
        written,
    })
}

/// The number for a toplevel: the one that it has on BOOT; else the one that a client's `nix-env --set` gave it, unless
/// that was `used` before; else the next free one.
pub fn number(
    on_boot: &[(Generation, Env)],
    links: &[(Generation, String)],
    used: Generation,
    toplevel: &str,
) -> Generation {
    let env = |generation: Generation| on_boot.iter().find(|(g, _)| *g == generation);
    let staged = on_boot
        .iter()
        .rev()
        .find(|(_, env)| env.toplevel.as_deref() == Some(toplevel));
    if let Some((generation, _)) = staged {
        return *generation;
    }
    // A file without a toplevel is left from an interrupted attempt to stage this very number.
    let free = |generation: Generation| match env(generation) {
        Some((_, env)) => env.toplevel.is_none(),
        None => generation > used,
    };
    let linked = links
        .iter()
        .rev()
        .find(|(generation, target)| target == toplevel && free(*generation));
    if let Some((generation, _)) = linked {
        return *generation;
    }
    let numbers = on_boot.iter().map(|(g, _)| g.0).chain([used.0]);
    let last = numbers.chain(links.iter().map(|(g, _)| g.0)).max();
    Generation(last.unwrap_or(0) + 1)
}

/// The files of a kernel directory: the source in the store and the destination on BOOT.
struct Kernel {
    folder: PathBuf,
    files: Vec<(PathBuf, PathBuf)>,
}

fn kernel_files(root: &Root, toplevel: &Toplevel) -> Result<Kernel> {
    fn walk(from: &Path, to: &Path, files: &mut Vec<(PathBuf, PathBuf)>) -> Result<()> {
        let cannot = || format!("cannot read {}", from.display());
        for entry in fs::read_dir(from).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                walk(&entry.path(), &to, files)?;
            } else {
                files.push((entry.path(), to));
            }
        }
        Ok(())
    }
    let folder = root.at("boot/k").join(toplevel.kernel_name());
    let mut files = Vec::new();
    walk(&toplevel::at(root, &toplevel.kernel), &folder, &mut files)?;
    files.sort();
    Ok(Kernel { folder, files })
}

impl Kernel {
    /// The bytes that still have to be written for it.
    fn needed(&self) -> u64 {
        let length = |path: &Path| fs::metadata(path).ok().map(|meta| meta.len());
        self.files
            .iter()
            .filter(|(from, to)| length(from) != length(to))
            .map(|(from, _)| length(from).unwrap_or(0).next_multiple_of(CLUSTER))
            .sum()
    }
}

fn make_room(root: &Root, kernel: &Kernel, generation: Generation) -> Result<()> {
    let needed = match kernel.needed() {
        0 => MARGIN / 4,
        bytes => bytes + MARGIN,
    };
    if free(root)? >= needed {
        return Ok(());
    }
    retention::prune(root, retention::KEEP, Some(generation), &kernel.folder)?;
    let free = free(root)?;
    if free < needed {
        return Err(Full { needed, free }.into());
    }
    Ok(())
}

fn free(root: &Root) -> Result<u64> {
    let boot = root.at("boot");
    let stat = rustix::fs::statvfs(&boot)
        .with_context(|| format!("cannot ask how full {} is", boot.display()))?;
    Ok(stat.f_bavail * stat.f_frsize)
}

fn place_kernel(root: &Root, kernel: &Kernel) -> Result<u64> {
    let mut written = 0;
    for (from, to) in &kernel.files {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        make_folders(to.parent().unwrap_or(&kernel.folder))?;
        if durable::place(to, &content)? {
            written += content.len() as u64;
        }
    }
    durable::sync_file_system(&root.at("boot"))?;
    cut::point("kernel");
    Ok(written)
}

/// Directories on BOOT have no modes to set.
fn make_folders(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent)?;
    }
    fs::create_dir(folder)
        .and_then(|()| durable::sync_entry(folder))
        .with_context(|| format!("cannot make the directory {}", folder.display()))?;
    cut::point("folder");
    Ok(())
}

/// The text of `gen/<n>.env`, as the boot script reads it.
pub fn env_text(toplevel: &Toplevel) -> String {
    format!(
        "kdir=k/{}\nargs=lichen.toplevel={} {}\n",
        toplevel.kernel_name(),
        toplevel.path,
        toplevel.params
    )
}

fn place_env(root: &Root, generation: Generation, toplevel: &Toplevel) -> Result<u64> {
    let path = root
        .at("boot/gen")
        .join(format!("{}.env", generation.hex()));
    let text = env_text(toplevel);
    let written = durable::place(&path, text.as_bytes())?;
    durable::sync_file_system(&root.at("boot"))?;
    cut::point("generation");
    Ok(if written { text.len() as u64 } else { 0 })
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;

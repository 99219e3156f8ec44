//! The paths that Nix and its tools look at: the system profile, its `system-N-link`s, and the roots that keep
//! generations from being garbage-collected.
//!
//! All of this is advisory. The state slots decide what boots, and at boot the profile is made to agree with them,
//! because a client sets the profile before it activates and may be interrupted in between.

use crate::generations::{BOOTED, CURRENT};
use crate::root::Root;
use crate::state::Generation;
use anyhow::Result;
use std::fs;
use std::path::Path;

const PROFILES: &str = "nix/var/nix/profiles";
const ROOTS: &str = "nix/var/nix/gcroots/lichen";

/// The highest number of a generation that was removed from this device: no other one gets it again.
const USED: &str = "var/lib/lichen/generation";

/// The highest number that was removed.
pub fn used(root: &Root) -> Generation {
    let text = fs::read_to_string(root.at(USED)).unwrap_or_default();
    Generation(text.trim().parse().unwrap_or(0))
}

/// Remembers a number that is about to be removed.
pub fn use_up(root: &Root, generation: Generation) -> Result<()> {
    if generation <= used(root) {
        return Ok(());
    }
    durable::directory(&root.at("var/lib/lichen"), 0o755)?;
    durable::atomic_write(&root.at(USED), format!("{generation}\n").as_bytes(), 0o644)
}

/// The numbers of the profile's links, and their targets.
pub fn links(root: &Root) -> Vec<(Generation, String)> {
    let entries = fs::read_dir(root.at(PROFILES)).into_iter().flatten();
    let mut links: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix("system-")?.strip_suffix("-link")?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((
                Generation(number.parse().ok()?),
                target.to_string_lossy().into_owned(),
            ))
        })
        .collect();
    links.sort();
    links
}

/// Makes Nix keep generation `generation` and know it by its number.
pub fn keep(root: &Root, generation: Generation, toplevel: &str) -> Result<()> {
    durable::directory(&root.at(PROFILES), 0o755)?;
    durable::directory(&root.at(ROOTS), 0o755)?;
    durable::atomic_symlink(toplevel, &root.at(ROOTS).join(generation.to_string()))?;
    durable::atomic_symlink(toplevel, &link(root, generation))?;
    // The running toplevel is kept, too, even if it is not a generation.
    durable::atomic_symlink(&format!("/{CURRENT}"), &root.at(ROOTS).join("current"))?;
    durable::atomic_symlink(&format!("/{BOOTED}"), &root.at(ROOTS).join("booted"))
}

/// Allows Nix to collect it.
pub fn release(root: &Root, generation: Generation) -> Result<()> {
    durable::remove(&link(root, generation))?;
    durable::remove(&root.at(ROOTS).join(generation.to_string())).map(drop)
}

/// Removes the links of a toplevel that did not come to run: a client makes one before it asks, and rolls back to the highest
/// that is below the profile's. `known` are the numbers under which it ran here before.
pub fn forget(root: &Root, toplevel: &str, known: &[Generation]) -> Result<()> {
    let refused = links(root).into_iter();
    let mut refused = refused.filter(|(g, target)| target == toplevel && !known.contains(g));
    refused.try_for_each(|(generation, _)| durable::remove(&link(root, generation)).map(drop))
}

/// Removes the link of a generation whose trial failed, so that no client rolls back to it. What is on BOOT stays until it is
/// collected, so that people can see what failed.
pub fn unlink(root: &Root, generation: Generation) -> Result<()> {
    durable::remove(&link(root, generation)).map(drop)
}

/// Points the profile at a generation that was passed to [`keep`].
pub fn point(root: &Root, generation: Generation) -> Result<()> {
    durable::atomic_symlink(
        &format!("system-{generation}-link"),
        &root.at(PROFILES).join("system"),
    )
}

/// Points the profile at `generation` as known on BOOT. Returns the previous target if it was different.
pub fn reconcile(root: &Root, generation: Generation, toplevel: &str) -> Result<Option<String>> {
    let system = root.at(PROFILES).join("system");
    let before = fs::read_link(&system).ok();
    keep(root, generation, toplevel)?;
    point(root, generation)?;
    Ok(before
        .filter(|before| before != Path::new(&format!("system-{generation}-link")))
        .map(|before| before.to_string_lossy().into_owned()))
}

fn link(root: &Root, generation: Generation) -> std::path::PathBuf {
    root.at(PROFILES).join(format!("system-{generation}-link"))
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;

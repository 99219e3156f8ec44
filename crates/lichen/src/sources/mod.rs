//! What images are made of, in the Nix store: packages and crates, as locked or, where the mirror has moved on, healed.

mod fetch;

use crate::bootstrap;
use crate::debian::intent::Intent;
use crate::debian::lock::PackageLock;
use crate::debian::mirror::Mirrors;
use crate::debian::{download, heal, resolve};
use crate::nix::Nix;
use crate::store;
use crate::ui;
use crate::vm::tools;
use crate::workspace::{Lack, Workspace, check_space, lacks_space};
use anyhow::{Context, Result};
pub use fetch::{fetch, gone};
use std::path::{Path, PathBuf};

/// What a build from nothing takes in the Nix store, beyond the packages.
const STORE_SPACE: u64 = 4_000_000_000;
const STORE: &str = "/nix/store";

/// Gets the sources of an appliance's image, and of the tools that run it, into the store.
pub fn image_sources<'w>(
    workspace: &'w Workspace,
    appliance: &str,
    locked: bool,
) -> Result<Nix<'w>> {
    workspace.check_appliance(appliance)?;
    let wanted = Wanted::Of(&[&image_output(workspace, appliance), tools::OUTPUT]);
    sources(workspace, appliance, &wanted, locked)
}

/// Makes room in the Nix store for a build from nothing, and fails where that is not to be had.
///
/// Each change of an image leaves the one before it in the store: weeks of work fill a disk that is large enough for a
/// build many times over.
pub fn make_room(workspace: &Workspace) -> Result<()> {
    if let Some(Lack { free, .. }) = lacks_room() {
        ui::say(format!(
            "{} is free in {STORE}: dropping builds that no link keeps any more",
            ui::bytes(free)
        ));
        // So much that the next build does not begin with this again.
        match store::collect_garbage(&claims(workspace)?, 2 * STORE_SPACE - free) {
            Ok(true) => {}
            Ok(false) => ui::warn("old builds stay: another lichen command is at work"),
            Err(error) => ui::warn(format!("cannot drop old builds: {error:#}")),
        }
    }
    check_space(Path::new(STORE), STORE_SPACE, "the build")
}

/// The lock between those who need what no link keeps and those who drop it.
fn claims(workspace: &Workspace) -> Result<PathBuf> {
    Ok(workspace.cache("")?.join("store.lock"))
}

/// What the Nix store lacks for a build from nothing.
pub fn lacks_room() -> Option<Lack> {
    lacks_space(Path::new(STORE), STORE_SPACE)
}

/// What the flake calls an image.
pub fn image_output(workspace: &Workspace, name: &str) -> String {
    let of_stories = workspace.test_images().iter().any(|image| image == name);
    if of_stories {
        format!("packages.x86_64-linux.test-image-{name}")
    } else {
        format!("packages.x86_64-linux.{name}-image")
    }
}

/// What to get the sources of.
#[derive(Debug)]
pub enum Wanted<'o> {
    /// Everything there is.
    Everything,
    /// These outputs of the flake. Not everybody needs a browser, for example, which is large.
    Of(&'o [&'o str]),
}

/// Gets sources into the store and returns the Nix to build them with. It uses a healed lock if the mirror no longer
/// has everything that is pinned.
pub fn sources<'w>(
    workspace: &'w Workspace,
    name: &str,
    wanted: &Wanted<'_>,
    locked: bool,
) -> Result<Nix<'w>> {
    let pinned = PackageLock::load(&workspace.lock())?;
    let intent = Intent::load(&workspace.intent())?;
    if let Err(error) = pinned.check_made_from(&intent) {
        if locked {
            return Err(error);
        }
        ui::warn(
            "image/debian/packages.toml was edited since image/debian/lock.json was made: ./lichen lock",
        );
    }
    make_room(workspace)?;
    store::need(&claims(workspace)?)?;
    let file = workspace.build("")?.join(format!("{name}.lock.json"));
    // A lock that was healed earlier is used again.
    let earlier = PackageLock::load(&file)
        .ok()
        .filter(|l| l.heals.as_ref() == Some(&pinned.digest()));
    let mut lock = match earlier {
        Some(healed) if !locked => healed,
        _ => pinned.clone(),
    };
    for _ in 0..3 {
        let nix = Nix::new(workspace, (lock != pinned).then(|| file.clone()));
        let vanished = match wanted {
            Wanted::Everything => fetch(workspace, &lock, |_| true)?,
            Wanted::Of(outputs) => {
                let needed = nix.store_paths_for(outputs)?;
                fetch(workspace, &lock, |path| needed.contains(path))?
            }
        };
        if vanished.is_empty() {
            tell_of_healing(&pinned, &lock, &file);
            return Ok(nix);
        }
        if locked {
            return Err(gone(&lock, &vanished));
        }
        ui::say(format!(
            "{} locked packages are no longer on the mirror; asking apt for their current versions",
            vanished.len()
        ));
        lock = healed(workspace, &lock, &vanished, &intent)?;
        lock.save(&file)?;
    }
    crate::fail!(hint: "try again in an hour, or run ./lichen lock", "the mirror keeps changing while it is read")
}

fn tell_of_healing(pinned: &PackageLock, lock: &PackageLock, file: &Path) {
    if lock == pinned {
        let _ = std::fs::remove_file(file);
    } else {
        heal::announce(pinned, lock, file);
    }
}

fn healed(
    workspace: &Workspace,
    lock: &PackageLock,
    vanished: &[String],
    intent: &Intent,
) -> Result<PackageLock> {
    let _exclusive = workspace.exclusive()?;
    let (mirrors, cache) = (Mirrors::find()?, workspace.cache("apt")?);
    let mut healed = match heal::heal(lock, vanished, intent, &mirrors, &cache) {
        Ok(healed) => healed,
        Err(error) => {
            ui::warn(format!("{error:#}; resolving everything anew"));
            let mut all = resolve::resolve(intent, &mirrors, &cache)?;
            all.bootstrap.busybox.clone_from(&lock.bootstrap.busybox);
            all.heals = Some(lock.heals.clone().unwrap_or_else(|| lock.digest()));
            all
        }
    };
    let key = healed.bootstrap.deb.clone();
    if healed.packages[&key] != lock.packages[&key] {
        let got = download::download(&healed, &[key], &mirrors, &workspace.cache("debs")?)?;
        healed.bootstrap.busybox = bootstrap::hash_of(
            got.files
                .first()
                .context("the mirror has no busybox-static")?,
        )?;
    }
    Ok(healed)
}

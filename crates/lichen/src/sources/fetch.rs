//! Locked packages and crates: downloaded, and seeded into the Nix store under the paths that a build asks for.

use crate::crates_io::{self, Crate};
use crate::debian::download;
use crate::debian::lock::{Key, PackageLock};
use crate::debian::mirror::Mirrors;
use crate::failure::Failure;
use crate::workspace::Workspace;
use crate::{bootstrap, hash, store, ui};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The error about packages that the mirror no longer has.
pub fn gone(lock: &PackageLock, vanished: &[Key]) -> anyhow::Error {
    let names: Vec<String> = vanished.iter().map(|k| lock.packages[k].title()).collect();
    Failure {
        what: format!("{} locked packages are no longer on the mirror: {}", names.len(), names.join(", ")),
        hint: "./lichen lock pins the current versions; ./lichen build APPLIANCE uses them for one image only".into(),
    }
    .into()
}

/// Fetches and seeds what is `wanted` of all store paths that the lock names; returns the packages that the mirror no
/// longer has.
pub fn fetch(
    workspace: &Workspace,
    lock: &PackageLock,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<Key>> {
    let _exclusive = workspace.exclusive()?;
    let crates = crates_io::locked(&workspace.path("Cargo.lock"))?;
    let busybox = bootstrap::store_path(lock);
    let deb_path = |key: &Key| {
        let p = &lock.packages[key];
        hash::flat_store_path(&p.store_name(), &p.sha256)
    };
    let mut paths: Vec<PathBuf> = lock.packages.keys().map(deb_path).collect();
    paths.extend(crates.iter().map(Crate::store_path));
    paths.retain(|path| wanted(path));
    paths.push(busybox.clone());
    let missing = store::missing(&paths)?;
    if missing.is_empty() {
        return Ok(vec![]);
    }

    let mut keys: Vec<Key> = lock
        .packages
        .keys()
        .filter(|k| missing.contains(&deb_path(k)))
        .cloned()
        .collect();
    if missing.contains(&busybox) && !keys.contains(&lock.bootstrap.deb) {
        keys.push(lock.bootstrap.deb.clone());
    }
    let crates: Vec<Crate> = crates
        .into_iter()
        .filter(|c| missing.contains(&c.store_path()))
        .collect();
    let size = keys.iter().map(|k| lock.packages[k].size).sum();
    crate::workspace::check_space(
        Path::new("/nix/store"),
        size,
        "the packages in the Nix store",
    )?;

    let cache = workspace.cache("debs")?;
    let got = if keys.is_empty() {
        download::Outcome::default()
    } else {
        download::download(lock, &keys, &Mirrors::find()?, &cache)?
    };
    seed(&got.files, "packages")?;
    if missing.contains(&busybox) && !got.vanished.contains(&lock.bootstrap.deb) {
        let deb = cache.join(lock.packages[&lock.bootstrap.deb].store_name());
        bootstrap::seed(lock, &deb, &workspace.cache("scratch")?)?;
    }
    seed(&crates_io::fetch(workspace.root(), &crates)?, "crates")?;
    // The paths were computed, not asked for: make sure that Nix agrees.
    let vanished: Vec<PathBuf> = got.vanished.iter().map(deb_path).collect();
    let mut left: Vec<PathBuf> = store::missing(&paths)?
        .into_iter()
        .filter(|p| !vanished.contains(p))
        .collect();
    left.sort();
    if !got.vanished.contains(&lock.bootstrap.deb)
        && let Some(path) = left.first()
    {
        anyhow::bail!(
            "{} paths are still not in the store after seeding, the first is {}",
            left.len(),
            path.display()
        );
    }
    if got.vanished.is_empty() {
        ui::say("all sources are in the Nix store");
    }
    Ok(got.vanished)
}

fn seed(files: &[PathBuf], what: &str) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    ui::say(format!("seeding {} {what} into the Nix store", files.len()));
    store::add_flat(files).with_context(|| format!("cannot seed the Nix store with {what}"))
}

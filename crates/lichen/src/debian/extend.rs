//! A lock that takes in what is newly named. Whatever is locked keeps its version, unless something new cannot be there beside it.

use super::apt::AptRoot;
use super::heal::{control_of, solution};
use super::intent::Intent;
use super::lock::PackageLock;
use super::mirror::Mirrors;
use super::resolve::{self, Resolved};
use crate::ui;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The lock with what the package lists name and it lacks. What it has must be in the store. Its date stays: it is that of the
/// versions, of which hardly any is new.
pub fn extend(
    lock: &PackageLock,
    intent: &Intent,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<PackageLock> {
    let mut extended = PackageLock {
        timestamp: lock.timestamp.clone(),
        packages: lock.packages.clone(),
        ..resolve::skeleton(intent)?
    };
    for arch in intent.architectures() {
        let new = |depends| {
            let mut named = intent.named(&arch, depends);
            named.retain(|name| !lock.packages.contains_key(&format!("{name}:{arch}")));
            named
        };
        let (leaves, wanted) = (new(false), new(true));
        if leaves.is_empty() && wanted.is_empty() {
            continue;
        }
        ui::say(format!("resolving what is new for {arch}"));
        let root = AptRoot::new(cache, &arch, intent, mirrors)?;
        root.update()?;
        let leaves = resolve::look_up(&root, mirrors, &root.candidates(&leaves)?)?;
        resolve::add_leaves(&mut extended, &arch, leaves);
        if wanted.is_empty() {
            continue;
        }
        let mut all = BTreeMap::new();
        for package in solution(lock, intent, &arch) {
            let control = control_of(&package)?;
            all.insert(package.name.clone(), Resolved { package, control });
        }
        let installed: Vec<String> = all.values().map(|r| r.control.text().to_owned()).collect();
        root.pretend_installed(&installed)?;
        let solved = root
            .solve(&wanted)
            .and_then(|uris| resolve::look_up(&root, mirrors, &uris))
            .with_context(|| format!("the lock can't be extended for {arch}"))?;
        all.extend(solved.into_iter().map(|r| (r.package.name.clone(), r)));
        resolve::add_graph(&mut extended, intent, &arch, all.into_values().collect())?;
    }
    resolve::finish(extended, intent)
}

//! A lock ages: security and backports uploads push older packages off a live mirror. Healing moves just what has
//! vanished, and what can't stand without it; apt's solver decides to what.

use super::apt::AptRoot;
use super::control::{self, Paragraph};
use super::intent::Intent;
use super::lock::{Key, Lock, Package};
use super::mirror::Mirrors;
use super::resolve::{self, Resolved};
use crate::command::{program, stdout_of};
use crate::{hash, ui};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A lock without the vanished packages. All others have to be in the store. The bootstrap's hash stays as it was.
pub fn heal(
    lock: &Lock,
    vanished: &[Key],
    intent: &Intent,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<Lock> {
    let mut healed = lock.clone();
    healed.heals = Some(lock.heals.clone().unwrap_or_else(|| lock.digest()));
    for arch in intent.architectures() {
        let gone: BTreeSet<&str> = names(vanished.iter(), &arch).collect();
        if !gone.is_empty() {
            heal_architecture(&mut healed, lock, &gone, &arch, intent, mirrors, cache)?;
        }
    }
    resolve::finish(healed)
}

fn heal_architecture(
    healed: &mut Lock,
    lock: &Lock,
    gone: &BTreeSet<&str>,
    arch: &str,
    intent: &Intent,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<()> {
    let root = AptRoot::new(cache, arch, intent, mirrors)?;
    root.update()?;
    let there_is = root.names()?;

    let leaves: Vec<String> = intent
        .named(arch, false)
        .into_iter()
        .filter(|n| gone.contains(n.as_str()))
        .collect();
    resolve::add_leaves(
        healed,
        arch,
        resolve::look_up(&root, mirrors, &root.candidates(&leaves)?)?,
    );

    // What the solver chose for the lock: everything the sets with dependencies reach.
    let mut solution = lock.clone();
    solution.sets.retain(|name, _| {
        intent
            .sets
            .get(name)
            .is_some_and(|s| s.arch == arch && s.depends)
    });
    solution.bootstrap.deb = match solution.sets.values().flatten().next() {
        Some(any) => any.clone(),
        None => return Ok(()),
    };
    solution.prune();
    let mut kept = BTreeMap::new();
    for package in solution
        .packages
        .values()
        .filter(|p| !gone.contains(p.name.as_str()))
    {
        kept.insert(
            package.name.clone(),
            Resolved {
                package: package.clone(),
                control: control_of(package)?,
            },
        );
    }
    let mut moving: BTreeSet<String> = solution.packages.values().map(|p| p.name.clone()).collect();
    moving.retain(|name| gone.contains(name.as_str()));
    if moving.is_empty() {
        return Ok(());
    }
    while let Some(name) = kept
        .values()
        .find(|r| falls(&r.control, &moving, &there_is))
        .map(|r| r.package.name.clone())
    {
        kept.remove(&name);
        moving.insert(name);
    }

    let stay: Vec<String> = kept.values().map(|r| r.control.text().to_owned()).collect();
    root.pretend_installed(&stay)?;
    let wanted: Vec<String> = moving
        .into_iter()
        .filter(|n| there_is.contains(n))
        .collect();
    let solved = root
        .solve(&wanted)
        .and_then(|uris| resolve::look_up(&root, mirrors, &uris));
    let mut all = kept;
    for r in solved.with_context(|| format!("the lock can't be healed for {arch}"))? {
        all.insert(r.package.name.clone(), r);
    }
    resolve::add_graph(healed, intent, arch, all.into_values().collect())
}

/// Whether a package can't stay as it is: it asks for one version of what moves, or for a name that is no more.
fn falls(
    control: &Paragraph,
    moving: &BTreeSet<String>,
    there_is: &std::collections::HashSet<String>,
) -> bool {
    let fields = ["Pre-Depends", "Depends"].map(|f| control.get(f));
    fields.iter().flat_map(|f| f.split(',')).any(|group| {
        group.split('|').any(|one| {
            let Some(name) = super::relation::names(one).pop() else {
                return false;
            };
            moving.contains(&name) && (one.contains("(=") || !there_is.contains(&name))
        })
    })
}

/// The control paragraph inside a package that the store holds.
fn control_of(package: &Package) -> Result<Paragraph> {
    let path = hash::flat_store_path(&package.store_name(), &package.sha256);
    let text = stdout_of(program("dpkg-deb").arg("--field").arg(&path))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(control::parse(&text))
}

/// The names of those keys that belong to an architecture.
fn names<'a>(keys: impl Iterator<Item = &'a Key>, arch: &str) -> impl Iterator<Item = &'a str> {
    keys.filter_map(move |k| {
        k.rsplit_once(':')
            .filter(|(_, a)| *a == arch)
            .map(|(name, _)| name)
    })
}

/// Tells, loudly, that what is built is not what is pinned.
pub fn announce(pinned: &Lock, healed: &Lock, file: &Path) {
    let changes = pinned.changes(healed);
    ui::warn(format!(
        "{} packages of the lock have moved, as older ones left the mirror: this is NOT the pinned image",
        changes.len()
    ));
    for change in changes {
        eprintln!("  {change}");
    }
    ui::warn(format!(
        "built from {}; ./lichen lock makes it the pinned one, --locked refuses it",
        file.display()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_a_vanished_version_or_name_falls_too() {
        let set = |names: &[&str]| {
            names
                .iter()
                .map(|n| (*n).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let there_is = ["libsystemd0", "libc6"].map(str::to_owned).into();
        let falls =
            |text: &str, moving: &[&str]| falls(&control::parse(text), &set(moving), &there_is);
        assert!(falls(
            "Depends: libc6, libsystemd0 (= 257-1)",
            &["libsystemd0"]
        ));
        assert!(!falls("Depends: libsystemd0 (>= 257)", &["libsystemd0"]));
        assert!(falls("Depends: linux-image-7.3.4", &["linux-image-7.3.4"]));
        assert!(!falls("Depends: libc6", &["libsystemd0"]));
    }
}

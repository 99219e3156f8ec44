//! A lock ages: security and backports uploads push older packages off a live mirror. Healing replaces only the packages that
//! vanished and those that can't stay without them; apt's solver picks the versions.

use super::apt::AptRoot;
use super::control::{self, Paragraph};
use super::intent::Intent;
use super::lock::{Key, Package, PackageLock};
use super::mirror::Mirrors;
use super::relation;
use super::resolve::{self, Resolved};
use crate::command::{program, stdout_of};
use crate::{hash, ui};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A lock without the vanished packages. All others have to be in the store. The bootstrap's hash stays as it was.
pub fn heal(
    lock: &PackageLock,
    vanished: &[Key],
    intent: &Intent,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<PackageLock> {
    let mut healed = lock.clone();
    healed.heals = Some(lock.heals.clone().unwrap_or_else(|| lock.digest()));
    for arch in intent.architectures() {
        let gone: BTreeSet<&str> = names(vanished.iter(), &arch).collect();
        if !gone.is_empty() {
            heal_architecture(&mut healed, lock, &gone, &arch, intent, mirrors, cache)?;
        }
    }
    // What a newer version no longer depends on need not be cut off from it.
    for spared in resolve::close(&mut healed, intent)? {
        ui::warn(spared);
    }
    Ok(healed)
}

fn heal_architecture(
    healed: &mut PackageLock,
    lock: &PackageLock,
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

    let mut kept = BTreeMap::new();
    let mut moving = BTreeMap::new();
    for package in solution(lock, intent, arch) {
        if gone.contains(package.name.as_str()) {
            moving.insert(package.name.clone(), package);
        } else {
            let control = control_of(&package)?;
            kept.insert(package.name.clone(), Resolved { package, control });
        }
    }
    if moving.is_empty() {
        return Ok(());
    }
    // The solver has to start from a whole system, so what has vanished is pretended too. Its own paragraph went with
    // it: one is made up that gives what others were known to take from it.
    let pretended: BTreeSet<String> = intent.provided_names().into_iter().collect();
    let mut system: Vec<String> = kept.values().map(|r| r.control.text().to_owned()).collect();
    system.extend(
        moving
            .values()
            .map(|package| stand_in(package, &kept, &pretended)),
    );
    root.pretend_installed(&system)?;

    let mut moving: BTreeSet<String> = moving.into_keys().collect();
    let mut fallen = BTreeMap::new();
    loop {
        let mut met = met_by(&kept);
        met.extend(pretended.iter().cloned());
        met.extend(moving.iter().filter(|n| there_is.contains(*n)).cloned());
        let falling = kept.values().find(|r| falls(&r.control, &moving, &met));
        let Some(name) = falling.map(|r| r.package.name.clone()) else {
            break;
        };
        fallen.extend(kept.remove_entry(&name));
        moving.insert(name);
    }
    let wanted: Vec<String> = moving
        .into_iter()
        .filter(|n| there_is.contains(n))
        .collect();
    let solved = root
        .solve(&wanted)
        .and_then(|uris| resolve::look_up(&root, mirrors, &uris));
    // A package that was removed although it is the newest there is comes back unchanged.
    let mut all = kept;
    all.append(&mut fallen);
    for r in solved.with_context(|| format!("the lock can't be healed for {arch}"))? {
        all.insert(r.package.name.clone(), r);
    }
    resolve::add_graph(healed, intent, arch, all.into_values().collect())
}

/// What the solver chose for a lock: everything that the sets with dependencies reach.
pub fn solution(lock: &PackageLock, intent: &Intent, arch: &str) -> Vec<Package> {
    let mut solution = lock.clone();
    solution.sets.retain(|name, _| {
        let set = intent.sets.get(name);
        set.is_some_and(|s| s.arch == arch && s.depends)
    });
    solution.bootstrap.deb = match solution.sets.values().flatten().next() {
        Some(any) => any.clone(),
        None => return vec![],
    };
    solution.prune();
    solution.packages.into_values().collect()
}

/// The names that these packages have or provide.
pub fn met_by(packages: &BTreeMap<String, Resolved>) -> BTreeSet<String> {
    let provided = packages
        .values()
        .flat_map(|r| relation::names(r.control.get("Provides")));
    provided.chain(packages.keys().cloned()).collect()
}

/// A paragraph for a package that nobody has any more.
fn stand_in(
    package: &Package,
    kept: &BTreeMap<String, Resolved>,
    pretended: &BTreeSet<String>,
) -> String {
    let mut provides = BTreeSet::new();
    for taker in kept.values().filter(|r| takes(&r.package, &package.name)) {
        for group in resolve::needs(&taker.control) {
            if !group
                .iter()
                .any(|n| *n == package.name || kept.contains_key(n) || pretended.contains(n))
            {
                provides.extend(
                    group
                        .into_iter()
                        .map(|n| format!("{n} (= {})", package.version)),
                );
            }
        }
    }
    let provides = match provides.is_empty() {
        true => String::new(),
        false => format!(
            "Provides: {}\n",
            provides.into_iter().collect::<Vec<_>>().join(", ")
        ),
    };
    format!(
        "Package: {}\nVersion: {}\nArchitecture: {}\nMulti-Arch: foreign\nMaintainer: none <none@localhost>\n{provides}\
         Description: has vanished\n",
        package.name, package.version, package.arch
    )
}

fn takes(package: &Package, name: &str) -> bool {
    package
        .depends
        .iter()
        .any(|key| key.rsplit_once(':').is_some_and(|(n, _)| n == name))
}

/// Whether a package has to change: it depends on an exact version of one that changes, or on what nothing provides.
pub fn falls(control: &Paragraph, moving: &BTreeSet<String>, met: &BTreeSet<String>) -> bool {
    let fields = ["Pre-Depends", "Depends"].map(|f| control.get(f));
    fields
        .iter()
        .flat_map(|f| f.split(','))
        .map(|group| (group, relation::names(group)))
        .filter(|(_, names)| !names.is_empty())
        .any(|(group, names)| {
            let exact = group.contains("(=") && names.iter().any(|n| moving.contains(n));
            exact || !names.iter().any(|n| met.contains(n))
        })
}

/// The control paragraph inside a package that the store holds.
pub fn control_of(package: &Package) -> Result<Paragraph> {
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

/// Warns that what is built is not what is pinned.
pub fn announce(pinned: &PackageLock, healed: &PackageLock, file: &Path) {
    let changes = pinned.changes(healed);
    ui::warn(format!(
        "{} locked packages were replaced by newer versions, as the mirror no longer has them: this is NOT the pinned image",
        changes.len()
    ));
    for change in changes {
        eprintln!("  {change}");
    }
    ui::warn(format!(
        "built from {}; ./lichen lock pins these versions, --locked refuses them",
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
        let met = set(&["libsystemd0", "libc6", "awk"]);
        let falls = |text: &str, moving: &[&str]| falls(&control::parse(text), &set(moving), &met);
        assert!(falls(
            "Depends: libc6, libsystemd0 (= 257-1)",
            &["libsystemd0"]
        ));
        assert!(!falls("Depends: libsystemd0 (>= 257)", &["libsystemd0"]));
        assert!(falls("Depends: linux-image-7.3.4", &["linux-image-7.3.4"]));
        assert!(!falls("Depends: libc6, gawk | awk", &["libsystemd0"]));
    }
}

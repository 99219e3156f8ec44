//! A lock that takes in what is newly named. Whatever is locked keeps its version, unless something new cannot be there
//! beside it; so an edit that means other versions of what is locked is refused.

use super::apt::AptRoot;
use super::control::Paragraph;
use super::heal::{control_of, falls, met_by, solution};
use super::intent::Intent;
use super::lock::{Package, PackageLock};
use super::mirror::Mirrors;
use super::resolve::{self, Resolved};
use crate::ui;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The lock with what the package lists say and it lacks. What it has must be in the store. Its date stays: it is that of
/// the versions, of which hardly any is new.
pub fn extend(
    lock: &PackageLock,
    intent: &Intent,
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<PackageLock> {
    let repinned = repinned(lock, intent)?;
    let mut extended = PackageLock {
        timestamp: lock.timestamp.clone(),
        ..resolve::skeleton(intent)?
    };
    for arch in intent.architectures() {
        let plan = Plan::of(lock, intent, &repinned, &arch, control_of)?;
        resolve::add_leaves(&mut extended, &arch, plan.kept_leaves);
        let mut all = plan.kept;
        if !(plan.new_leaves.is_empty() && plan.new.is_empty()) {
            ui::say(format!("resolving what is new for {arch}"));
            let root = AptRoot::new(cache, &arch, intent, mirrors)?;
            root.update()?;
            let leaves = resolve::look_up(&root, mirrors, &root.candidates(&plan.new_leaves)?)?;
            resolve::add_leaves(&mut extended, &arch, leaves);
            let installed: Vec<String> =
                all.values().map(|r| r.control.text().to_owned()).collect();
            root.pretend_installed(&installed)?;
            let solved = root
                .solve(&plan.new)
                .and_then(|uris| resolve::look_up(&root, mirrors, &uris))
                .with_context(|| format!("the lock can't be extended for {arch}"))?;
            all.extend(solved.into_iter().map(|r| (r.package.name.clone(), r)));
        }
        resolve::add_graph(&mut extended, intent, &arch, all.into_values().collect())?;
    }
    resolve::finish(extended, intent)
}

/// What becomes of the packages of one architecture.
#[derive(Debug, Default)]
struct Plan {
    /// Packages that come alone and stay.
    kept_leaves: Vec<Resolved>,
    /// Packages that come alone and are to be looked up.
    new_leaves: Vec<String>,
    /// Packages of the solution that stay.
    kept: BTreeMap<String, Resolved>,
    /// Packages that are to be solved with their dependencies.
    new: Vec<String>,
}

impl Plan {
    fn of(
        lock: &PackageLock,
        intent: &Intent,
        repinned: &BTreeSet<String>,
        arch: &str,
        control_of: impl Fn(&Package) -> Result<Paragraph>,
    ) -> Result<Self> {
        let mut plan = Plan::default();
        let resolved = |package: Package| -> Result<Resolved> {
            let control = control_of(&package)?;
            if is_of(&control, repinned) {
                crate::fail!(
                    hint: "./lichen lock resolves everything anew",
                    "[pins] in image/debian/packages.toml was edited for {}, which is locked already",
                    package.name
                );
            }
            Ok(Resolved { package, control })
        };
        for name in intent.named(arch, false) {
            match lock.packages.get(&format!("{name}:{arch}")) {
                Some(leaf) => plan.kept_leaves.push(resolved(leaf.clone())?),
                None => plan.new_leaves.push(name),
            }
        }
        for package in solution(lock, intent, arch) {
            let name = package.name.clone();
            plan.kept.insert(name, resolved(package)?);
        }
        // What was locked alone lacks its dependencies, also if it stands among those that have theirs now.
        let pretended: BTreeSet<String> = intent.provided_names().into_iter().collect();
        loop {
            let mut met = met_by(&plan.kept);
            met.extend(pretended.iter().cloned());
            let lacking = plan
                .kept
                .values()
                .find(|r| falls(&r.control, &BTreeSet::new(), &met));
            let Some(name) = lacking.map(|r| r.package.name.clone()) else {
                break;
            };
            plan.kept.remove(&name);
        }
        plan.new = intent.named(arch, true);
        plan.new.retain(|name| !plan.kept.contains_key(name));
        Ok(plan)
    }
}

/// The packages, as `[pins]` has them, that a person has pinned in another way since the lock was made.
fn repinned(lock: &PackageLock, intent: &Intent) -> Result<BTreeSet<String>> {
    let rules = intent.rules();
    let Some(old) = &lock.rules else {
        if lock.intent == intent.digest() {
            return Ok(BTreeSet::new());
        }
        crate::fail!(
            hint: "./lichen lock resolves everything anew",
            "image/debian/lock.json is from before locks said how their versions were chosen"
        );
    };
    for (what, same) in [
        ("release", old.release == rules.release),
        ("components", old.components == rules.components),
        ("[provided]", old.provided == rules.provided),
    ] {
        if !same {
            crate::fail!(
                hint: "./lichen lock resolves everything anew",
                "{what} in image/debian/packages.toml was edited, on which all that is locked depends"
            );
        }
    }
    let of = |pins: &BTreeMap<String, Vec<String>>| -> BTreeSet<(String, String)> {
        let pins = pins.iter();
        let pairs = pins.flat_map(|(suite, of)| of.iter().map(move |p| (suite.clone(), p.clone())));
        pairs.collect()
    };
    let (before, now) = (of(&old.pins), of(&rules.pins));
    let changed: BTreeSet<String> = before
        .symmetric_difference(&now)
        .map(|(_, package)| package.clone())
        .collect();
    if let Some(pattern) = changed.iter().find(|p| p.contains(['*', '?', '[', '/'])) {
        crate::fail!(
            hint: "./lichen lock resolves everything anew",
            "the pin {pattern} in image/debian/packages.toml is a pattern: what it is about is not known without apt"
        );
    }
    Ok(changed)
}

/// Whether one of these names, or `src:` and the name of a source package, means the package with this paragraph.
fn is_of(control: &Paragraph, pinned: &BTreeSet<String>) -> bool {
    let name = control.get("Package");
    let source = control.get("Source").split_whitespace().next();
    pinned.contains(name) || pinned.contains(&format!("src:{}", source.unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::super::control;
    use super::*;

    const LISTS: &str = "release = 'trixie'\ncomponents = ['main']\n\
        [sets.base]\narch = 'arm64'\npackages = ['dbus']\n\
        [sets.boot]\narch = 'arm64'\ndepends = false\npackages = ['u-boot', 'firmware']\n\
        [sets.bootstrap]\narch = 'arm64'\ndepends = false\npackages = ['busybox-static']\n\
        [pins]\ntrixie-backports = ['src:linux']\n";

    fn lists(text: &str) -> Intent {
        toml::from_str(text).unwrap()
    }

    fn control(package: &Package) -> Result<Paragraph> {
        let more = match package.name.as_str() {
            "dbus" => "Depends: libc6",
            "u-boot" => "Depends: fdisk\nSource: u-boot-sources (2026.1)",
            _ => "",
        };
        Ok(control::parse(&format!(
            "Package: {}\n{more}",
            package.name
        )))
    }

    /// What `LISTS` were resolved to.
    fn locked() -> PackageLock {
        let intent = lists(LISTS);
        let mut lock = resolve::skeleton(&intent).unwrap();
        let resolved = |name: &str| {
            let package = Package {
                name: name.into(),
                version: "1".into(),
                arch: "arm64".into(),
                archive: "debian".into(),
                path: String::new(),
                sha256: String::new(),
                size: 0,
                depends: vec![],
                without: vec![],
            };
            let control = control(&package).unwrap();
            Resolved { package, control }
        };
        let leaves = ["u-boot", "firmware", "busybox-static"].map(resolved);
        resolve::add_leaves(&mut lock, "arm64", leaves.into());
        let graph = ["dbus", "libc6"].map(resolved);
        resolve::add_graph(&mut lock, &intent, "arm64", graph.into()).unwrap();
        lock
    }

    fn plan(lists_now: &str) -> Result<Plan> {
        let (lock, intent) = (locked(), lists(lists_now));
        let repinned = repinned(&lock, &intent)?;
        Plan::of(&lock, &intent, &repinned, "arm64", control)
    }

    /// The names that are to be resolved: alone, and with their dependencies.
    fn resolves(lists_now: &str) -> [Vec<String>; 2] {
        let plan = plan(lists_now).unwrap();
        [plan.new_leaves, plan.new]
    }

    fn names(names: [&[&str]; 2]) -> [Vec<String>; 2] {
        names.map(|names| names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_the_lists_say_already_is_not_resolved_again() {
        let plan = plan(LISTS).unwrap();
        assert_eq!(plan.kept.keys().collect::<Vec<_>>(), ["dbus", "libc6"]);
        assert_eq!(plan.kept_leaves.len(), 3);
        assert_eq!(resolves(LISTS), names([&[], &[]]));
        let more = LISTS.replace("['dbus']", "['dbus', 'htop']");
        assert_eq!(resolves(&more), names([&[], &["htop"]]));
        let alone = LISTS.replace("'firmware'", "'firmware', 'htop'");
        assert_eq!(resolves(&alone), names([&["htop"], &[]]));
    }

    #[test]
    fn what_was_locked_alone_is_resolved_once_its_dependencies_are_wanted() {
        let both = LISTS.replace("['dbus']", "['dbus', 'u-boot', 'firmware']");
        assert_eq!(resolves(&both), names([&[], &["firmware", "u-boot"]]));
        // A package without dependencies has all of them.
        let toggled = LISTS.replacen("depends = false\n", "", 1);
        assert_eq!(resolves(&toggled), names([&[], &["u-boot"]]));
    }

    #[test]
    fn an_edited_pin_of_what_is_locked_is_refused_and_one_of_what_is_new_is_not() {
        let pin = |pins: &str| LISTS.replace("'src:linux'", pins);
        for (pins, package) in [
            ("'src:linux', 'src:u-boot-sources'", "u-boot"),
            ("'src:linux', 'src:dbus'", "dbus"),
            ("'src:linux', 'libc6'", "libc6"),
        ] {
            let error = plan(&pin(pins)).unwrap_err().to_string();
            let told = format!("was edited for {package}, which is locked already");
            assert!(error.contains(&told), "{error}");
        }
        let with_htop = pin("'htop'").replace("['dbus']", "['dbus', 'htop']");
        assert_eq!(resolves(&with_htop), names([&[], &["htop"]]));
    }

    #[test]
    fn what_all_versions_depend_on_is_not_stamped_as_resolved() {
        let refused = |lock: &PackageLock, text: &str| {
            let error = repinned(lock, &lists(text)).unwrap_err();
            error.to_string()
        };
        let lock = locked();
        let forky = LISTS.replace("'trixie'", "'forky'");
        assert!(refused(&lock, &forky).starts_with("release in image/debian/packages.toml"));
        let provided = format!("{LISTS}[provided]\npackages = ['perl']\n");
        assert!(refused(&lock, &provided).starts_with("[provided] in"));
        let pattern = LISTS.replace("'src:linux'", "'src:linux', 'linux-*'");
        assert!(refused(&lock, &pattern).starts_with("the pin linux-* in"));
        let old = PackageLock {
            rules: None,
            ..lock
        };
        assert!(repinned(&old, &lists(LISTS)).unwrap().is_empty());
        assert!(refused(&old, &forky).contains("lock.json is from before"));
    }
}

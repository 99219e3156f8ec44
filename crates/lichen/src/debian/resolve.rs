//! Intent → lock: what apt's solver chose, as a graph.

use super::apt::{AptRoot, decode};
use super::control::Paragraph;
use super::intent::Intent;
use super::lock::{Key, Package, PackageLock};
use super::mirror::Mirrors;
use super::relation;
use crate::ui;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// A resolved package with the relations that make the graph.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// As it will be in the lock, `depends` still empty.
    pub package: Package,
    /// Its control paragraph.
    pub control: Paragraph,
}

/// Resolves everything anew. The bootstrap's hash is the caller's to fill in.
pub fn resolve(intent: &Intent, mirrors: &Mirrors, cache: &Path) -> Result<PackageLock> {
    let mut lock = skeleton(intent)?;
    for arch in intent.architectures() {
        ui::say(format!("resolving the packages for {arch}"));
        let root = AptRoot::new(cache, &arch, intent, mirrors)?;
        root.update()?;
        let leaves = look_up(
            &root,
            mirrors,
            &root.candidates(&intent.named(&arch, false))?,
        )?;
        let solved = look_up(&root, mirrors, &root.solve(&intent.named(&arch, true))?)?;
        add_leaves(&mut lock, &arch, leaves);
        add_graph(&mut lock, intent, &arch, solved)?;
    }
    finish(lock, intent)
}

/// A lock with its sets and no packages yet.
pub fn skeleton(intent: &Intent) -> Result<PackageLock> {
    let mut sets = BTreeMap::new();
    for (name, set) in &intent.sets {
        let mut keys: Vec<Key> = set
            .packages
            .iter()
            .map(|p| format!("{p}:{}", set.arch))
            .collect();
        keys.sort();
        keys.dedup();
        sets.insert(name.clone(), keys);
    }
    let Some(deb) = sets.get("bootstrap").and_then(|keys| keys.first()).cloned() else {
        crate::fail!(
            hint: "add [sets.bootstrap] with arch = \"amd64\", depends = false, packages = [\"busybox-static\"]",
            "image/debian/packages.toml has no set 'bootstrap'"
        );
    };
    Ok(PackageLock {
        version: 1,
        timestamp: snapshot_time(jiff::Timestamp::now()),
        intent: intent.digest(),
        rules: Some(intent.rules()),
        heals: None,
        bootstrap: super::lock::Bootstrap {
            busybox: String::new(),
            deb,
        },
        sets,
        packages: BTreeMap::new(),
    })
}

/// Checks that the lock holds what its sets name, drops the rest, and notes what packages do without, all of which has to
/// be there.
pub fn finish(mut lock: PackageLock, intent: &Intent) -> Result<PackageLock> {
    match close(&mut lock, intent)?.into_iter().next() {
        None => Ok(lock),
        Some(spared) => crate::fail!(
            hint: "remove it from [without] in image/debian/packages.toml",
            "{spared}"
        ),
    }
}

/// The same, but tells what packages are to do without although they do not depend on it.
pub fn close(lock: &mut PackageLock, intent: &Intent) -> Result<Vec<String>> {
    for (set, keys) in &lock.sets {
        for key in keys {
            if !lock.packages.contains_key(key) {
                crate::fail!(
                    hint: "name a real package in image/debian/packages.toml; `apt-cache policy NAME` shows what there is",
                    "apt gave no package for {key} of [sets.{set}]: it is virtual, or [provided] stands in for it"
                );
            }
        }
    }
    lock.prune();
    Ok(lock.cut(&intent.without))
}

/// The packages behind addresses that apt printed.
pub fn look_up(root: &AptRoot, mirrors: &Mirrors, uris: &[String]) -> Result<Vec<Resolved>> {
    let mut places = Vec::new();
    for uri in uris {
        let Some((archive, path)) = mirrors.split(uri) else {
            bail!("apt chose {uri}, which is not on a Debian mirror")
        };
        places.push((archive, decode(path)));
    }
    places.sort();
    places.dedup();
    let paragraphs = root.paragraphs(
        &places
            .iter()
            .map(|(_, path)| path.clone())
            .collect::<HashSet<_>>(),
    )?;
    places
        .into_iter()
        .map(|(archive, path)| {
            let control = paragraphs
                .get(&path)
                .with_context(|| format!("{path} is not in apt's package lists"))?
                .clone();
            let package = Package {
                name: control.get("Package").into(),
                version: control.get("Version").into(),
                arch: control.get("Architecture").into(),
                archive: archive.into(),
                sha256: control.get("SHA256").into(),
                size: control
                    .get("Size")
                    .parse()
                    .with_context(|| format!("{path} has no size in apt's package lists"))?,
                path,
                depends: vec![],
                without: vec![],
            };
            Ok(Resolved { package, control })
        })
        .collect()
}

/// Adds packages that come alone, whatever they depend on.
pub fn add_leaves(lock: &mut PackageLock, arch: &str, leaves: Vec<Resolved>) {
    for r in leaves {
        lock.packages.insert(
            format!("{}:{arch}", r.package.name),
            Package {
                depends: vec![],
                ..r.package
            },
        );
    }
}

/// Adds one architecture's solution to the lock, with its edges.
pub fn add_graph(
    lock: &mut PackageLock,
    intent: &Intent,
    arch: &str,
    solved: Vec<Resolved>,
) -> Result<()> {
    let pretended: HashSet<String> = intent.provided_names().into_iter().collect();
    let here: HashSet<&str> = solved.iter().map(|r| r.package.name.as_str()).collect();
    let mut providers: HashMap<String, Vec<&str>> = HashMap::new();
    for r in &solved {
        for name in relation::names(r.control.get("Provides")) {
            providers.entry(name).or_default().push(&r.package.name);
        }
    }
    for r in &solved {
        let name = &r.package.name;
        let mut package = Package {
            depends: vec![],
            ..r.package.clone()
        };
        for group in needs(&r.control) {
            let real = group
                .iter()
                .find(|n| here.contains(n.as_str()))
                .map(String::as_str);
            let provided = || {
                group
                    .iter()
                    .filter_map(|n| providers.get(n))
                    .flatten()
                    .min()
                    .copied()
            };
            match real.or_else(provided) {
                Some(found) if found == name => {}
                Some(found) => package.depends.push(format!("{found}:{arch}")),
                None if group.iter().any(|n| pretended.contains(n)) => {}
                None => bail!(
                    "{name} needs {}, which apt's solution for {arch} lacks",
                    group.join(" or ")
                ),
            }
        }
        package.depends.sort();
        package.depends.dedup();
        lock.packages.insert(format!("{name}:{arch}"), package);
    }
    Ok(())
}

/// What a package needs: groups of alternatives.
pub fn needs(control: &Paragraph) -> Vec<Vec<String>> {
    ["Pre-Depends", "Depends"]
        .into_iter()
        .flat_map(|field| relation::groups(control.get(field)))
        .collect()
}

/// A time as Debian's snapshot archive writes it.
fn snapshot_time(time: jiff::Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debian::control;

    fn resolved(text: &str) -> Resolved {
        let control = control::parse(text);
        let package = Package {
            name: control.get("Package").into(),
            version: "1".into(),
            arch: "arm64".into(),
            archive: "debian".into(),
            path: String::new(),
            sha256: String::new(),
            size: 0,
            depends: vec![],
            without: vec![],
        };
        Resolved { package, control }
    }

    fn intent() -> Intent {
        toml::from_str(
            "release = 'trixie'\ncomponents = ['main']\n\
             [sets.base]\narch = 'arm64'\npackages = ['systemd']\n\
             [sets.bootstrap]\narch = 'arm64'\ndepends = false\npackages = ['busybox-static']\n\
             [provided]\npackages = ['debconf (= 99)']\n",
        )
        .unwrap()
    }

    #[test]
    fn relations_become_edges_through_alternatives_and_providers() {
        let mut lock = skeleton(&intent()).unwrap();
        let packages = [
            "Package: systemd\nPre-Depends: libc6 (>= 2.41)\nDepends: debconf (>= 0.5) | debconf-2.0, dbus-x | message-bus, awk, systemd",
            "Package: libc6",
            "Package: dbus\nProvides: message-bus (= 1)",
            "Package: mawk\nProvides: awk",
        ];
        add_leaves(
            &mut lock,
            "arm64",
            vec![resolved("Package: busybox-static\nDepends: libmissing")],
        );
        add_graph(&mut lock, &intent(), "arm64", packages.map(resolved).into()).unwrap();
        assert_eq!(
            lock.packages["systemd:arm64"].depends,
            ["dbus:arm64", "libc6:arm64", "mawk:arm64"]
        );
        assert_eq!(lock.packages["busybox-static:arm64"].depends, [""; 0]);
        assert_eq!(finish(lock, &intent()).unwrap().packages.len(), 5);
    }

    #[test]
    fn what_nothing_depends_on_any_more_is_an_error_of_the_lists_but_not_of_a_mirror_that_moved_on()
    {
        let mut without = intent();
        without.without = BTreeMap::from([("systemd".into(), vec!["libc6".into(), "dbus".into()])]);
        let mut lock = skeleton(&without).unwrap();
        let packages = ["Package: systemd\nDepends: libc6", "Package: libc6"];
        add_leaves(
            &mut lock,
            "arm64",
            vec![resolved("Package: busybox-static")],
        );
        add_graph(&mut lock, &without, "arm64", packages.map(resolved).into()).unwrap();
        let told = "systemd:arm64 does not depend on dbus:arm64 at all";
        assert_eq!(close(&mut lock, &without).unwrap(), [told]);
        assert_eq!(lock.packages["systemd:arm64"].without, ["libc6:arm64"]);
        assert_eq!(finish(lock, &without).unwrap_err().to_string(), told);
    }

    #[test]
    fn a_dependency_nobody_meets_is_an_error_that_names_both() {
        let mut lock = skeleton(&intent()).unwrap();
        let error = add_graph(
            &mut lock,
            &intent(),
            "arm64",
            vec![resolved("Package: systemd\nDepends: a | b")],
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "systemd needs a or b, which apt's solution for arm64 lacks"
        );
    }

    #[test]
    fn time_is_written_as_the_snapshot_archive_does() {
        let written = |seconds| snapshot_time(jiff::Timestamp::from_second(seconds).unwrap());
        assert_eq!(written(0), "19700101T000000Z");
        assert_eq!(written(1_709_210_096), "20240229T123456Z");
        assert_eq!(written(1_795_447_500), "20261123T152500Z");
    }
}

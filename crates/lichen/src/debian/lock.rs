//! `image/debian/lock.json`: a graph of packages, each pinned by SHA-256. Old versions stay readable for ever.

use super::intent::{Intent, Rules};
use crate::failure::{Failure, Hint};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A package in the graph: `name:architecture it was solved for`.
pub type Key = String;

/// The packages of every image, to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct PackageLock {
    /// Format version; 1.
    pub version: u32,
    /// When it was resolved, UTC.
    pub timestamp: String,
    /// [`Intent::digest`] of the lists it was resolved from.
    pub intent: String,
    /// The rules by which the versions were chosen; locks that are older than this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// SHA-256 of the lock that this one heals, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heals: Option<String>,
    /// What builds before anything else is there.
    pub bootstrap: Bootstrap,
    /// The packages each set names.
    pub sets: BTreeMap<String, Vec<Key>>,
    /// Every package of every closure.
    pub packages: BTreeMap<Key, Package>,
}

/// A static busybox, the only thing the build starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Bootstrap {
    /// SHA-256 of the Nix archive of the executable, in hexadecimal.
    pub busybox: String,
    /// The package it is taken from.
    pub deb: Key,
}

/// One binary package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with epoch.
    pub version: String,
    /// Its own architecture: the one it was resolved for, or "all".
    pub arch: String,
    /// "debian" or "debian-security".
    pub archive: String,
    /// Below the archive.
    pub path: String,
    /// In hexadecimal.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// The packages it depends on, resolved for the same architecture.
    pub depends: Vec<Key>,
    /// Where its closure ends: what an appliance that names it does without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Key>,
}

impl Package {
    /// Its name in the Nix store, which takes none of `~ : %`.
    pub fn store_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version, self.arch).replace(['~', ':', '%'], "_")
    }

    /// "systemd 257.9-1 (arm64)".
    pub fn title(&self) -> String {
        format!("{} {} ({})", self.name, self.version, self.arch)
    }
}

impl PackageLock {
    /// Reads a lock of any version there has been.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                crate::fail!(hint: "./lichen lock makes it", "there is no {}", path.display())
            }
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        Self::parse(&text)
            .with_context(|| path.display().to_string())
            .hint("./lichen lock writes it anew")
    }

    /// Parses a lock and checks that it is whole.
    pub fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_str(text).context("this is not a package lock")?;
        if head.version != 1 {
            let what = format!("lock format {} is newer than this lichen", head.version);
            return Err(Failure {
                what,
                hint: "update the checkout".into(),
            }
            .into());
        }
        let lock: PackageLock = serde_json::from_str(text).context("this is not a package lock")?;
        let roots = lock.sets.values().flatten();
        let edges = lock.packages.values().flat_map(|p| &p.depends);
        if let Some(lost) = roots
            .chain(edges)
            .chain([&lock.bootstrap.deb])
            .find(|k| !lock.packages.contains_key(*k))
        {
            anyhow::bail!("it refers to the package {lost} but does not contain it");
        }
        Ok(lock)
    }

    /// The text of the file: sorted, one space of indent, so that differences read well.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
        self.serialize(&mut serde_json::Serializer::with_formatter(
            &mut out, format,
        ))
        .expect("plain data");
        out.push(b'\n');
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    /// SHA-256 of the text.
    pub fn digest(&self) -> String {
        crate::hash::hex(&Sha256::digest(self.text()))
    }

    /// Writes the file whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let temporary = path.with_extension("json.new");
        std::fs::write(&temporary, self.text())
            .and_then(|()| std::fs::rename(&temporary, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails unless it was made from these package lists.
    pub fn check_made_from(&self, intent: &Intent) -> Result<()> {
        if self.intent != intent.digest() {
            crate::fail!(
                hint: "./lichen lock",
                "image/debian/packages.toml was edited since image/debian/lock.json was made"
            );
        }
        Ok(())
    }

    /// Drops what no set needs any more.
    pub fn prune(&mut self) {
        let named = self.sets.values().flatten().cloned();
        let wanted = self.reached(named.chain([self.bootstrap.deb.clone()]));
        self.packages.retain(|key, _| wanted.contains(key));
    }

    /// These packages and all that they depend on.
    fn reached(&self, from: impl IntoIterator<Item = Key>) -> BTreeSet<Key> {
        let mut reached: BTreeSet<Key> = BTreeSet::new();
        let mut open: Vec<Key> = from.into_iter().collect();
        while let Some(key) = open.pop() {
            if let Some(package) = self.packages.get(&key) {
                let further = package.depends.iter().filter(|d| !reached.contains(*d));
                open.extend(further.cloned());
            }
            reached.insert(key);
        }
        reached
    }

    /// Notes what packages do without, as the package lists say it. Tells what they do not depend on anyway.
    pub fn cut(&mut self, without: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let mut spared_anyway = vec![];
        for package in self.packages.values_mut() {
            package.without.clear();
        }
        for (name, spared) in without {
            let found: Vec<(Key, String)> = self
                .packages
                .keys()
                .filter_map(|key| Some((key.clone(), key.strip_prefix(name)?.to_owned())))
                .filter(|(_, arch)| arch.starts_with(':'))
                .collect();
            for (key, arch) in found {
                let reached = self.reached([key.clone()]);
                let keys = spared.iter().map(|s| format!("{s}{arch}"));
                let (cut, lost) = keys.partition(|other| reached.contains(other));
                let lost: Vec<Key> = lost;
                let lost = lost.iter();
                spared_anyway.extend(lost.map(|k| format!("{key} does not depend on {k} at all")));
                if let Some(package) = self.packages.get_mut(&key) {
                    package.without = cut;
                }
            }
        }
        spared_anyway
    }

    /// What differs from another lock, one line each: "name: old → new".
    pub fn changes(&self, to: &PackageLock) -> Vec<String> {
        let keys: BTreeSet<&Key> = self.packages.keys().chain(to.packages.keys()).collect();
        keys.into_iter()
            .filter_map(|key| match (self.packages.get(key), to.packages.get(key)) {
                (Some(old), Some(new)) if old.version != new.version => {
                    Some(format!("{key}: {} → {}", old.version, new.version))
                }
                (Some(old), Some(new)) if old.sha256 != new.sha256 => {
                    Some(format!("{key}: {} has different contents", old.version))
                }
                (Some(old), None) => Some(format!("{key}: {} → dropped", old.version)),
                (None, Some(new)) => Some(format!("{key}: new, {}", new.version)),
                _ => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Locks of every format there has been: they must stay readable.
    const V1: &str = include_str!("fixtures/lock-v1.json");

    #[test]
    fn the_first_format_stays_readable_and_is_written_as_it_was() {
        let lock = PackageLock::parse(V1).unwrap();
        assert_eq!(lock.text(), V1);
        assert_eq!(
            lock.packages["dbus:arm64"].store_name(),
            "dbus_1_1.16.2-2_b1_arm64.deb"
        );
    }

    #[test]
    fn the_lock_of_this_checkout_says_by_which_rules_it_was_made() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/debian");
        let intent = Intent::load(&folder.join("packages.toml")).unwrap();
        let text = std::fs::read_to_string(folder.join("lock.json")).unwrap();
        let lock = PackageLock::parse(&text).unwrap();
        assert_eq!(lock.rules, Some(intent.rules()));
        assert_eq!(lock.text(), text);
    }

    #[test]
    fn a_lock_that_lost_a_package_names_it() {
        let mut lock = PackageLock::parse(V1).unwrap();
        lock.packages.remove("libc6:arm64");
        assert!(
            format!("{:#}", PackageLock::parse(&lock.text()).unwrap_err()).contains("libc6:arm64")
        );
    }

    #[test]
    fn a_lock_of_the_future_is_refused() {
        let error = PackageLock::parse(r#"{"version": 2, "stars": []}"#).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn pruning_keeps_what_the_sets_reach() {
        let mut lock = PackageLock::parse(V1).unwrap();
        lock.sets.insert("base".into(), vec![]);
        lock.prune();
        assert_eq!(
            lock.packages.keys().collect::<Vec<_>>(),
            ["busybox-static:amd64"]
        );
    }

    #[test]
    fn a_package_does_without_what_its_closure_has() {
        let mut lock = PackageLock::parse(V1).unwrap();
        let without = |name: &str| BTreeMap::from([("dbus".to_owned(), vec![name.to_owned()])]);
        assert_eq!(lock.cut(&without("libc6")), [""; 0]);
        assert_eq!(lock.packages["dbus:arm64"].without, ["libc6:arm64"]);
        assert_eq!(PackageLock::parse(&lock.text()).unwrap(), lock);
        let lost = lock.cut(&without("mesa"));
        assert_eq!(lost, ["dbus:arm64 does not depend on mesa:arm64 at all"]);
        assert_eq!(lock.cut(&BTreeMap::new()), [""; 0]);
        assert_eq!(lock.text(), V1);
    }

    #[test]
    fn changes_read_as_old_to_new() {
        let old = PackageLock::parse(V1).unwrap();
        let mut new = old.clone();
        new.packages.get_mut("libc6:arm64").unwrap().version = "2.42-1".into();
        new.packages.remove("dbus:arm64");
        assert_eq!(
            old.changes(&new),
            [
                "dbus:arm64: 1:1.16.2-2~b1 → dropped",
                "libc6:arm64: 2.41-12 → 2.42-1"
            ]
        );
    }
}

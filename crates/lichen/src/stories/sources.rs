//! The sources of stories: their own files, shared code, and the crates that they are linked with.
//!
//! A group of stories consists of the file `tests/tests/GROUP.rs` and the directory with that name. Its sources are the
//! included files (`#[path]`, `include_str!`), all of `tests/src`, every workspace crate that any of these name, and
//! their dependencies. Rust cannot use a crate without naming it, so searching for names finds all of them. How they are
//! compiled belongs to the sources, too: the compiler, and what the workspace and cargo's configuration set.

use super::verdicts::Digests;
use crate::command::{program, stdout_of};
use crate::hash;
use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The package that contains the stories.
const STORIES: &str = "tests";

/// The sources of a checkout.
#[derive(Debug)]
pub struct Sources {
    root: PathBuf,
    /// The version of the compiler.
    compiler: String,
    /// The digest of how everything is compiled.
    settings: String,
    /// What the workspace says of each dependency that members may share.
    shared: BTreeMap<String, String>,
    /// The members of the workspace: name and directory.
    members: BTreeMap<String, PathBuf>,
    /// The dependencies between them, without those for tests.
    needs: BTreeMap<String, BTreeSet<String>>,
    /// The members that stories can name as crates.
    linked: BTreeSet<String>,
    /// The dependencies that each member names, without those for tests; for the stories, with them.
    named: BTreeMap<String, BTreeSet<String>>,
    /// Cargo.lock: the exact identity of each package, and its dependencies.
    locked: BTreeMap<String, Locked>,
}

#[derive(Debug)]
struct Locked {
    name: String,
    /// `name version checksum`.
    identity: String,
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The compiler that cargo uses in the checkout at `root`: its version, and the host it is for.
pub fn compiler(root: &Path) -> Result<String> {
    stdout_of(program("rustc").arg("-vV").current_dir(root))
}

impl Sources {
    /// Reads the checkout at `root`, which is compiled by `compiler`.
    pub fn read(root: &Path, compiler: &str) -> Result<Self> {
        let (settings, shared) = settings(root, compiler)?;
        let mut members = BTreeMap::from([(STORIES.to_owned(), root.join(STORIES))]);
        for entry in read_dir(&root.join("crates"))? {
            if entry.join("Cargo.toml").exists() {
                let name = entry.file_name().unwrap_or_default().to_string_lossy();
                members.insert(name.into_owned(), entry);
            }
        }
        let mut needs = BTreeMap::new();
        let mut linked = BTreeSet::new();
        let mut named = BTreeMap::new();
        for (name, folder) in &members {
            let manifest: toml::Table = parse(&folder.join("Cargo.toml"))?;
            let keys = |sections: &[&str]| -> BTreeSet<String> {
                let tables = sections
                    .iter()
                    .filter_map(|section| manifest.get(*section)?.as_table());
                tables.flat_map(toml::Table::keys).cloned().collect()
            };
            let local = |sections: &[&str]| -> BTreeSet<String> {
                let mut names = keys(sections);
                names.retain(|name| members.contains_key(name));
                names
            };
            let (used, tested) = (["dependencies", "build-dependencies"], "dev-dependencies");
            needs.insert(name.clone(), local(&used));
            if name == STORIES {
                linked = local(&["dependencies", tested]);
                named.insert(name.clone(), keys(&["dependencies", tested]));
            } else {
                named.insert(name.clone(), keys(&used));
            }
        }
        let lock: Lock = parse(&root.join("Cargo.lock"))?;
        let locked = lock.package.into_iter().map(|package| {
            let key = format!("{} {}", package.name, package.version);
            let identity = format!("{key} {}", package.checksum.unwrap_or_default());
            let locked = Locked {
                name: package.name,
                identity,
                dependencies: package.dependencies,
            };
            (key, locked)
        });
        Ok(Sources {
            root: root.to_owned(),
            compiler: compiler.to_owned(),
            settings,
            shared,
            named,
            locked: locked.collect(),
            members,
            needs,
            linked,
        })
    }

    /// The version of the compiler.
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// The sources of every group of stories.
    pub fn of_groups(&self) -> Result<BTreeMap<String, Digests>> {
        let mut groups = BTreeMap::new();
        for file in read_dir(&self.root.join("tests/tests"))? {
            let group = file.file_stem().unwrap_or_default().to_string_lossy();
            if file.extension().is_some_and(|end| end == "rs") && group != "main" {
                groups.insert(group.to_string(), self.of_group(&group)?);
            }
        }
        Ok(groups)
    }

    /// The sources of a group of stories: digests by the name of each part.
    pub fn of_group(&self, group: &str) -> Result<Digests> {
        let folder = self.root.join("tests/tests");
        let mut own = vec![folder.join(format!("{group}.rs")), folder.join("main.rs")];
        own.extend(files_below(&folder.join(group))?);
        let own = self.with_included(own)?;
        let shared = self.with_included(files_below(&self.root.join("tests/src"))?)?;
        let mut parts = Digests::new();
        parts.insert(format!("tests/tests/{group}.rs"), self.digest(&own)?);
        parts.insert("tests/src".into(), self.digest(&shared)?);
        let mut named = BTreeSet::new();
        for file in own.iter().chain(&shared) {
            named.extend(self.crates_named_in(&read(file)?));
        }
        for name in self.with_needed(named) {
            parts.insert(format!("crate {name}"), self.of_crate(&name)?);
        }
        let manifest = self.root.join(STORIES).join("Cargo.toml");
        let manifest = [self.digest(&[manifest])?];
        let manifest = manifest.into_iter().chain(self.shared_by(STORIES));
        parts.insert("tests/Cargo.toml".into(), digest_of(manifest));
        let packages = self.packages(STORIES);
        parts.insert("packages of the stories".into(), digest_of(packages));
        parts.insert("how crates are compiled".into(), self.settings.clone());
        Ok(parts)
    }

    /// Every monitored service with its sources: those with a directory `monitoring`.
    pub fn of_services(&self) -> Result<String> {
        let watched = self
            .members
            .iter()
            .filter(|(_, folder)| folder.join("monitoring").exists());
        let watched = watched.map(|(name, _)| name.clone()).collect();
        let mut lines = vec![self.settings.clone()];
        for name in self.with_needed(watched) {
            lines.push(format!("{name} {}", self.of_crate(&name)?));
        }
        Ok(digest_of(lines))
    }

    /// The text of a group's own files.
    pub fn own_text(&self, group: &str) -> Result<String> {
        let folder = self.root.join("tests/tests");
        let mut own = vec![folder.join(format!("{group}.rs"))];
        own.extend(files_below(&folder.join(group))?);
        own.iter().map(|file| read(file)).collect()
    }

    /// Whether a group's own files contain this word.
    pub fn says(&self, group: &str, word: &str) -> Result<bool> {
        Ok(self.own_text(group)?.contains(&format!("\"{word}\"")))
    }

    /// One crate: the sources of its program and library, and its monitoring files, without tests.
    fn of_crate(&self, name: &str) -> Result<String> {
        let folder = &self.members[name];
        let mut files = vec![folder.join("Cargo.toml")];
        for part in ["src", "monitoring"] {
            files.extend(files_below(&folder.join(part))?);
        }
        let build = folder.join("build.rs");
        files.extend(build.exists().then_some(build));
        let mut lines = vec![self.digest(&files)?];
        lines.extend(self.shared_by(name));
        lines.extend(self.packages(name));
        Ok(digest_of(lines))
    }

    /// What the workspace says of the dependencies that a member names.
    fn shared_by(&self, member: &str) -> impl Iterator<Item = String> {
        let names = self.named[member].iter();
        names.filter_map(|name| Some(format!("{name} = {}", self.shared.get(name)?)))
    }

    /// The registry packages that a member is linked with, according to Cargo.lock.
    fn packages(&self, member: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Locked> = self
            .locked
            .values()
            .filter(|locked| locked.name == member)
            .collect();
        while let Some(locked) = next.pop() {
            for wanted in &locked.dependencies {
                // An entry is "name", or "name version" if there are several versions.
                let is_it = |key: &str| key == wanted || key.split(' ').next() == Some(wanted);
                let package = self.locked.iter().find(|(key, _)| is_it(key));
                let Some((key, package)) = package else {
                    continue;
                };
                if !self.members.contains_key(&package.name) && found.insert(key.clone()) {
                    next.push(package);
                }
            }
        }
        found
            .iter()
            .map(|key| self.locked[key].identity.clone())
            .collect()
    }

    fn with_needed(&self, names: BTreeSet<String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut next: Vec<String> = names.into_iter().collect();
        while let Some(name) = next.pop() {
            if all.insert(name.clone()) {
                next.extend(self.needs[&name].iter().cloned());
            }
        }
        all
    }

    /// The crates that a story's source names: before `::`, or in a `use` line.
    fn crates_named_in(&self, source: &str) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for line in source.lines() {
            let used = ["use ", "pub use ", "extern crate "]
                .iter()
                .any(|word| line.trim_start().starts_with(word));
            for name in &self.linked {
                let word = name.replace('-', "_");
                let whole = line.match_indices(&word).any(|(at, _)| {
                    let part = |c: char| c.is_alphanumeric() || c == '_';
                    let (before, after) = (&line[..at], &line[at + word.len()..]);
                    !before.ends_with(part)
                        && !after.starts_with(part)
                        && (used || after.starts_with("::"))
                });
                if whole {
                    named.insert(name.clone());
                }
            }
        }
        named
    }

    /// The files, and all files that they include by path.
    fn with_included(&self, files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
        let mut all = BTreeSet::new();
        let mut next = files;
        while let Some(file) = next.pop() {
            let folder = file.parent().context("a file is in a folder")?.to_owned();
            if !all.insert(file.clone()) || file.extension().is_none_or(|end| end != "rs") {
                continue;
            }
            for included in included_by(&read(&file)?) {
                let path = folder.join(included);
                let path = fs::canonicalize(&path)
                    .with_context(|| format!("{} includes {}", file.display(), path.display()))?;
                next.push(path);
            }
        }
        Ok(all.into_iter().collect())
    }

    /// The digest of the files' names in the checkout and of their content.
    fn digest(&self, files: &[PathBuf]) -> Result<String> {
        let root = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        let mut lines = BTreeSet::new();
        for file in files {
            let path = fs::canonicalize(file).with_context(|| file.display().to_string())?;
            let name = path
                .strip_prefix(&root)
                .unwrap_or(&path)
                .display()
                .to_string();
            lines.insert(format!("{name} {}", hash::file_sha256(file)?));
        }
        Ok(digest_of(lines))
    }
}

/// How everything is compiled, as a digest, and what the workspace says of each dependency. Comments do not count.
fn settings(root: &Path, compiler: &str) -> Result<(String, BTreeMap<String, String>)> {
    let mut manifest: toml::Table = parse(&root.join("Cargo.toml"))?;
    let workspace = manifest.get_mut("workspace");
    let workspace = workspace.and_then(toml::Value::as_table_mut);
    let workspace = workspace.context("Cargo.toml has no [workspace]")?;
    workspace.remove("members");
    let shared = workspace.remove("dependencies");
    let shared = shared.iter().filter_map(toml::Value::as_table).flatten();
    let shared = shared.map(|(name, value)| (name.clone(), value.to_string()));
    let config = root.join(".cargo/config.toml");
    let config: toml::Table = match config.exists() {
        true => parse(&config)?,
        false => toml::Table::new(),
    };
    let settings = [manifest.to_string(), config.to_string(), compiler.into()];
    Ok((digest_of(settings), shared.collect()))
}

/// Paths in `#[path = "…"]`, `include!("…")`, `include_str!("…")` and `include_bytes!("…")`.
fn included_by(source: &str) -> Vec<&str> {
    let starts = [
        "#[path = \"",
        "include!(\"",
        "include_str!(\"",
        "include_bytes!(\"",
    ];
    let found = starts.iter().flat_map(|start| source.split(start).skip(1));
    found.filter_map(|rest| rest.split('"').next()).collect()
}

fn digest_of(lines: impl IntoIterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    for line in lines {
        hasher.update(line);
        hasher.update("\n");
    }
    hash::hex(&hasher.finalize())
}

/// Every file below a directory; none if the directory does not exist.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in read_dir(folder)? {
            if entry.is_dir() {
                files.extend(files_below(&entry)?);
            } else {
                files.push(entry);
            }
        }
    }
    Ok(files)
}

fn read_dir(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read {}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        entries.push(entry.with_context(context)?.path());
    }
    entries.sort();
    Ok(entries)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn parse<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T> {
    toml::from_str(&read(file)?).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;

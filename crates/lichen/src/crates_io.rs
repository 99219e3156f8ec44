//! The crates of Cargo.lock, fetched by cargo and seeded into the store under the lock's own checksums.

use crate::command::{program, run};
use crate::failure::Hint;
use crate::{hash, ui};
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One registry package of Cargo.lock.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Crate {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Crate {
    /// Its file's name, in cargo's cache and in the store.
    pub fn file_name(&self) -> String {
        format!("{}-{}.crate", self.name, self.version)
    }

    /// Where the build looks for it.
    pub fn store_path(&self) -> PathBuf {
        hash::flat_store_path(
            &self.file_name(),
            self.checksum.as_deref().unwrap_or_default(),
        )
    }
}

/// The registry packages of a Cargo.lock.
pub fn locked(path: &Path) -> Result<Vec<Crate>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("cannot parse {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Crate>> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        package: Vec<Crate>,
    }
    let file: File = toml::from_str(text)?;
    Ok(file
        .package
        .into_iter()
        .filter(|c| c.checksum.is_some())
        .collect())
}

/// The files of these crates, downloaded by cargo where they are missing.
pub fn fetch(root: &Path, crates: &[Crate]) -> Result<Vec<PathBuf>> {
    match find(crates)? {
        found if found.len() == crates.len() => Ok(found),
        found => {
            ui::say(format!(
                "downloading {} crates with cargo",
                crates.len() - found.len()
            ));
            let output = run(program("cargo")
                .args(["fetch", "--locked", "--quiet"])
                .current_dir(root))?;
            if !output.status.success() {
                Err(anyhow!(
                    "cargo cannot fetch the crates: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                ))
                .hint(
                    "is the network up? If Cargo.toml was edited, `cargo check` updates Cargo.lock",
                )?;
            }
            let found = find(crates)?;
            if found.len() < crates.len() {
                let have: Vec<_> = found
                    .iter()
                    .filter_map(|f| f.file_name()?.to_str())
                    .collect();
                let lost: Vec<_> = crates
                    .iter()
                    .map(Crate::file_name)
                    .filter(|f| !have.contains(&f.as_str()))
                    .collect();
                crate::fail!(
                    hint: "unset the source replacement in cargo's configuration, or fetch from the registry itself",
                    "cargo reports success, but its cache lacks {}",
                    lost.join(", ")
                );
            }
            Ok(found)
        }
    }
}

/// Those crates that cargo's cache holds with the right content.
fn find(crates: &[Crate]) -> Result<Vec<PathBuf>> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .unwrap_or_default();
    let caches: Vec<PathBuf> = std::fs::read_dir(home.join("registry/cache"))
        .map(|dirs| dirs.flatten().map(|d| d.path()).collect())
        .unwrap_or_default();
    let mut by_name: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for entry in caches
        .iter()
        .filter_map(|c| std::fs::read_dir(c).ok())
        .flatten()
        .flatten()
    {
        by_name
            .entry(entry.file_name().to_string_lossy().into_owned())
            .or_default()
            .push(entry.path());
    }
    let mut found = Vec::new();
    for one in crates {
        for file in by_name.get(&one.file_name()).into_iter().flatten() {
            if Some(hash::file_sha256(file)?) == one.checksum {
                found.push(file.clone());
                break;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registry_packages_count() {
        let text = "version = 4\n[[package]]\nname = \"lichen\"\nversion = \"0.1.0\"\n\n\
            [[package]]\nname = \"anyhow\"\nversion = \"1.0.100\"\nsource = \"registry+x\"\nchecksum = \"abc\"\n";
        let crates = parse(text).unwrap();
        assert_eq!(crates.len(), 1);
        assert_eq!(crates[0].file_name(), "anyhow-1.0.100.crate");
        assert!(
            crates[0]
                .store_path()
                .to_str()
                .unwrap()
                .ends_with("-anyhow-1.0.100.crate")
        );
    }
}

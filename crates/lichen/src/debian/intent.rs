//! The package lists people edit: `image/debian/packages.toml`.

use crate::failure::Failure;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// What is wanted of Debian.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The release's codename.
    pub release: String,
    /// Archive components.
    pub components: Vec<String>,
    /// Named lists of packages.
    pub sets: BTreeMap<String, Set>,
    /// Suite → packages that may come from it although it is not the release.
    #[serde(default)]
    pub pins: BTreeMap<String, Vec<String>>,
    /// What a made-up package claims to provide.
    #[serde(default)]
    pub provided: Provided,
    /// Package → what an appliance that names it does without, although something that it needs depends on it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<String, Vec<String>>,
}

/// One list of packages.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The architecture it is solved for.
    pub arch: String,
    /// The packages asked for.
    pub packages: Vec<String>,
    /// Whether their dependencies come along.
    #[serde(default = "yes")]
    pub depends: bool,
}

/// See `[provided]` in packages.toml.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provided {
    /// Entries of a Provides field.
    pub packages: Vec<String>,
}

/// What decides, besides the packages that are named, which versions there are to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rules {
    /// See [`Intent::release`].
    pub release: String,
    /// See [`Intent::components`].
    pub components: Vec<String>,
    /// See [`Intent::pins`].
    pub pins: BTreeMap<String, Vec<String>>,
    /// See [`Intent::provided`].
    pub provided: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Intent {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).map_err(|e| {
            Failure {
                what: format!(
                    "cannot parse {}: {}",
                    path.display(),
                    e.to_string().trim_end()
                ),
                hint: "see the comments in that file for what a set may say".into(),
            }
            .into()
        })
    }

    /// SHA-256 of what the file means; comments and layout don't count.
    pub fn digest(&self) -> String {
        let mut sorted = self.clone();
        sorted.sets.values_mut().for_each(|s| s.packages.sort());
        let json = serde_json::to_vec(&sorted).expect("plain data");
        crate::hash::hex(&Sha256::digest(json))
    }

    /// The rules by which versions are chosen.
    pub fn rules(&self) -> Rules {
        Rules {
            release: self.release.clone(),
            components: self.components.clone(),
            pins: self.pins.clone(),
            provided: self.provided.packages.clone(),
        }
    }

    /// The architectures that sets are solved for, each once.
    pub fn architectures(&self) -> Vec<String> {
        let mut all: Vec<String> = self.sets.values().map(|s| s.arch.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The packages named for an architecture in sets with (or without) dependencies, each once.
    pub fn named(&self, arch: &str, depends: bool) -> Vec<String> {
        let sets = self
            .sets
            .values()
            .filter(|s| s.arch == arch && s.depends == depends);
        let mut all: Vec<String> = sets.flat_map(|s| s.packages.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The bare names that `[provided]` pretends to have.
    pub fn provided_names(&self) -> Vec<String> {
        self.provided
            .packages
            .iter()
            .flat_map(|p| super::relation::names(p))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        release = "trixie"
        components = ["main"]
        [sets.base]
        arch = "arm64"
        packages = ["systemd", "bash"]
        [sets.extra]
        arch = "arm64"
        packages = ["htop", "bash"]
        [sets.boot]
        arch = "arm64"
        depends = false
        packages = ["raspi-firmware"]
        [provided]
        packages = ["perl (= 99)", "perl:any"]
    "#;

    #[test]
    fn sets_of_one_architecture_are_solved_together() {
        let intent: Intent = toml::from_str(TEXT).unwrap();
        assert_eq!(intent.architectures(), ["arm64"]);
        assert_eq!(intent.named("arm64", true), ["bash", "htop", "systemd"]);
        assert_eq!(intent.named("arm64", false), ["raspi-firmware"]);
        assert_eq!(intent.provided_names(), ["perl", "perl"]);
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = toml::from_str::<Intent>(&TEXT.replace("depends =", "dependss ="))
            .unwrap_err()
            .to_string();
        assert!(error.contains("dependss"), "{error}");
    }

    #[test]
    fn the_digest_ignores_order_and_layout() {
        let a: Intent = toml::from_str(TEXT).unwrap();
        let b: Intent =
            toml::from_str(&TEXT.replace(r#""systemd", "bash""#, r#""bash",  "systemd" "#))
                .unwrap();
        assert_eq!(a.digest(), b.digest());
        let c: Intent = toml::from_str(&TEXT.replace("htop", "btop")).unwrap();
        assert_ne!(a.digest(), c.digest());
    }
}

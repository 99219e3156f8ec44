//! Secrets: those that `lichen.toml` gave, and those that the device makes because its page says so.
//!
//! Each is a file of its own on DATA, in the one folder or the other. [`provision`](crate::provision) hands them to systemd at
//! every boot and every live switch, after the missing ones have been made. What was given wins over what was made. What
//! was made is handed out only while the running generation declares it, and stays on DATA for the next that does.

mod rotate;
#[cfg(test)]
mod tests;

pub use rotate::{RotationRefused, rotate};

use crate::plan;
use crate::root::Root;
use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use protocol::lichen_toml;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;

/// What `lichen.toml` gave. Removing a file here revokes the secret from the next boot on.
pub(crate) const GIVEN: &str = "var/lib/lichen/credentials";
/// What the device made.
const MADE: &str = "var/lib/lichen/generated";
/// Where systemd looks for what a unit imports or loads by its name.
const HANDED_OUT: &str = "run/credstore";
const DECLARED: &str = "etc/lichen/secrets.json";

/// How a secret is made.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Recipe {
    bytes: usize,
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Hex,
    Base64url,
}

impl Recipe {
    /// A new value, of the kernel's random numbers: early in a boot this waits until they are good.
    fn make(self) -> Result<Vec<u8>> {
        let mut random = vec![0; self.bytes];
        let filled = SystemRandom::new().fill(&mut random);
        filled.ok().context("the kernel gives no random numbers")?;
        let text = match self.encoding {
            Encoding::Hex => random.iter().map(|byte| format!("{byte:02x}")).collect(),
            Encoding::Base64url => BASE64_URL_SAFE_NO_PAD.encode(random),
        };
        Ok(text.into_bytes())
    }
}

/// Makes and stores every secret that the running generation declares, unless it was given or made before.
pub(crate) fn make_missing(root: &Root) -> Result<()> {
    for (name, recipe) in declared(root)? {
        if !root.at(GIVEN).join(&name).exists() && !root.at(MADE).join(&name).exists() {
            store(root, &name, &recipe.make()?)?;
        }
    }
    Ok(())
}

/// Hands all secrets that this generation may have to systemd; returns their names.
pub(crate) fn hand_out(root: &Root) -> Result<Vec<String>> {
    let declared = declared(root)?;
    let mut all = stored(root, MADE)?;
    all.retain(|name, _| declared.contains_key(name));
    all.extend(stored(root, GIVEN)?);
    for (name, value) in &all {
        hand_out_one(root, name, value)?;
    }
    Ok(all.into_keys().collect())
}

fn hand_out_one(root: &Root, name: &str, value: &[u8]) -> Result<()> {
    durable::directory(&root.at(HANDED_OUT), 0o700)?;
    durable::update(&root.at(HANDED_OUT).join(name), value, 0o600).map(drop)
}

fn store(root: &Root, name: &str, value: &[u8]) -> Result<()> {
    durable::directory(&root.at("var/lib/lichen"), 0o700)?;
    durable::directory(&root.at(MADE), 0o700)?;
    durable::atomic_write(&root.at(MADE).join(name), value, 0o600)
}

fn declared(root: &Root) -> Result<BTreeMap<String, Recipe>> {
    match fs::read(root.at(DECLARED)) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("/{DECLARED}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read /{DECLARED}")),
    }
}

fn stored(root: &Root, folder: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = root.at(folder);
    let mut secrets = BTreeMap::new();
    let mut read = || -> io::Result<()> {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if lichen_toml::is_credential(&name) && entry.file_type()?.is_file() {
                secrets.insert(name, fs::read(entry.path())?);
            }
        }
        Ok(())
    };
    match read() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot read {}", folder.display()))
        }
        _ => Ok(secrets),
    }
}

/// Where a secret is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// `lichen.toml` gave it.
    Given,
    /// The device made it.
    Made,
}

/// A secret, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// Where it is from.
    pub origin: Origin,
    /// The services whose units take it.
    pub services: Vec<String>,
}

/// The secrets of a device.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Secrets(pub Vec<Secret>);

impl fmt::Display for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |secret: &Secret| secret.name.len();
        let width = self.0.iter().map(width).max().unwrap_or_default();
        for Secret {
            name,
            origin,
            services,
        } in &self.0
        {
            let origin = match origin {
                Origin::Given => "lichen.toml",
                Origin::Made => "made here",
            };
            let services = match services.as_slice() {
                [] => "no service takes it".to_owned(),
                some => some.join(" "),
            };
            writeln!(f, "{name:width$}  {origin:11}  {services}")?;
        }
        Ok(())
    }
}

/// The secrets that services get in the running generation.
pub fn list(root: &Root) -> Result<Secrets> {
    let given = stored(root, GIVEN)?;
    let names: BTreeSet<_> = given
        .keys()
        .cloned()
        .chain(declared(root)?.into_keys())
        .collect();
    let services = plan::services(root);
    let secret = |name: String| Secret {
        origin: match given.contains_key(&name) {
            true => Origin::Given,
            false => Origin::Made,
        },
        services: plan::taking(root, &name, &services),
        name,
    };
    Ok(Secrets(names.into_iter().map(secret).collect()))
}

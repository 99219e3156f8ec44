//! Decides which closures may run: if the running generation names trusted keys, every path of a closure must be signed
//! by one of them. Paths that came with the image need no signature.
//!
//! Nix itself requires no signature from root, so anyone who can copy over SSH as root could bring in any path.

use crate::generations;
use crate::hint::Hint;
use crate::root::Root;
use crate::systemd::run;
use std::collections::BTreeSet;
use std::fs;

const CONFIG: &str = "etc/nix/nix.conf";
const FACTORY: &str = "nix/registration";

/// A path of a closure has no signature by a trusted key.
#[derive(Debug, thiserror::Error)]
#[error("{toplevel} is not trusted: {reason}")]
pub struct Untrusted {
    toplevel: String,
    reason: String,
}

impl Hint for Untrusted {
    fn hint(&self) -> &'static str {
        "sign it with `nix store sign --recursive --key-file KEY TOPLEVEL` and copy it again; \
         the trusted keys are those in nix.settings.trusted-public-keys"
    }
}

/// Checks that the closure of `toplevel` may run on this device. A toplevel that is already a generation was accepted
/// before: going back must always be possible.
pub fn check(root: &Root, toplevel: &str) -> Result<(), Untrusted> {
    let on_boot = generations::on_boot(root).unwrap_or_default();
    let let_in = (on_boot.iter()).any(|(_, env)| env.toplevel.as_deref() == Some(toplevel));
    if let_in || !root.is_device() || !demanded(root) {
        return Ok(());
    }
    let untrusted = |error: anyhow::Error| Untrusted {
        toplevel: toplevel.to_owned(),
        reason: format!("{error:#}"),
    };
    let closure = run("nix-store", &["--query", "--requisites", toplevel]).map_err(untrusted)?;
    let factory = fs::read_to_string(root.at(FACTORY)).unwrap_or_default();
    let paths = unproven(&closure, &factory);
    if paths.is_empty() {
        return Ok(());
    }
    // Nix compared the content with its hash when it was imported.
    let mut arguments = vec!["store", "verify", "--no-contents", "--sigs-needed", "1"];
    arguments.extend(&paths);
    run("nix", &arguments).map(drop).map_err(untrusted)
}

/// Whether the running generation requires closures to be signed.
pub fn demanded(root: &Root) -> bool {
    !trusted(root).is_empty()
}

/// The keys that are trusted on this device.
pub fn trusted(root: &Root) -> Vec<String> {
    let config = fs::read_to_string(root.at(CONFIG)).unwrap_or_default();
    keys(&config).into_iter().map(str::to_owned).collect()
}

/// The keys in a nix.conf.
fn keys(config: &str) -> Vec<&str> {
    let values = config.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        ["trusted-public-keys", "extra-trusted-public-keys"]
            .contains(&key.trim())
            .then_some(value)
    });
    values.flat_map(str::split_whitespace).collect()
}

/// The paths of a closure that did not come with the image.
fn unproven<'a>(closure: &'a str, factory: &str) -> Vec<&'a str> {
    let factory: BTreeSet<_> = factory.lines().collect();
    let paths = closure.lines().map(str::trim);
    paths
        .filter(|path| !path.is_empty() && !factory.contains(path))
        .collect()
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;

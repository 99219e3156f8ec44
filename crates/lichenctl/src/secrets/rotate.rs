//! Rotation: a new value for a secret that the device made.
//!
//! The services that take it get the new value first, from /run. Only when they are healthy with it, it replaces the old one on
//! DATA. So after a power cut before that the old one is in use again, and nobody has to undo anything.

use super::{GIVEN, MADE};
use crate::health::Health;
use crate::hint::Hint;
use crate::journal::{note, say};
use crate::lock::GenerationsLock;
use crate::plan;
use crate::root::Root;
use crate::systemd;
use anyhow::{Context, Result};
use durable::cut;
use std::fs;

/// Why a secret has no new value.
#[derive(Debug, thiserror::Error)]
pub enum RotationRefused {
    /// It was given, so whoever gave it knows it and has to be told a new one.
    #[error("{0} is from lichen.toml, so the device does not make a new one")]
    Given(String),
    /// The running generation has no such secret.
    #[error("the page of this device has no secret {name}{}", like(nearest))]
    Unknown {
        /// Its name.
        name: String,
        /// The names most like it.
        nearest: Vec<String>,
    },
    /// The services were not healthy with the new value.
    #[error("with a new {name} the services are not healthy: {why}; {then}")]
    Undone {
        /// The secret.
        name: String,
        /// What is wrong.
        why: String,
        /// How it is with the old value.
        then: String,
    },
}

fn like(names: &[String]) -> String {
    match names {
        [] => " that the device makes".to_owned(),
        some => format!("; the nearest names: {}", some.join(", ")),
    }
}

impl Hint for RotationRefused {
    fn hint(&self) -> &'static str {
        match self {
            Self::Given(_) => {
                "name the new value in [secrets] of lichen.toml, copy that to BOOT and reboot"
            }
            Self::Unknown { .. } => "`lichenctl secret list` shows the secrets of this device",
            Self::Undone { .. } => {
                "`journalctl -b -p warning` shows the warnings and errors of the units"
            }
        }
    }
}

/// Gives a secret a new value, and restarts the running services that take it. Unless they are healthy with it, they get the old
/// one back.
pub fn rotate(root: &Root, name: &str) -> Result<()> {
    let _lock = GenerationsLock::take(root)?;
    if !root.is_device() {
        return with(root, name, &[], |_| Ok(()));
    }
    let running: Vec<_> = systemd::active()?.units.into_keys().collect();
    let (health, forgiven) = Health::load(root)?.apart_from_what_is_wrong();
    with(root, name, &running, |services| {
        say(&format!("restarting {}", services.join(" ")));
        let _ = systemd::tell("reset-failed", services);
        systemd::tell("restart", services)?;
        let others = forgiven.iter().filter(|unit| !services.contains(unit));
        health.wait(&others.cloned().collect())?;
        Ok(())
    })
}

/// The rotation itself. `restart` restarts services, and fails unless they become healthy.
pub(super) fn with(
    root: &Root,
    name: &str,
    running: &[String],
    restart: impl Fn(&[String]) -> Result<()>,
) -> Result<()> {
    if root.at(GIVEN).join(name).is_file() {
        return Err(RotationRefused::Given(name.to_owned()).into());
    }
    let declared = super::declared(root)?;
    let recipe = declared.get(name).ok_or_else(|| {
        let nearest = protocol::nearest(name, declared.keys().map(String::as_str));
        RotationRefused::Unknown {
            name: name.to_owned(),
            nearest: nearest.into_iter().map(str::to_owned).collect(),
        }
    })?;
    let old = fs::read(root.at(MADE).join(name))
        .with_context(|| format!("cannot read the present value of {name}"))?;
    let new = recipe.make()?;
    let services = plan::taking(root, name, running);
    let restart = || match services.is_empty() {
        true => Ok(()),
        false => restart(&services),
    };
    let renew = || -> Result<()> {
        super::hand_out_one(root, name, &new)?;
        cut::point("handed out");
        restart()?;
        super::store(root, name, &new)
    };
    if let Err(error) = renew() {
        let back = super::hand_out_one(root, name, &old).and_then(|()| restart());
        let then = match back {
            Ok(()) => "the old one is in use again, and they are healthy with it".to_owned(),
            Err(again) => format!(
                "the old one is in use again, and they are not healthy with it either: {again:#}"
            ),
        };
        return Err(RotationRefused::Undone {
            name: name.to_owned(),
            why: format!("{error:#}"),
            then,
        }
        .into());
    }
    note(&match services.as_slice() {
        [] => format!("{name} has a new value; no running service takes it"),
        some => format!("{name} has a new value; restarted {}", some.join(" ")),
    });
    Ok(())
}

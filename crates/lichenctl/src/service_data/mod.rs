//! The data of services: a new version of a service may leave its data in a form that the old one cannot read.
//!
//! Generations declare the data version of each service (`/etc/lichen/state.json`). Before another version runs, the
//! running generation makes a copy with its own command; if that fails, the change is refused. The copy belongs to the
//! generation that was left, and is removed with it.
//!
//! A change of versions is open until the new generation is blessed. If another generation runs before that, because
//! the new one was unhealthy or failed its trial, the copy is restored automatically before services start, and the
//! data of the newer version are kept aside. After a manual rollback, the operator is told about the copy and decides.

mod command;
pub(crate) mod copy;

pub use copy::{Restore, restore};

use crate::generations::Running;
use crate::journal::{self, note};
use crate::lock::GenerationsLock;
use crate::root::Root;
use crate::state::Generation;
use anyhow::{Context, Result};
use assemble::Stack;
use durable::cut;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that declares the services whose data are protected.
pub const FILE: &str = "etc/lichen/state.json";
const FOLDER: &str = "var/lib/lichen/state";
const CHANGES: &str = "var/lib/lichen/state/changes.json";

/// A service whose data are protected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// The version of its data. Another version of the service may be unable to read them.
    pub version: String,
    /// The directory of the data.
    pub directory: PathBuf,
    /// The user who owns them.
    pub user: String,
    /// A shell command that writes a copy of the data to stdout while the service runs.
    pub backup: String,
    /// A shell command that recreates the data in `$DIRECTORY` from such a copy on stdin.
    pub restore: String,
}

/// The services that a generation declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Declared(pub BTreeMap<String, Service>);

impl Declared {
    /// Reads what the generation with these layers declares.
    pub fn of(stack: &Stack) -> Result<Self> {
        stack
            .find(FILE)
            .map_or_else(|| Ok(Self::default()), |file| Self::read(&file))
    }

    /// Reads what the running generation declares.
    pub fn running(root: &Root) -> Result<Self> {
        match root.at(FILE) {
            file if file.exists() => Self::read(&file),
            _ => Ok(Self::default()),
        }
    }

    fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("/{FILE}"))
    }
}

/// A change of versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The toplevel that needs the new versions.
    to: String,
    /// Whether its services have run.
    ran: bool,
    services: BTreeMap<String, Versions>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Versions {
    from: String,
    to: String,
    /// The generation that the copy belongs to.
    copy: Option<Generation>,
}

/// Whether a copy is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// Without a copy the change is refused.
    Have,
    /// The change goes on without a copy, because a rollback must always be possible.
    Try,
}

/// Copies the data whose version changes in `new`, with the commands of `old`, for the running generation `from`.
/// Nothing else is changed yet.
pub fn back_up(
    root: &Root,
    from: Option<Generation>,
    old: &Declared,
    to: &str,
    new: &Declared,
    must: Must,
) -> Result<Option<Change>> {
    let mut services = BTreeMap::new();
    for (name, service, version) in differing(old, new) {
        // A toplevel under test is not a generation, so nothing could roll back to it.
        let copied = from.map_or(Ok(()), |from| copy::make(root, name, service, from));
        let mut versions = Versions {
            from: service.version.clone(),
            to: version.to_owned(),
            copy: from,
        };
        if let Err(error) = copied {
            let what = format!("cannot copy the data of {name}: {error:#}");
            anyhow::ensure!(must == Must::Try, "{what}; nothing was changed");
            journal::error(&what);
            versions.copy = None;
        } else if from.is_some() {
            note(&format!(
                "the data of {name} change to version {version}; a copy of version {} is kept",
                service.version
            ));
        }
        services.insert(name.to_owned(), versions);
    }
    Ok((!services.is_empty()).then(|| Change {
        to: to.to_owned(),
        ran: false,
        services,
    }))
}

/// The services that both declare with different versions: as defined by `old`, with the version of `new`.
pub fn differing<'a>(
    old: &'a Declared,
    new: &'a Declared,
) -> impl Iterator<Item = (&'a str, &'a Service, &'a str)> {
    old.0.iter().filter_map(|(name, service)| {
        let version = new.0.get(name)?.version.as_str();
        (version != service.version).then_some((name.as_str(), service, version))
    })
}

/// Records durably that the versions are about to change, either now or at the next boot.
pub fn open(root: &Root, change: Option<Change>, now: bool) -> Result<()> {
    let Some(change) = change else { return Ok(()) };
    let mut changes = changes(root)?;
    if changes.is_empty() {
        for name in change.services.keys() {
            copy::forget_newer(root, name)?;
        }
    }
    // The change was requested twice before the boot.
    changes.retain(|other| other.ran || other.to != change.to);
    changes.push(Change { ran: now, ..change });
    write(root, &changes)
}

/// What must be restored to run `toplevel`, if the versions were changed for another toplevel.
pub fn returning(root: &Root, toplevel: &str, declared: &Declared) -> Result<Vec<Restore>> {
    let (due, _) = decide(&changes(root)?, toplevel, declared);
    let found = due.into_iter().filter_map(|(name, copy)| {
        let restore = copy.map(|generation| Restore::new(&name, &declared.0[&name], generation));
        if restore.is_none() {
            journal::error(&format!(
                "there is no copy of the data of {name} in the version that is needed"
            ));
        }
        restore
    });
    Ok(found.collect())
}

/// Records that `toplevel` runs, and that everything it needs has been restored.
pub fn returned(root: &Root, toplevel: &str) -> Result<()> {
    let (_, mut kept) = decide(&changes(root)?, toplevel, &Declared::default());
    if let Some(last) = kept.last_mut() {
        last.ran = true;
    }
    write(root, &kept)
}

/// Closes the open changes: the running generation was blessed, so its data versions are final.
pub fn settle(root: &Root, toplevel: &str) -> Result<()> {
    let changes = changes(root)?;
    match changes.last() {
        Some(last) if last.to == toplevel => write(root, &[]),
        _ => Ok(()),
    }
}

/// Whether a change of versions is open, so that another generation might still restore its copies.
pub fn is_open(root: &Root) -> Result<bool> {
    Ok(!changes(root)?.is_empty())
}

/// Restores what is due at boot, before services start.
pub fn at_boot(root: &Root) -> Result<()> {
    let _lock = GenerationsLock::wait(root)?;
    let running = Running::read(root)
        .toplevel
        .context("cannot find out which toplevel is running")?;
    let declared = Declared::running(root)?;
    for due in returning(root, &running, &declared)? {
        restore(root, &due).inspect_err(|error| journal::error(&format!("{error:#}")))?;
    }
    returned(root, &running)
}

/// What a rollback to generation `to` can restore: the services whose versions differ, with their copies.
pub fn offered(root: &Root, to: Generation, old: &Declared, new: &Declared) -> Vec<Restore> {
    let differing = differing(old, new).filter(|(name, _, version)| {
        copy::version(root, name, to).is_some_and(|copied| copied == *version)
    });
    differing
        .map(|(name, ..)| Restore::new(name, &new.0[name], to))
        .collect()
}

/// Records durably that `restores` are due at the next boot, which will start another generation than `from`.
pub fn at_next_boot(root: &Root, from: &str, old: &Declared, restores: &[Restore]) -> Result<()> {
    let versions = |restore: &Restore| Versions {
        from: restore.service.version.clone(),
        to: old.0[&restore.name].version.clone(),
        copy: Some(restore.generation),
    };
    let services = restores.iter().map(|r| (r.name.clone(), versions(r)));
    let change = Change {
        to: from.to_owned(),
        ran: true,
        services: services.collect(),
    };
    write(root, &[change])
}

/// Removes the copies of a generation that is being removed.
pub fn forget(root: &Root, generation: Generation) -> Result<()> {
    for entry in fs::read_dir(root.at(FOLDER))
        .into_iter()
        .flatten()
        .flatten()
    {
        copy::remove(&entry.path().join(generation.to_string()))?;
    }
    Ok(())
}

/// What is due when `toplevel` runs: each service whose data have another version than it declares, with the generation
/// whose copy to restore; and the changes that stay open.
fn decide(
    changes: &[Change],
    toplevel: &str,
    declared: &Declared,
) -> (Vec<(String, Option<Generation>)>, Vec<Change>) {
    let kept = changes.iter().rposition(|change| change.to == toplevel);
    let (kept, over) = changes.split_at(kept.map_or(0, |last| last + 1));
    let due = declared.0.iter().filter_map(|(name, service)| {
        let of_service = |ran: bool| {
            let changes = over.iter().rev().filter(move |change| change.ran || !ran);
            changes.filter_map(|change| change.services.get(name))
        };
        let now = &of_service(true).next()?.to;
        let copy = of_service(false).find(|versions| versions.from == service.version);
        (*now != service.version).then(|| (name.clone(), copy.and_then(|versions| versions.copy)))
    });
    (due.collect(), kept.to_vec())
}

fn changes(root: &Root) -> Result<Vec<Change>> {
    match fs::read(root.at(CHANGES)) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("/{CHANGES}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read /{CHANGES}")),
    }
}

fn write(root: &Root, changes: &[Change]) -> Result<()> {
    if changes.is_empty() {
        return durable::remove(&root.at(CHANGES)).map(drop);
    }
    folder(root, "")?;
    durable::atomic_write(
        &root.at(CHANGES),
        &serde_json::to_vec_pretty(changes)?,
        0o600,
    )?;
    cut::point("changes");
    Ok(())
}

/// The directory of the service's copies.
pub(crate) fn folder(root: &Root, service: &str) -> Result<PathBuf> {
    durable::directory(&root.at("var/lib/lichen"), 0o700)?;
    durable::directory(&root.at(FOLDER), 0o700)?;
    let folder = root.at(FOLDER).join(service);
    durable::directory(&folder, 0o700)?;
    Ok(folder)
}

#[cfg(test)]
mod tests;

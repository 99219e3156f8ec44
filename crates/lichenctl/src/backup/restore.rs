//! Restoring: nothing of what runs is touched until the whole backup is known to be intact, and every service has made
//! data of its copy beside its present data. Then the services stop, the restore is decided by one durable write, and
//! the directories are exchanged. After a power cut before that write everything is as before; after it, the next boot
//! completes the exchange before services start.

use super::{BackupRefused, MARGIN};
use crate::journal::{note, say};
use crate::lock::GenerationsLock;
use crate::root::Root;
use crate::service_data::{self, Declared, Service, copy};
use crate::systemd;
use crate::update;
use anyhow::{Context, Result};
use backup::{Manifest, State};
use durable::cut;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where copies are unpacked. While it exists, the next boot has something to tidy or to complete.
const FOLDER: &str = "var/lib/lichen/restore";
const DECIDED: &str = "var/lib/lichen/restore/decided.json";
/// Where the data from before are kept, in the service's folder of copies.
const REPLACED: &str = "replaced";

/// A directory that is to be exchanged.
#[derive(Debug, Serialize, Deserialize)]
struct Exchange {
    service: String,
    directory: PathBuf,
    /// The number of the new directory, by which it is known wherever it is.
    inode: u64,
}

/// Restores a backup that has been decrypted.
pub fn restore(root: &Root, from: impl Read) -> Result<Manifest> {
    let _lock = GenerationsLock::take(root)?;
    complete(root)?;
    let mut stopped = Vec::new();
    let begin = || -> Result<_> {
        if service_data::is_open(root)? {
            return Err(BackupRefused::OnTrial.into());
        }
        let declared = Declared::running(root)?;
        let manifest = unpack(root, &declared, from)?;
        let services =
            || (manifest.states.iter()).map(|state| (&state.name, &declared.0[&state.name]));
        for (name, service) in services() {
            say(&format!("restoring the data of {name}"));
            prepare(root, name, service)?;
        }
        let exchanges = services().map(|(name, service)| Exchange::of(root, name, service));
        let exchanges: Vec<_> = exchanges.collect::<Result<_>>()?;
        let units = services().map(|(name, _)| format!("{name}.service"));
        stopped = stop(root, units.collect())?;
        let text = serde_json::to_vec(&exchanges)?;
        durable::atomic_write(&root.at(DECIDED), &text, 0o600)?;
        Ok((manifest, exchanges))
    };
    let (manifest, exchanges) = match begin() {
        Ok(decided) => decided,
        Err(error) => {
            tidy(root)?;
            let _ = start(&stopped);
            return Err(error.context("nothing was restored"));
        }
    };
    cut::point("decided");
    complete(root).context("the restore was interrupted, and the next boot completes it")?;
    start(&stopped).map_err(|error| BackupRefused::DoesNotStart(format!("{error:#}")))?;
    for Exchange { service, .. } in &exchanges {
        note(&format!(
            "the data of {service} were restored from a backup of {}; those from before are in /var/lib/lichen/state/{service}/{REPLACED}",
            manifest.hostname
        ));
    }
    Ok(manifest)
}

impl Exchange {
    fn of(root: &Root, name: &str, service: &Service) -> Result<Self> {
        let directory = copy::place(root, service);
        Ok(Self {
            service: name.to_owned(),
            inode: fs::metadata(whole(&directory))?.ino(),
            directory,
        })
    }

    /// Exchanges the two directories, unless that was done before a power cut, and puts the old one aside. At no time
    /// the service has no directory, which systemd would make for it.
    fn complete(&self, root: &Root) -> Result<()> {
        let Self {
            service,
            directory,
            inode,
        } = self;
        let whole = whole(directory);
        if !whole.exists() {
            return Ok(());
        }
        if fs::metadata(directory)?.ino() != *inode {
            renameat_with(CWD, &whole, CWD, directory, RenameFlags::EXCHANGE)
                .with_context(|| format!("cannot exchange {}", directory.display()))?;
            cut::point("exchange");
            durable::sync_entry(directory)?;
        }
        let replaced = service_data::folder(root, service)?.join(REPLACED);
        copy::remove(&replaced)?;
        Ok(durable::rename(&whole, &replaced)?)
    }
}

/// Completes at boot, before services start, what was decided, and removes what was not.
pub fn at_boot(root: &Root) -> Result<()> {
    if !root.at(FOLDER).exists() {
        return Ok(());
    }
    let _lock = GenerationsLock::wait(root)?;
    complete(root)
}

/// Reads the whole backup, and leaves the copies in the folder.
fn unpack(root: &Root, declared: &Declared, from: impl Read) -> Result<Manifest> {
    durable::directory(&root.at("var/lib/lichen"), 0o700)?;
    durable::directory(&root.at(FOLDER), 0o700)?;
    let place = |state: &State| {
        let path = root.at(FOLDER).join(&state.name);
        let mut options = OpenOptions::new();
        // The service's user reads it through an open descriptor; no other user can enter the directory.
        let options = options.write(true).create(true).truncate(true).mode(0o644);
        let file = options.open(&path);
        file.with_context(|| format!("cannot write {}", path.display()))
    };
    backup::read(from, |manifest| admit(root, declared, manifest), place)
}

/// Refuses what the running generation cannot use.
fn admit(root: &Root, declared: &Declared, manifest: &Manifest) -> Result<()> {
    let here = update::appliance(root)?;
    if manifest.appliance != here {
        let backup = manifest.appliance.clone();
        return Err(BackupRefused::AnotherAppliance { backup, here }.into());
    }
    let mut needed = MARGIN;
    for state in &manifest.states {
        let name = &state.name;
        let service = declared.0.get(name);
        let service = service.ok_or_else(|| BackupRefused::Unknown(name.clone()))?;
        if is_later(&state.version, &service.version) {
            return Err(BackupRefused::Later {
                service: name.clone(),
                backup: state.version.clone(),
                here: service.version.clone(),
            }
            .into());
        }
        needed = needed.saturating_add(state.bytes.saturating_mul(2));
    }
    let stat = rustix::fs::statvfs(root.at(FOLDER)).context("cannot ask how full DATA is")?;
    let free = stat.f_bavail * stat.f_frsize;
    match free < needed {
        true => Err(BackupRefused::NoRoom { needed, free }.into()),
        false => Ok(()),
    }
}

/// Whether a version of data may be too new for a service that knows `here`. Numbers are compared as such; of what is not
/// a number, only the same is known to fit.
pub(super) fn is_later(version: &str, here: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        let parts = text.split('.');
        parts.map(|part| part.parse().ok()).collect()
    };
    match (numbers(version), numbers(here)) {
        (Some(version), Some(here)) => version > here,
        _ => version != here,
    }
}

/// Lets a service make data of its copy, beside its present data.
fn prepare(root: &Root, name: &str, service: &Service) -> Result<()> {
    let directory = copy::place(root, service);
    let (half, whole) = (half(&directory), whole(&directory));
    if !directory.exists() {
        return Err(BackupRefused::NeverRan(name.to_owned()).into());
    }
    copy::remove(&whole)?;
    let from = root.at(FOLDER).join(name);
    copy::recreate(root, service, &from, &half)
        .with_context(|| format!("cannot restore the data of {name}"))?;
    cut::point("restored beside");
    durable::rename(&half, &whole)?;
    Ok(fs::remove_file(from)?)
}

fn half(directory: &Path) -> PathBuf {
    copy::beside(directory, "from-backup-partial")
}

fn whole(directory: &Path) -> PathBuf {
    copy::beside(directory, "from-backup")
}

/// Exchanges the directories of a restore that was decided; then nothing of it is left.
fn complete(root: &Root) -> Result<()> {
    let decided: Vec<Exchange> = match fs::read(root.at(DECIDED)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        text => serde_json::from_slice(&text?).with_context(|| format!("/{DECIDED}"))?,
    };
    for exchange in &decided {
        exchange.complete(root)?;
    }
    tidy(root)
}

/// Removes what is not needed any more, or was never decided.
fn tidy(root: &Root) -> Result<()> {
    durable::remove(&root.at(DECIDED))?;
    for service in Declared::running(root)?.0.values() {
        let directory = copy::place(root, service);
        copy::remove(&half(&directory))?;
        copy::remove(&whole(&directory))?;
    }
    copy::remove(&root.at(FOLDER))
}

/// Stops units; returns all that do not run any more, because others stop with what they need.
fn stop(root: &Root, units: Vec<String>) -> Result<Vec<String>> {
    if !root.is_device() {
        return Ok(Vec::new());
    }
    let active =
        || -> Result<BTreeSet<String>> { Ok(systemd::active()?.units.into_keys().collect()) };
    let before = active()?;
    say(&format!("stopping {}", units.join(" ")));
    let after = match systemd::tell("stop", &units).and_then(|()| active()) {
        Ok(after) => after,
        Err(error) => {
            let ran = units.into_iter().filter(|unit| before.contains(unit));
            let _ = start(&ran.collect::<Vec<_>>());
            return Err(error);
        }
    };
    let stopped = before.difference(&after).filter(|unit| is_lasting(unit));
    Ok(stopped.cloned().collect())
}

/// Whether a unit is one of the configuration, and not of somebody's login.
fn is_lasting(unit: &str) -> bool {
    let kinds = [".service", ".socket", ".target", ".timer", ".path"];
    kinds.iter().any(|kind| unit.ends_with(kind)) && !unit.starts_with("run-")
}

fn start(units: &[String]) -> Result<()> {
    if !units.is_empty() {
        say(&format!("starting {}", units.join(" ")));
    }
    let _ = systemd::tell("reset-failed", units);
    systemd::tell("start", units)
}

//! Restoring: nothing of what runs is touched until the whole backup is known to be intact, and every service has made
//! data of its copy beside its present data. Then the services stop, the restore is decided by one durable write, and
//! the directories are exchanged. After a power cut before that write everything is as before; after it, the next boot
//! completes the exchange before services start. So does one that is set off where the exchange fails.

use super::BackupRefused;
use crate::journal::{self, note, say};
use crate::lock::{self, GenerationsLock};
use crate::recovery;
use crate::room::Room;
use crate::root::Root;
use crate::service_data::{self, Declared, Service, copy};
use crate::systemd;
use crate::update;
use anyhow::{Context, Result};
use backup::{Manifest, State};
use durable::cut;
use protocol::recovery::Reason;
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
/// What the data from before are called, in the service's folder of copies.
const REPLACED: &str = "replaced";
/// Held by a restore from its beginning. Generations may change until the sender has sent everything.
const LOCK: &str = "run/lichen/restore.lock";

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
    let alone = lock::take(root, LOCK, "cannot lock the restore")?;
    // Who has to wait anyhow is told before everything is sent.
    drop(GenerationsLock::take(root)?);
    if root.at(DECIDED).exists() {
        return Err(BackupRefused::Unfinished.into());
    }
    let (mut lock, mut stopped) = (None, Vec::new());
    let begin = || -> Result<_> {
        let manifest = unpack(root, from)?;
        lock = Some(GenerationsLock::take(root)?);
        if service_data::is_open(root)? {
            return Err(BackupRefused::OnTrial.into());
        }
        // Another generation may run by now.
        let declared = Declared::running(root)?;
        admit(root, &declared, &manifest)?;
        let services =
            || (manifest.states.iter()).map(|state| (&state.name, &declared.0[&state.name]));
        for (name, service) in services() {
            say(&format!("restoring the data of {name}"));
            prepare(root, name, service)?;
        }
        let exchanges = services().map(|(name, service)| Exchange::of(root, name, service));
        let exchanges: Vec<_> = exchanges.collect::<Result<_>>()?;
        let units = services().map(|(name, _)| format!("{name}.service"));
        stop(root, &units.collect::<Vec<_>>(), &mut stopped)?;
        let text = serde_json::to_vec(&exchanges)?;
        durable::atomic_write(&root.at(DECIDED), &text, 0o600)?;
        Ok(manifest)
    };
    let begun = begin();
    // Decided, even if that could not be made durable.
    if !root.at(DECIDED).exists() {
        // What went wrong first is what is told.
        for also in [tidy(root), start(&stopped)] {
            let _ = also.inspect_err(|also| journal::error(&format!("{also:#}")));
        }
        let Err(error) = begun else {
            anyhow::bail!("/{DECIDED} was removed by somebody");
        };
        return Err(error.context("nothing was restored"));
    }
    cut::point("decided");
    let done = begun.and_then(|begun| Ok((begun, complete(root)?)));
    let (manifest, replaced) = match done {
        Ok(done) => done,
        Err(error) => return Err(complete_at_boot(root, error)),
    };
    start(&stopped).map_err(|error| BackupRefused::DoesNotStart(format!("{error:#}")))?;
    for (service, replaced) in replaced {
        note(&format!(
            "the data of {service} were restored from a backup of {}; those from before are in {}",
            manifest.hostname,
            replaced.display()
        ));
    }
    drop((lock, alone));
    Ok(manifest)
}

/// Reboots: services are stopped, and before they start the next boot completes what was decided.
fn complete_at_boot(root: &Root, error: anyhow::Error) -> anyhow::Error {
    let why = format!("a restore was interrupted: {error:#}");
    journal::error(&format!("{why}: rebooting"));
    recovery::announce(root, Reason::Asked, &why);
    if root.is_device()
        && let Err(also) = recovery::set_off(root, systemd::reboot_soon)
    {
        journal::error(&format!("{also:#}"));
    }
    error.context("the restore was interrupted; the device reboots, which completes it")
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

    /// Exchanges the two directories, unless that was done before a power cut, and puts the old one aside; says where it is,
    /// if that happened now. At no time the service has no directory, which systemd would make for it.
    fn complete(&self, root: &Root) -> Result<Option<PathBuf>> {
        let Self {
            service,
            directory,
            inode,
        } = self;
        let whole = whole(directory);
        if !whole.exists() {
            return Ok(None);
        }
        match fs::metadata(directory) {
            Ok(now) if now.ino() == *inode => {}
            // Somebody has removed it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                durable::rename(&whole, directory)?;
                return Ok(None);
            }
            _ => {
                renameat_with(CWD, &whole, CWD, directory, RenameFlags::EXCHANGE)
                    .with_context(|| format!("cannot exchange {}", directory.display()))?;
                cut::point("exchange");
                durable::sync_entry(directory)?;
            }
        }
        let replaced = copy::unused(root, service, REPLACED)?;
        durable::rename(&whole, &replaced)?;
        Ok(Some(replaced))
    }
}

/// Completes at boot, before services start, what was decided, and removes what was not.
pub fn at_boot(root: &Root) -> Result<()> {
    if !root.at(FOLDER).exists() {
        return Ok(());
    }
    let _lock = GenerationsLock::wait(root)?;
    complete(root).map(drop)
}

/// Reads the whole backup, and leaves the copies in the folder.
fn unpack(root: &Root, from: impl Read) -> Result<Manifest> {
    if service_data::is_open(root)? {
        return Err(BackupRefused::OnTrial.into());
    }
    let declared = Declared::running(root)?;
    tidy(root)?;
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
    let has_room = |manifest: &Manifest| -> Result<()> {
        // For the copies, and for the data that services make of them.
        let bytes = manifest.states.iter().map(|state| state.bytes);
        let bytes = bytes.fold(0, u64::saturating_add).saturating_mul(2);
        Ok(Room::of(root.at(FOLDER)).has(bytes)?)
    };
    let admit = |manifest: &Manifest| {
        admit(root, &declared, manifest)?;
        has_room(manifest)
    };
    backup::read(from, admit, place)
}

/// Refuses what the running generation cannot use.
fn admit(root: &Root, declared: &Declared, manifest: &Manifest) -> Result<()> {
    let here = update::appliance(root)?;
    if manifest.appliance != here {
        let backup = manifest.appliance.clone();
        return Err(BackupRefused::AnotherAppliance { backup, here }.into());
    }
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
    }
    Ok(())
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
    copy::recreate(root, service, &from, &half, &Room::of(root.at(FOLDER)))
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

/// Exchanges the directories of a restore that was decided; then nothing of it is left. Says where the data from before
/// are. What fails for one service keeps no other from its data.
fn complete(root: &Root) -> Result<Vec<(String, PathBuf)>> {
    let decided: Vec<Exchange> = match fs::read(root.at(DECIDED)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        text => serde_json::from_slice(&text?).unwrap_or_else(|error| {
            // It is written as a whole, so the card has lost it.
            journal::error(&format!(
                "/{DECIDED} is damaged and counts as empty: {error}"
            ));
            Vec::new()
        }),
    };
    let (mut replaced, mut failed) = (Vec::new(), None);
    for exchange in decided {
        match exchange.complete(root) {
            Ok(path) => replaced.extend(path.map(|path| (exchange.service, path))),
            Err(error) => {
                let error = error.context(format!("the data of {}", exchange.service));
                journal::error(&format!("{error:#}"));
                failed = failed.or(Some(error));
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => tidy(root).map(|()| replaced),
    }
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

/// Stops units; those that do not run any more are in `stopped`, also after an error.
fn stop(root: &Root, units: &[String], stopped: &mut Vec<String>) -> Result<()> {
    if !root.is_device() {
        return Ok(());
    }
    let active =
        || -> Result<BTreeSet<String>> { Ok(systemd::active()?.units.into_keys().collect()) };
    let before = active()?;
    let concerned = systemd::that_stop_with(units)?;
    say(&format!("stopping {}", units.join(" ")));
    let told = systemd::tell("stop", units);
    // If nobody knows what runs, it does no harm to start what does.
    *stopped = to_start(&before, &active().unwrap_or_default(), &concerned);
    told
}

/// What ran before and does not any more because of the stop, and not because it came to its end meanwhile.
fn to_start(
    before: &BTreeSet<String>,
    after: &BTreeSet<String>,
    concerned: &BTreeSet<String>,
) -> Vec<String> {
    let gone = before.difference(after);
    gone.filter(|unit| concerned.contains(*unit))
        .cloned()
        .collect()
}

fn start(units: &[String]) -> Result<()> {
    if !units.is_empty() {
        say(&format!("starting {}", units.join(" ")));
    }
    let _ = systemd::tell("reset-failed", units);
    systemd::tell("start", units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stopped_with_the_services_is_started_again() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let before = set(&[
            "app.service",
            "postgresql.service",
            "lichenctl-backup.service",
            "ssh.service",
        ]);
        let after = set(&["ssh.service"]);
        let concerned = set(&["postgresql.service", "app.service", "never-ran.service"]);
        let started = to_start(&before, &after, &concerned);
        assert_eq!(started, ["app.service", "postgresql.service"]);
    }
}

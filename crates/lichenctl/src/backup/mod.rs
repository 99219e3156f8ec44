//! Backups of the data that the services of the running generation declare, and restoring them.
//!
//! Each service makes a copy with its own command while it runs. What leaves this module is encrypted to public keys;
//! the secret ones are never on the device, which therefore restores only what has been decrypted elsewhere. The format
//! is that of the crate `backup`.

mod error;
mod record;
mod restore;
mod s3;
mod shelf;

pub use error::{BackupRefused, hint_of_archive};
#[cfg(test)]
pub(crate) use record::Told;
pub(crate) use record::metrics;
pub use restore::{at_boot, restore};

use crate::generations::{Booted, CURRENT, Running};
use crate::journal::{self, say};
use crate::lock::{self, GenerationsLock};
use crate::room::Room;
use crate::root::Root;
use crate::service_data::{Declared, copy};
use crate::state::BootState;
use crate::update;
use anyhow::{Context, Result};
use backup::{Manifest, Recipient, State};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use shelf::Kept;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

const CONFIG: &str = "etc/lichen/backup.json";
/// Where backups are kept on DATA.
pub const FOLDER: &str = "var/lib/lichen/backup";
/// Held while a backup is made on DATA.
const LOCK: &str = "run/lichen/backup.lock";
/// The pauses after which a backup that failed is tried again.
const AGAIN: [Duration; 2] = [Duration::from_secs(600), Duration::from_secs(1200)];

/// What `lichen.backup` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    recipients: Vec<String>,
    keep: usize,
    s3: Option<s3::S3>,
}

impl Config {
    /// Reads the file; none if no backups are made by themselves.
    fn load(root: &Root) -> Result<Option<Self>> {
        let path = root.at(CONFIG);
        let cannot = || format!("cannot read {}", path.display());
        match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            text => Ok(Some(
                serde_json::from_slice(&text.with_context(cannot)?).with_context(cannot)?,
            )),
        }
    }

    fn recipients(&self) -> Result<Vec<Recipient>> {
        let keys = self.recipients.iter();
        Ok(keys.map(|key| key.parse()).collect::<Result<_, _>>()?)
    }
}

/// Makes a backup on DATA, verifies it, brings it where else the configuration says, and removes old ones; says where it
/// is. The outcome is kept for the metrics. What a service cannot copy is left out, and an error names it.
pub fn keep(root: &Root) -> Result<PathBuf> {
    Run::new(root, &[], |_| ()).keep()
}

/// Does the same, and tries each step twice more after some minutes: a service may have been down for a moment, and a
/// generation on trial will be good or gone.
pub fn keep_patiently(root: &Root) -> Result<PathBuf> {
    Run::new(root, &AGAIN, std::thread::sleep).keep()
}

/// One backup on DATA, in steps that may be tried again.
struct Run<'r, W> {
    root: &'r Root,
    pauses: &'r [Duration],
    wait: W,
    /// The right to change what is on the shelf; given up during pauses.
    alone: Option<File>,
}

/// A backup on the shelf.
struct Shelved {
    kept: Kept,
    /// The name of the device.
    device: String,
    /// Why it lacks the data of a service.
    incomplete: Option<anyhow::Error>,
}

impl<'r, W: Fn(Duration)> Run<'r, W> {
    fn new(root: &'r Root, pauses: &'r [Duration], wait: W) -> Self {
        Self {
            root,
            pauses,
            wait,
            alone: None,
        }
    }

    fn keep(mut self) -> Result<PathBuf> {
        let root = self.root;
        let config = Config::load(root)?.unwrap_or_default();
        let recipients = config.recipients()?;
        if recipients.is_empty() {
            return Err(BackupRefused::NoKeys.into());
        }
        let shelved = self.step(|may_lack| shelve(root, &recipients, may_lack))?;
        let Shelved { kept, device, .. } = &shelved;
        say(&format!("{} bytes, read back and intact", kept.bytes));
        self.step(|_| {
            // Those that leave DATA are brought before, if they can be.
            let brought = match &config.s3 {
                Some(s3) => s3.bring(root, device),
                None => Ok(()),
            };
            shelf::clear(root, config.keep)?;
            brought
        })?;
        record::done(root, shelved.incomplete.as_ref())?;
        match shelved.incomplete {
            Some(error) => Err(error),
            None => Ok(shelved.kept.file),
        }
    }

    /// Tries it until it is done, or there are no more pauses; the attempt is told whether it is the last one. That it
    /// failed is kept for the metrics.
    fn step<T>(&mut self, mut attempt: impl FnMut(bool) -> Result<T>) -> Result<T> {
        let mut pauses = self.pauses.iter();
        loop {
            if self.alone.is_none() {
                self.alone = Some(alone(self.root)?);
                record::begin(self.root)?;
            }
            let pause = pauses.next();
            let error = match attempt(pause.is_none()) {
                Err(error) => error,
                done => return done,
            };
            journal::error(&format!("the backup failed: {error:#}"));
            let noted = record::failed(self.root, &error);
            let Some(pause) = pause else {
                return Err(error);
            };
            noted?;
            say(&format!("trying again in {} minutes", pause.as_secs() / 60));
            self.alone = None;
            (self.wait)(*pause);
        }
    }
}

/// Puts a backup on the shelf. It may lack what could not be copied: then the others are not without one for that.
fn shelve(root: &Root, recipients: &[Recipient], may_lack: bool) -> Result<Shelved> {
    let give_way = || shelf::give_way(root);
    let room = Room::of(root.at(FOLDER)).or(&give_way);
    let (copies, failed) = Copies::take(root, &room)?;
    let failed = match failed {
        Some(error) if !may_lack || copies.files.is_empty() => return Err(error),
        failed => failed,
    };
    let device = copies.device();
    let missing = copies.manifest.missing.join(" and ");
    let kept = shelf::put(root, &device, &room, |file| copies.write(file, recipients))?;
    let incomplete = failed.map(|error| {
        let file = kept.file.display().to_string();
        error.context(BackupRefused::Incomplete { file, missing })
    });
    let file = shelf::name_of(&kept.file);
    record::shelved(root, file, kept.bytes, incomplete.is_none())?;
    Ok(Shelved {
        kept,
        device,
        incomplete,
    })
}

/// Writes a backup to a stream, encrypted to the keys of the configuration and to these.
pub fn stream(root: &Root, recipients: &[Recipient], to: impl Write) -> Result<()> {
    let mut all = Config::load(root)?.unwrap_or_default().recipients()?;
    for key in recipients {
        if !all.contains(key) {
            all.push(key.clone());
        }
    }
    if all.is_empty() {
        return Err(BackupRefused::NoKeys.into());
    }
    let (copies, failed) = Copies::take(root, &Room::of(root.at(FOLDER)))?;
    failed.map_or(Ok(()), Err)?;
    let mut to = copies.write(to, &all)?;
    to.flush().context("cannot write the backup")
}

/// The right to change what is on the shelf, waited for; held until dropped.
fn alone(root: &Root) -> Result<File> {
    let file = lock::open(root, LOCK)?;
    file.lock().context("cannot wait for the other backup")?;
    Ok(file)
}

/// Whether somebody has this right now.
fn is_being_made(root: &Root) -> bool {
    lock::open(root, LOCK).is_ok_and(|file| file.try_lock().is_err())
}

/// The copies that the services made, until the archive of them is written. They have no names, so that nothing of them
/// stays on DATA, whatever ends this process, and nobody has to wait for a receiver that does not read.
struct Copies {
    files: BTreeMap<String, File>,
    manifest: Manifest,
}

impl Copies {
    /// Lets every service make its copy, while no other generation can come to run; also says why there are none of some,
    /// if so.
    fn take(root: &Root, room: &Room) -> Result<(Self, Option<anyhow::Error>)> {
        durable::directory(&root.at("var/lib/lichen"), 0o700)?;
        durable::directory(&root.at(FOLDER), 0o700)?;
        let _lock = GenerationsLock::wait(root)?;
        refuse_on_trial(root)?;
        let mut copies = Self {
            manifest: describe(root)?,
            files: BTreeMap::new(),
        };
        let declared = Declared::running(root)?;
        if declared.0.is_empty() {
            return Err(BackupRefused::NothingDeclared.into());
        }
        let mut failed = None;
        for (name, service) in &declared.0 {
            let made = || -> Result<(State, File)> {
                let mut file = nameless(root)?;
                copy::take(root, service, &file, room)?;
                file.rewind()?;
                Ok((State::of(name, &service.version, &file)?, file))
            };
            match made().with_context(|| format!("cannot copy the data of {name}")) {
                Ok((state, file)) => {
                    copies.manifest.states.push(state);
                    copies.files.insert(name.clone(), file);
                }
                Err(error) => {
                    journal::error(&format!("{error:#}"));
                    copies.manifest.missing.push(name.clone());
                    failed = failed.or(Some(error));
                }
            }
        }
        Ok((copies, failed))
    }

    /// The name of the device, as a part of the name of a file.
    fn device(&self) -> String {
        let name = &self.manifest.hostname;
        match name.is_empty() || name.contains('/') {
            true => "device".to_owned(),
            false => name.clone(),
        }
    }

    /// Each copy goes as soon as it is in the archive, and makes room for the rest of that.
    fn write<W: Write>(mut self, to: W, recipients: &[Recipient]) -> Result<W> {
        let files = &mut self.files;
        let open = |state: &State| {
            let mut file = files.remove(&state.name).context("there is no such copy")?;
            file.rewind().context("cannot read a copy")?;
            Ok(file)
        };
        backup::write(to, recipients, &self.manifest, open).context("cannot write the backup")
    }
}

/// A file on DATA that goes when it is closed.
fn nameless(root: &Root) -> Result<File> {
    let folder = root.at(FOLDER);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&folder, flags, Mode::RUSR | Mode::WUSR);
    let file = file.with_context(|| format!("cannot make a file in {}", folder.display()))?;
    Ok(file.into())
}

/// A generation on trial is blessed only when it gets the lock, within minutes, and copies may take longer. One that a live
/// switch has started is blessed after its boot.
fn refuse_on_trial(root: &Root) -> Result<()> {
    let state = BootState::load(&root.at("boot"));
    let trial = state.ok().and_then(|state| state.state().trial);
    let trial = trial.map(|trial| trial.generation);
    match trial.is_some() && trial == Booted::read(root).generation {
        true => Err(BackupRefused::BeforeItIsGood.into()),
        false => Ok(()),
    }
}

fn describe(root: &Root) -> Result<Manifest> {
    let text = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    };
    let running = Running::read(root);
    Ok(Manifest {
        appliance: update::appliance(root)?,
        hostname: text(root.at("proc/sys/kernel/hostname")),
        generation: running.generation.map(|generation| generation.0),
        toplevel: running.toplevel.unwrap_or_default(),
        release: text(root.at(CURRENT).join("nixos-version")),
        time: crate::record::now(),
        ..Manifest::default()
    })
}

#[cfg(test)]
mod tests;

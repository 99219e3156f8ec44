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
/// is. The outcome is kept for the metrics.
pub fn keep(root: &Root) -> Result<PathBuf> {
    let config = Config::load(root)?.unwrap_or_default();
    let recipients = config.recipients()?;
    if recipients.is_empty() {
        return Err(BackupRefused::NoKeys.into());
    }
    let _alone = alone(root)?;
    let kept = make(root, &config, &recipients);
    let noted = record::note(root, &kept);
    let kept =
        kept.inspect_err(|error| journal::error(&format!("the backup failed: {error:#}")))?;
    noted?;
    say(&format!("{} bytes, read back and intact", kept.bytes));
    Ok(kept.file)
}

/// Does the same, and tries twice more after some minutes: a service may have been down for a moment, and a generation on
/// trial will be good or gone.
pub fn keep_patiently(root: &Root) -> Result<PathBuf> {
    patiently(|| keep(root), std::thread::sleep)
}

fn patiently<T>(mut attempt: impl FnMut() -> Result<T>, wait: impl Fn(Duration)) -> Result<T> {
    for pause in AGAIN {
        match attempt() {
            Err(_) => say(&format!("trying again in {} minutes", pause.as_secs() / 60)),
            done => return done,
        }
        wait(pause);
    }
    attempt()
}

fn make(root: &Root, config: &Config, recipients: &[Recipient]) -> Result<Kept> {
    let give_way = || shelf::give_way(root);
    let room = Room::of(root.at(FOLDER)).or(&give_way);
    let copies = Copies::take(root, &room)?;
    let name = copies.device();
    let kept = shelf::put(root, &name, &room, |file| copies.write(file, recipients))?;
    drop(copies);
    // Those that leave DATA are brought before, if they can be.
    let brought = match &config.s3 {
        Some(s3) => s3.bring(root, &name),
        None => Ok(()),
    };
    shelf::clear(root, config.keep)?;
    brought.map(|()| kept)
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
    let copies = Copies::take(root, &Room::of(root.at(FOLDER)))?;
    let mut to = copies.write(to, &all)?;
    to.flush().context("cannot write the backup")
}

/// The right to change what is on the shelf, waited for; held until dropped.
fn alone(root: &Root) -> Result<File> {
    let file = lock::open(root, "run/lichen/backup.lock")?;
    file.lock().context("cannot wait for the other backup")?;
    Ok(file)
}

/// The copies that the services made, until the archive of them is written. They have no names, so that nothing of them
/// stays on DATA, whatever ends this process, and nobody has to wait for a receiver that does not read.
struct Copies {
    files: BTreeMap<String, File>,
    manifest: Manifest,
}

impl Copies {
    /// Lets every service make its copy, while no other generation can come to run.
    fn take(root: &Root, room: &Room) -> Result<Self> {
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
        for (name, service) in &declared.0 {
            let made = || -> Result<(State, File)> {
                let mut file = nameless(root)?;
                copy::take(root, service, &file, room)?;
                file.rewind()?;
                Ok((State::of(name, &service.version, &file)?, file))
            };
            let made = made().with_context(|| format!("cannot copy the data of {name}"))?;
            copies.manifest.states.push(made.0);
            copies.files.insert(name.clone(), made.1);
        }
        Ok(copies)
    }

    /// The name of the device, as a part of the name of a file.
    fn device(&self) -> String {
        let name = &self.manifest.hostname;
        match name.is_empty() || name.contains('/') {
            true => "device".to_owned(),
            false => name.clone(),
        }
    }

    fn write<W: Write>(&self, to: W, recipients: &[Recipient]) -> Result<W> {
        let open = |state: &State| {
            let mut file = &self.files[&state.name];
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

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

use crate::generations::{CURRENT, Running};
use crate::journal::{self, say};
use crate::lock::GenerationsLock;
use crate::root::Root;
use crate::service_data::{Declared, copy};
use crate::update;
use anyhow::{Context, Result};
use backup::{Manifest, Recipient, State};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

const CONFIG: &str = "etc/lichen/backup.json";
/// Where backups are kept on DATA.
pub const FOLDER: &str = "var/lib/lichen/backup";
/// Space left for all other writers, in bytes.
const MARGIN: u64 = 64 << 20;

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

/// Makes a backup on DATA, verifies it, removes old ones, and brings it where else the configuration says; says where it
/// is. The outcome is kept for the metrics.
pub fn keep(root: &Root) -> Result<PathBuf> {
    let config = Config::load(root)?.unwrap_or_default();
    let recipients = config.recipients()?;
    if recipients.is_empty() {
        return Err(BackupRefused::NoKeys.into());
    }
    let _alone = alone(root)?;
    let mut brought = record::brought(root);
    let mut made = || -> Result<_> {
        let copies = Copies::take(root)?;
        let name = copies.device();
        let kept = shelf::put(root, &name, config.keep, |file| {
            copies.write(file, &recipients)
        })?;
        drop(copies);
        if let Some(s3) = &config.s3 {
            s3.bring(root, &name, &mut brought)?;
        }
        Ok(kept)
    };
    let kept = made();
    let noted = record::note(root, &kept, brought);
    let kept =
        kept.inspect_err(|error| journal::error(&format!("the backup failed: {error:#}")))?;
    noted?;
    say(&format!("{} bytes, read back and intact", kept.bytes));
    Ok(kept.file)
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
    let _alone = alone(root)?;
    let mut to = Copies::take(root)?.write(to, &all)?;
    to.flush().context("cannot write the backup")
}

/// The right to use the folder of copies, waited for; held until dropped.
fn alone(root: &Root) -> Result<File> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    let path = root.at("run/lichen/backup.lock");
    let file = fs::OpenOptions::new().create(true).append(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    file.lock().context("cannot wait for the other backup")?;
    Ok(file)
}

/// The copies that the services made, until the archive of them is written.
struct Copies {
    folder: PathBuf,
    manifest: Manifest,
}

impl Copies {
    /// Lets every service make its copy, while no other generation can come to run.
    fn take(root: &Root) -> Result<Self> {
        durable::directory(&root.at("var/lib/lichen"), 0o700)?;
        durable::directory(&root.at(FOLDER), 0o700)?;
        let folder = root.at(FOLDER).join(".copies");
        // A power cut may have left them.
        copy::remove(&folder)?;
        let _lock = GenerationsLock::wait(root)?;
        let mut copies = Self {
            manifest: describe(root)?,
            folder,
        };
        durable::directory(&copies.folder, 0o700)?;
        let declared = Declared::running(root)?;
        if declared.0.is_empty() {
            return Err(BackupRefused::NothingDeclared.into());
        }
        for (name, service) in &declared.0 {
            let made = || -> Result<State> {
                let path = copies.folder.join(name);
                copy::take(root, service, &path)?;
                Ok(State::of(name, &service.version, File::open(path)?)?)
            };
            let state = made().with_context(|| format!("cannot copy the data of {name}"))?;
            copies.manifest.states.push(state);
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
            let path = self.folder.join(&state.name);
            File::open(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        backup::write(to, recipients, &self.manifest, open).context("cannot write the backup")
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        let _ = copy::remove(&self.folder);
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

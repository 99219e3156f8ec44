//! `lichen backup`, `restore`: the data of a device's services, in a file that only the owner of a key can read.
//!
//! The key never leaves this machine: a backup is decrypted, and read to its end, here; then it goes through SSH.

use super::key;
use crate::remote::{Device, SshArgs};
use crate::ui;
use anyhow::{Context, Result};
use backup::{BackupError, Identity, Manifest, Sum};
use protocol::command::Command;
use protocol::progress::{Event, Listener};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Back up the data of a device's services into a file
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// The device, as ssh knows it
    host: String,
    /// The file to write; without it, one that is named after the device and the time
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    ssh: SshArgs,
}

/// Restore the data of services from a backup
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The device, as ssh knows it
    host: String,
    /// The backup
    file: PathBuf,
    /// The file of the key that opens it, instead of that of `lichen key backup`
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    ssh: SshArgs,
}

/// Runs `lichen backup`.
pub fn backup(args: &BackupArgs) -> Result<()> {
    let file = args.to.clone().unwrap_or_else(|| named(&args.host));
    if file.exists() {
        crate::fail!(hint: "choose another name with --to", "there is a file already: {}", file.display());
    }
    let own = key::path_of_backup_key();
    let keys = match own.exists() {
        true => key::keys_in(&own)?,
        false => Vec::new(),
    };
    let recipients: Vec<_> = keys.iter().map(|key| key.recipient().to_string()).collect();
    let device = Device::connect(&args.host, &args.ssh)?;
    let cannot = || format!("cannot write {}", file.display());
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    // Under its name it appears when it is whole and was read back.
    let mut aside =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(cannot)?;
    let order = Command::Backup {
        recipients: &recipients,
    };
    let mut to = Summing(aside.as_file_mut(), Sum::default());
    let ended = device.receive(&order.line(), &mut to, &mut listen(&device))?;
    let sent = to.1.finish();
    device.success(ended)?;
    aside.as_file().sync_all().with_context(cannot)?;
    let arrived = sum_of(aside.path())?;
    anyhow::ensure!(
        arrived == sent,
        "{} does not read as it was written",
        aside.path().display()
    );
    let bytes = ui::bytes(arrived.0);
    if keys.is_empty() {
        ui::say(format!(
            "{bytes}, read back, but not opened: the key of this device's configuration is not here"
        ));
    } else {
        let manifest = check(aside.path(), &keys)?;
        ui::say(format!(
            "{bytes}, read back and intact: {}",
            about(&manifest)
        ));
    }
    aside.persist_noclobber(&file).with_context(cannot)?;
    println!("{}", file.display());
    Ok(())
}

/// Runs `lichen restore`.
pub fn restore(args: &RestoreArgs) -> Result<()> {
    let own = key::path_of_backup_key();
    let identity = args.identity.as_ref().unwrap_or(&own);
    let keys = key::keys_in(identity)?;
    let manifest = check(&args.file, &keys)?;
    ui::say(about(&manifest));
    let device = Device::connect(&args.host, &args.ssh)?;
    let mut feed = |to: &mut dyn io::Write| -> io::Result<()> {
        let plain = File::open(&args.file).map_err(anyhow::Error::from);
        let plain = plain.and_then(|file| backup::decrypt(file, &keys));
        io::copy(&mut plain.map_err(io::Error::other)?, to).map(drop)
    };
    let ended = device.run(&Command::Restore.line(), &mut feed, &mut listen(&device))?;
    device.success(ended).map(drop)
}

/// Reads the whole backup, and says what is in it.
fn check(file: &Path, keys: &[Identity]) -> Result<Manifest> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let read = backup::decrypt(opened, keys)
        .and_then(|plain| backup::read(plain, |_| Ok(()), |_| Ok(io::sink())));
    read.map_err(|error| {
        let hint = match error.downcast_ref() {
            Some(BackupError::Damaged { .. }) => "take another backup; nothing was restored of this one",
            Some(BackupError::AnotherKey(_)) => "--identity names the file of the right key",
            Some(BackupError::Newer(_)) => "use the `lichen` that is as new as the device that it is of",
            Some(BackupError::NotABackup) => "give a file that `lichen backup` wrote, or one of /var/lib/lichen/backup on a device",
            _ => return error.context(format!("cannot read {}", file.display())),
        };
        let what = format!("{}: {error:#}", file.display());
        crate::failure::Failure { what, hint: hint.to_owned() }.into()
    })
}

/// What is in it: "climate of rack7 (generation 3): the data of climate"
fn about(manifest: &Manifest) -> String {
    let Manifest {
        appliance,
        hostname,
        generation,
        states,
        missing,
        ..
    } = manifest;
    let generation = generation.map_or_else(String::new, |n| format!(" (generation {n})"));
    let states: Vec<_> = states.iter().map(|state| state.name.as_str()).collect();
    let time = i64::try_from(manifest.time)
        .ok()
        .and_then(|time| jiff::Timestamp::from_second(time).ok());
    let time = time.map_or_else(String::new, |time| format!(", made at {time} by its clock"));
    let missing = match missing.is_empty() {
        true => String::new(),
        false => format!("; those of {} could not be copied", missing.join(", ")),
    };
    format!(
        "{appliance} of {hostname}{generation}: the data of {}{time}{missing}",
        states.join(", ")
    )
}

/// `rack7-20261130T110000Z.tar.zst.age`
fn named(host: &str) -> PathBuf {
    let host = host.rsplit('@').next().unwrap_or(host);
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    PathBuf::from(format!("{host}-{now}.tar.zst.age").replace('/', "-"))
}

/// Passes on what the device says meanwhile.
fn listen<'a>(device: &'a Device) -> impl FnMut(&str) + use<'a> {
    let mut listener = Listener::default();
    move |line| {
        if let Some(Event::Said { text }) = listener.hear(line) {
            ui::say(format!("{}: {text}", device.host));
        }
    }
}

/// A file, and the sum of what was written to it.
struct Summing<'a>(&'a mut File, Sum);

impl io::Write for Summing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.0.write(bytes)?;
        self.1.add(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn sum_of(file: &Path) -> Result<(u64, String)> {
    let read = File::open(file).and_then(|file| backup::State::of("", "", file));
    let read = read.with_context(|| format!("cannot read back {}", file.display()))?;
    Ok((read.bytes, read.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::hint_of;
    use backup::State;
    use std::fs;

    fn backup_of(folder: &Path) -> (PathBuf, Identity) {
        let key = Identity::generate();
        let copy = b"a history".as_slice();
        let manifest = Manifest {
            appliance: "climate".into(),
            hostname: "rack7".into(),
            generation: Some(3),
            time: 1_764_500_000,
            states: vec![State::of("climate", "1", copy).unwrap()],
            ..Manifest::default()
        };
        let archive =
            backup::write(Vec::new(), &[key.recipient()], &manifest, |_| Ok(copy)).unwrap();
        let file = folder.join("rack7.tar.zst.age");
        fs::write(&file, archive).unwrap();
        (file, key)
    }

    #[test]
    fn a_backup_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = backup_of(folder.path());
        let mut manifest = check(&file, &[key]).unwrap();
        let expected = "climate of rack7 (generation 3): the data of climate, made at 2025-11-30T10:53:20Z by its clock";
        assert_eq!(about(&manifest), expected);
        manifest.missing = vec!["redis-rack".into()];
        let expected = format!("{expected}; those of redis-rack could not be copied");
        assert_eq!(about(&manifest), expected);
    }

    #[test]
    fn a_backup_with_one_byte_changed_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = backup_of(folder.path());
        let whole = fs::read(&file).unwrap();
        for at in 4..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&file, changed).unwrap();
            let error = check(&file, std::slice::from_ref(&key)).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.starts_with(&format!("{}: ", file.display())), "{told}");
            assert!(
                told.contains("damaged") || told.contains("another key"),
                "byte {at}: {told}"
            );
            assert!(hint_of(&error).is_some(), "byte {at}");
        }
    }

    #[test]
    fn a_key_that_is_not_there_says_how_to_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = key::keys_in(&folder.path().join("backup-key")).unwrap_err();
        assert!(hint_of(&error).unwrap().contains("lichen key backup"));
        let (file, _) = backup_of(folder.path());
        let error = check(&file, &[Identity::generate()]).unwrap_err();
        assert_eq!(
            hint_of(&error).unwrap(),
            "--identity names the file of the right key"
        );
        fs::write(&file, "notes").unwrap();
        let error = check(&file, &[Identity::generate()]).unwrap_err();
        assert!(format!("{error:#}").ends_with("it is not a backup"));
    }

    #[test]
    fn a_file_is_named_after_the_device_and_not_after_who_logs_in() {
        let name = named("root@rack7").display().to_string();
        assert!(
            name.starts_with("rack7-2") && name.ends_with("Z.tar.zst.age"),
            "{name}"
        );
    }
}

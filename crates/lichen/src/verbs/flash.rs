//! `lichen flash`: writes an appliance's image and one device's own settings to a card, and reads everything back.

use super::build;
use crate::failure::Hint;
use crate::flash::disks;
use crate::flash::progress::Progress;
use crate::flash::source::Source;
use crate::flash::target::{self, Identity, Target};
use crate::workspace::Workspace;
use crate::{ask, flash, lichen_toml, text, ui};
use anyhow::{Context, Result};
use protocol::lichen_toml::{Provision, Secret, Ssh, Wifi};
use rustix::fs::Advice;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Write an image to a card, with the host name, keys and secrets of one device; verifies everything
#[derive(Debug, clap::Args)]
pub struct FlashArgs {
    /// A file appliances/APPLIANCE.nix, which is built first, or the path of an .img or .img.zst
    #[arg(value_name = "APPLIANCE-OR-IMAGE", required_unless_present = "list")]
    image: Option<String>,
    /// The whole disk, such as /dev/sdb or /dev/mmcblk0
    #[arg(required_unless_present = "list")]
    device: Option<PathBuf>,
    /// Show the disks of this machine, and which can be written to
    #[arg(long, exclusive = true)]
    list: bool,
    #[command(flatten)]
    owner: OwnerArgs,
    /// Do not ask before everything on the disk is lost
    #[arg(long)]
    yes: bool,
    /// Do not read the card back; its real size is not checked, either
    #[arg(long)]
    no_verify: bool,
    /// DEVICE is a regular file with the size of a card, for QEMU or to be written elsewhere
    #[arg(long)]
    file: bool,
}

/// The content of lichen.toml on the card.
#[derive(Debug, clap::Args)]
struct OwnerArgs {
    /// The device's host name
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Its time zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// A public key that may log in as root, or a file of them
    #[arg(long, value_name = "FILE|KEY")]
    ssh_key: Vec<String>,
    /// The Wi-Fi to join
    #[arg(long, value_name = "SSID")]
    wifi: Option<String>,
    /// A file with its passphrase, or - for standard input; an empty one for an open network. Asked for if not given
    #[arg(long, value_name = "FILE", requires = "wifi")]
    wifi_passphrase_file: Option<PathBuf>,
    /// The country whose rules for radio apply, such as DE
    #[arg(long, value_name = "CC", requires = "wifi")]
    wifi_country: Option<String>,
    /// The Wi-Fi does not announce its name
    #[arg(long, requires = "wifi")]
    wifi_hidden: bool,
    /// A credential that a service imports by this name, from a file, or - for standard input
    #[arg(long, value_name = "NAME=FILE")]
    secret: Vec<String>,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &FlashArgs) -> Result<()> {
    let (Some(image), Some(device)) = (&args.image, &args.device) else {
        print!("{}", disks::table(&disks::read()?));
        return Ok(());
    };
    // Check everything before the long work, and before anything is written.
    let path = is_path(image).then(|| PathBuf::from(image));
    if path.is_none() {
        workspace.check_appliance(image)?;
    }
    let toml = args.owner.lichen_toml()?;
    let device = &resolve(device, args.file)?;
    check(device, args.file, 0)?;
    target::check_permission(device)?;
    let chosen = Identity::at(device)?;

    let path = match path {
        Some(path) => path,
        None => build::image(workspace, image, false)?.image,
    };
    let source = Source::open(&path, &Progress::default())?;
    // From before the question to the last byte it stays open: what is shown is what is written to, whatever happens to its name.
    let card = match args.file {
        true => Target::file(device)?,
        false => Target::device(device)?,
    };
    card.must_be(&chosen, device)?;
    ui::say(check(device, args.file, source.size)?);
    card.must_be(&Identity::at(device)?, device)?;
    if !args.yes {
        confirm(device)?;
    }
    // Up to here, a signal simply ends the program.
    let progress = Progress::listening()?;
    flash::flash(&card, &source, !args.no_verify, &progress, || {
        give(&card, toml.as_deref())
    })?;
    drop(card);
    ui::say(format!(
        "{} is ready; if your desktop opens it now, eject it before you take it out",
        device.display()
    ));
    Ok(())
}

fn is_path(image: &str) -> bool {
    image.contains('/') || image.ends_with(".img") || image.ends_with(".zst")
}

/// The device's real name, because names such as /dev/disk/by-id/… are links.
fn resolve(device: &Path, file: bool) -> Result<PathBuf> {
    let hint = match file {
        true => format!(
            "truncate -s 4G {} makes a file of the size of a card",
            device.display()
        ),
        false => "./lichen flash --list shows what can be written to".into(),
    };
    std::fs::canonicalize(device)
        .with_context(|| format!("there is no {}", device.display()))
        .hint(&hint)
}

/// Refuses a target that must not be overwritten; returns a description of it and its content.
fn check(device: &Path, file: bool, needs: u64) -> Result<String> {
    let name = device.display();
    let kind = std::fs::metadata(device).with_context(|| format!("cannot inspect {name}"))?;
    if file {
        if !kind.is_file() {
            crate::fail!(hint: "leave out --file", "{name} is not a regular file");
        }
        if kind.len() < needs {
            return Err(disks::Refusal::TooSmall {
                has: kind.len(),
                needs,
            }
            .about(device)
            .into());
        }
        return Ok(format!("{name}: {}, a regular file", ui::bytes(kind.len())));
    }
    if !kind.file_type().is_block_device() {
        crate::fail!(hint: "./lichen flash --list shows disks; --file writes to a regular file", "{name} is not a disk");
    }
    let disks = disks::read()?;
    match disks::usable(&disks, device, needs) {
        Ok(disk) => Ok(disk.summary()),
        Err(refusal) => Err(refusal.about(device).into()),
    }
}

fn confirm(device: &Path) -> Result<()> {
    let name = device.file_name().unwrap_or_default().to_string_lossy();
    let question = format!("Everything on it will be lost. Type {name} to go on: ");
    let answer = ask::line(&question).hint("--yes goes on without asking")?;
    if answer.trim() != name {
        crate::fail!(hint: format!("type {name}, or give --yes"), "nothing was written");
    }
    Ok(())
}

/// Writes lichen.toml to the card, durably, and reads it back.
fn give(card: &Target, toml: Option<&str>) -> Result<()> {
    let Some(toml) = toml else {
        return Ok(());
    };
    let device = &card.path();
    card::write_to_boot(device, &[(lichen_toml::NAME, toml.as_bytes())])?;
    let context = "cannot write to the card's BOOT";
    let file = File::open(device).context(context)?;
    file.sync_all().context(context)?;
    // Drop the kernel's cache, so that it is read from the card.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).context(context)?;
    if card::read_from_boot(device, lichen_toml::NAME)? != toml.as_bytes() {
        crate::fail!(hint: "take another card", "lichen.toml on the card differs from what was written");
    }
    Ok(())
}

impl OwnerArgs {
    /// The options as lichen.toml, if there are any; refuses what the device would refuse.
    fn lichen_toml(&self) -> Result<Option<String>> {
        let wanted = self.provision()?;
        if wanted == Provision::default() {
            return Ok(None);
        }
        checked(&wanted, "./lichen flash --help").map(Some)
    }

    fn provision(&self) -> Result<Provision> {
        let sources = (self
            .secret
            .iter()
            .filter_map(|s| s.split_once('='))
            .map(|(_, file)| Path::new(file)))
        .chain(self.wifi_passphrase_file.as_deref());
        if sources.filter(|file| *file == Path::new("-")).count() > 1 {
            crate::fail!(hint: "use a file for all but one of them", "only one secret can come from standard input");
        }
        let mut authorized_keys = Vec::new();
        for key in &self.ssh_key {
            authorized_keys.extend(keys(key)?);
        }
        let wifi = match &self.wifi {
            None => None,
            Some(ssid) => Some(Wifi {
                ssid: ssid.clone(),
                passphrase: self.passphrase(ssid)?,
                country: self.wifi_country.clone(),
                hidden: self.wifi_hidden,
            }),
        };
        Ok(Provision {
            hostname: self.hostname.clone(),
            timezone: self.timezone.clone(),
            wifi,
            ssh: (!authorized_keys.is_empty()).then_some(Ssh { authorized_keys }),
            secrets: secrets(&self.secret)?,
        })
    }

    fn passphrase(&self, ssid: &str) -> Result<Option<Secret>> {
        let text = match &self.wifi_passphrase_file {
            Some(file) => read(file)?,
            None => ask::secret(&format!("Passphrase of {ssid} (empty: an open network): "))
                .hint("--wifi-passphrase-file FILE")?,
        };
        Ok((!text.is_empty()).then(|| text.into()))
    }
}

/// The settings as the text of lichen.toml; refuses what the device would refuse.
pub fn checked(wanted: &Provision, help: &str) -> Result<String> {
    let text = lichen_toml::text(wanted)?;
    let problems = lichen_toml::problems(&text);
    if !problems.is_empty() {
        let lines: Vec<String> = problems
            .iter()
            .map(|p| format!("{} {}", option(&p.key), p.message))
            .collect();
        crate::fail!(hint: help, "{}", lines.join("\n"));
    }
    Ok(text)
}

/// The secrets in options such as `NAME=FILE`, by their names.
pub fn secrets(options: &[String]) -> Result<BTreeMap<String, Secret>> {
    let mut secrets = BTreeMap::new();
    for secret in options {
        let Some((name, file)) = secret.split_once('=') else {
            crate::fail!(hint: format!("--secret {secret}=FILE, or {secret}=- for standard input"), "--secret {secret} names no file");
        };
        let value = Secret::from(read(Path::new(file))?);
        if secrets.insert(name.to_owned(), value).is_some() {
            crate::fail!(hint: "give it once", "--secret {name} is given twice");
        }
    }
    Ok(secrets)
}

/// The keys in an option, which is a key itself or names a file.
fn keys(option: &str) -> Result<Vec<String>> {
    let is_key = ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|kind| option.starts_with(kind))
        && option.contains(' ');
    if is_key {
        return Ok(vec![option.into()]);
    }
    let text = read(Path::new(option))
        .hint("--ssh-key takes the line of a .pub file, or the file's path")?;
    if text.contains("PRIVATE KEY") {
        crate::fail!(hint: format!("--ssh-key {option}.pub"), "{option} is a private key, which is never given away");
    }
    let lines = text.lines().map(str::trim);
    let keys: Vec<String> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(String::from)
        .collect();
    if keys.is_empty() {
        crate::fail!(hint: "ssh-keygen -t ed25519 makes a key", "{option} holds no public key");
    }
    Ok(keys)
}

/// The content of a file without the final line break that editors and `echo` add; `-` is standard input.
fn read(file: &Path) -> Result<String> {
    let text = text::read(file)?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// The option for a key of lichen.toml.
fn option(key: &str) -> String {
    match key {
        "wifi.ssid" => "--wifi".into(),
        "wifi.passphrase" => "--wifi-passphrase-file".into(),
        "wifi.country" => "--wifi-country".into(),
        "wifi.hidden" => "--wifi-hidden".into(),
        key if key.starts_with("ssh.") => "--ssh-key".into(),
        key => match key.strip_prefix("secrets.") {
            Some(name) => format!("--secret {name}"),
            None if key.is_empty() => "lichen.toml".into(),
            None => format!("--{key}"),
        },
    }
}

#[cfg(test)]
#[path = "flash_tests.rs"]
mod tests;

//! The stored settings on DATA: `provision.toml`, and one file per secret.
//!
//! The settings are first stored durably and then wiped from BOOT. A note on DATA tells a half-wiped file from an
//! invalid one, so that a power cut during wiping neither leaves the file readable nor loses one that was not stored.

use super::{fault, zone_exists};
use crate::root::Root;
use crate::secrets::GIVEN;
use anyhow::{Context, Result};
use durable::cut;
use protocol::lichen_toml::{self, LIMIT, Problem, Provision};
use protocol::provision::{Fate, Report};
use std::fs::{self, File};
use std::io::{self, Read};

const SOURCE: &str = "boot/lichen.toml";
const FOLDER: &str = "var/lib/lichen";
const STORED: &str = "var/lib/lichen/provision.toml";
/// This note says that the content of the file on BOOT is stored, and that the file is being wiped.
const WIPING: &str = "var/lib/lichen/wiping";
/// This note says that the stored settings are from a file with mistakes, and that no file without any has been there.
const PARTIAL: &str = "var/lib/lichen/partial";
const HEADER: &str = "# What lichen.toml said, kept by `lichenctl provision`. To change it, put a lichen.toml on BOOT.\n\n";

/// Stores `lichen.toml` from BOOT, if there is one.
pub(super) fn take_in(root: &Root, report: &mut Report) {
    let wiping = root.at(WIPING).exists();
    let bytes = match read(root) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            if wiping {
                fault(report, durable::remove(&root.at(WIPING)).map(drop));
            }
            if root.at("boot/lichen.toml.txt").exists() {
                report.problems.push(Problem::of_file(
                    "is named lichen.toml.txt: rename it to lichen.toml",
                ));
            }
            return;
        }
        Err(problem) => return reject(report, vec![problem]),
    };
    // A text file contains no zeros; a file whose wiping was interrupted does.
    if wiping && bytes.contains(&0) {
        return fault(report, wipe(root));
    }
    let (new, problems) = lichen_toml::read_in_part(&bytes, &|zone| zone_exists(root, zone));
    if problems.is_empty() {
        match store(root, new) {
            Ok(()) => {
                report.file = Fate::Stored;
                let wiped =
                    wipe(root).context("lichen.toml is stored, but is still readable on BOOT");
                fault(report, wiped);
            }
            Err(error) => {
                report.file = Fate::Kept;
                report.faults.push(format!("{error:#}"));
            }
        }
        return;
    }
    reject(report, problems);
    // Nothing was right before, so there is nothing to protect: without its keys, nobody could reach the device to correct it.
    let first = !root.at(STORED).exists() || root.at(PARTIAL).exists();
    if first && new != Provision::default() {
        match store_in_part(root, new) {
            Ok(()) => report.file = Fate::Partial,
            Err(error) => report.faults.push(format!("{error:#}")),
        }
    }
}

fn reject(report: &mut Report, problems: Vec<Problem>) {
    report.file = Fate::Rejected;
    report.problems.extend(problems);
}

fn read(root: &Root) -> Result<Option<Vec<u8>>, Problem> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(root.at(SOURCE))?
            .take(LIMIT + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::of_file(format!("cannot be read ({error})"))),
    }
}

/// Stores all of a file, and notes that it may be wiped.
fn store(root: &Root, new: Provision) -> Result<()> {
    settings(root, new)?;
    durable::remove(&root.at(PARTIAL))?;
    cut::point("whole");
    durable::update(&root.at(WIPING), b"", 0o600)?;
    cut::point("note");
    Ok(())
}

/// Stores what is right in a file that stays.
fn store_in_part(root: &Root, new: Provision) -> Result<()> {
    folders(root)?;
    durable::update(&root.at(PARTIAL), b"", 0o600)?;
    cut::point("partial");
    settings(root, new)
}

fn settings(root: &Root, mut new: Provision) -> Result<()> {
    let secrets = std::mem::take(&mut new.secrets);
    folders(root)?;
    for (name, secret) in &secrets {
        durable::update(
            &root.at(GIVEN).join(name),
            secret.reveal().as_bytes(),
            0o600,
        )?;
        cut::point("secret");
    }
    let merged = load(root)?.merge(new);
    let text = toml::to_string(&merged).context("cannot store the content of lichen.toml")?;
    durable::update(
        &root.at(STORED),
        format!("{HEADER}{text}").as_bytes(),
        0o600,
    )?;
    cut::point("provision.toml");
    Ok(())
}

fn wipe(root: &Root) -> Result<()> {
    durable::wipe(&root.at(SOURCE))?;
    cut::point("wiped");
    durable::remove(&root.at(WIPING)).map(drop)
}

fn folders(root: &Root) -> Result<()> {
    durable::directory(&root.at(FOLDER), 0o700)?;
    durable::directory(&root.at(GIVEN), 0o700)
}

/// The stored settings without the secrets; empty if nothing was ever provisioned. Settings that this version does not
/// understand are ignored, because after a rollback the other settings must still apply.
pub(super) fn load(root: &Root) -> Result<Provision> {
    let path = root.at(STORED);
    match fs::read_to_string(&path) {
        // `apply` checks whether the time zone still exists.
        Ok(text) => Ok(lichen_toml::parse(&text, &|_| true).0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Provision::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

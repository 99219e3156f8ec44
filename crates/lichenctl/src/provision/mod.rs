//! `lichen.toml`: the settings that a device reads from its card. [`protocol::lichen_toml`] defines the format.
//!
//! A valid file on BOOT is stored on DATA, and only when it is durable there, it is wiped from BOOT, because anyone who
//! holds the card can read BOOT. A file with any error stays in place, and every error is reported on the journal and
//! the console. If earlier settings are stored, they stay in force, and nothing of it is used; of a first file, what is right
//! is used, because nobody could reach the device otherwise. A later file is merged over the stored one:
//! `hostname`, `timezone`, `[wifi]` and `[ssh]` are each replaced as a whole if the new file has them; secrets are
//! replaced one by one.
//!
//! At every boot, the stored settings are applied: to the tmpfs above /etc, to /run and to iwd. So are the
//! secrets that the device makes.
//!
//! After a power cut between any two steps, the next boot reaches the same state. An invalid file is not a fault of the
//! device, so the unit does not fail; it fails if the device cannot write.

mod apply;
mod store;
#[cfg(test)]
mod tests;
mod wifi;

pub use wifi::{
    knows_any as knows_wifi, other_passphrase as other_wifi_passphrase, works as wifi_works,
};

use crate::root::Root;
use crate::secrets;
use anyhow::Result;
use protocol::provision::Report;

/// Where the [`Report`] of this boot is kept.
pub const REPORT: &str = "run/lichen/provision.json";
const ZONES: &str = "usr/share/zoneinfo";

/// Stores the file on BOOT, makes the secrets that are missing, applies the stored settings, and leaves the report in /run.
pub fn run(root: &Root) -> Report {
    let mut report = Report::default();
    store::take_in(root, &mut report);
    fault(&mut report, secrets::make_missing(root));
    apply::apply(root, &mut report);
    if let Err(error) = save(root, &report) {
        report.faults.push(format!("{error:#}"));
    }
    report
}

fn save(root: &Root, report: &Report) -> Result<()> {
    let path = root.at(REPORT);
    durable::directory(&root.at("run/lichen"), 0o755)?;
    durable::update(&path, &serde_json::to_vec_pretty(report)?, 0o644)?;
    Ok(())
}

/// The report of this boot, if provisioning has run.
pub fn report(root: &Root) -> Option<Report> {
    serde_json::from_slice(&std::fs::read(root.at(REPORT)).ok()?).ok()
}

fn zone_exists(root: &Root, zone: &str) -> bool {
    protocol::lichen_toml::zone_exists(&root.at(ZONES), zone)
}

/// Records something that the device could not do.
fn fault(report: &mut Report, result: Result<()>) {
    if let Err(error) = result {
        report.faults.push(format!("{error:#}"));
    }
}

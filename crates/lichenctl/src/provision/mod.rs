//! `lichen.toml`: what a device is told by the card it boots from. Its format is [`protocol::lichen_toml`].
//!
//! A file on BOOT that is right is stored on DATA, and only when that is durable wiped from BOOT, for BOOT
//! can be read by whoever holds the card. One that is wrong in any point is not used at all: every point is
//! reported on journal and console, the file stays where it is, and what was provisioned earlier stays in
//! force. A later file merges over the stored one: `hostname`, `timezone`, `[wifi]` and `[ssh]` are each
//! replaced whole where the new file has them, secrets one by one.
//!
//! Then, at every boot, what is stored is applied: to the tmpfs above /etc, to /run and to iwd.
//!
//! The plug may be pulled between any two steps: the next boot ends in the same state. A bad file is the
//! user's and no fault of the device: the unit does not fail for it. A device that can't write fails.

mod apply;
mod store;
#[cfg(test)]
mod tests;

use crate::durable;
use crate::root::Root;
use anyhow::Result;
use protocol::provision::Report;

/// Where the [`Report`] of this boot is kept.
pub const REPORT: &str = "run/lichen/provision.json";

/// Takes in the file on BOOT, applies what is stored, and leaves the report in /run.
pub fn run(root: &Root) -> Report {
    let mut report = Report::default();
    store::take_in(root, &mut report);
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

/// Notes that the device could not do something.
fn fault(report: &mut Report, result: Result<()>) {
    if let Err(error) = result {
        report.faults.push(format!("{error:#}"));
    }
}

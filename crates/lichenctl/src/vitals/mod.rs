//! What the device knows of itself: for `lichenctl status`, and every minute as metrics in /run, which its services pass on
//! with their own.
//!
//! Services cannot find it out themselves: they are shut off from BOOT, from the kernel's messages and from its clock.
//! Nothing here writes to the card.

mod card;
mod certificates;
mod io_errors;
mod metrics;
mod wifi;

use self::io_errors::IoErrors;
use crate::backup;
use crate::fallback::Fallbacks;
use crate::generations::{self, Booted, CURRENT, Running};
use crate::record;
use crate::root::Root;
use crate::state::{BootState, Generation};
use crate::sys;
use anyhow::Result;
use protocol::status::{Following, Standing};
use protocol::vitals::{Time, Vitals};
use soc::Soc;
use std::fs;

/// Where the metrics are.
pub const METRICS: &str = "run/lichen/vitals.metrics";

/// Finds it out.
pub fn collect(root: &Root) -> Vitals {
    let mut card = card::read(root);
    if let Some(card) = &mut card {
        card.io_errors = IoErrors::until_now(root, &card.disk).map(|errors| errors.count);
    }
    let version = fs::read_to_string(root.at(CURRENT).join("nixos-version"));
    let fallbacks = Fallbacks::load(root);
    Vitals {
        version: version.ok().map(|version| version.trim().to_owned()),
        fallbacks: fallbacks.count,
        fallback: fallbacks.last,
        card,
        wifi: wifi::read(root),
        time: time(root),
    }
}

/// Runs every minute: tells it as metrics.
pub fn publish(root: &Root) -> Result<()> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    let told = Told::read(root);
    if let Some(card) = &told.vitals.card
        && let Some(errors) = IoErrors::until_now(root, &card.disk)
    {
        errors.keep(root)?;
    }
    let certificates = certificates::text(&certificates::read(root));
    let text = metrics::text(&told) + &backup::metrics(root) + &certificates;
    // Written even if nothing has changed: services pass on only what is recent.
    durable::atomic_write(&root.at(METRICS), text.as_bytes(), 0o644)
}

/// What the metrics are made of: what `status` tells as well, without what takes long to find out.
#[derive(Clone, Debug)]
struct Told {
    generation: Option<Generation>,
    toplevel: Option<String>,
    /// Whether that toplevel was booted, and not switched to.
    booted: bool,
    standing: Standing,
    boot_readable: bool,
    uptime: u64,
    update: Option<Following>,
    vitals: Vitals,
    /// What the board may be able to tell, and whether it can.
    board: [(&'static str, bool); 3],
}

impl Told {
    fn read(root: &Root) -> Self {
        let running = Running::read(root);
        let boot = BootState::load(&root.at("boot")).ok().map(|s| s.state());
        let soc = Soc::at(root.at("sys"));
        Self {
            generation: running.generation,
            booted: Booted::read(root).generation == running.generation,
            standing: generations::standing(running.generation, boot),
            toplevel: running.toplevel,
            boot_readable: boot.is_some(),
            uptime: root.uptime().unwrap_or(0),
            update: record::following(root),
            vitals: collect(root),
            board: [
                ("temperature", soc.temperature().is_some()),
                ("undervoltage", soc.under_voltage().is_some()),
                ("throttling", soc.throttling().is_some()),
            ],
        }
    }
}

fn time(root: &Root) -> Option<Time> {
    let (synchronized, error) = root.is_device().then(|| sys::clock().ok()).flatten()?;
    Some(Time {
        synchronized,
        // While it is not synchronised, the kernel has no idea.
        error_seconds: synchronized.then_some(error),
    })
}

#[cfg(test)]
mod tests;

//! What is kept of the network on DATA, and what is told of it in /run: as JSON, and as metrics that each service passes on.

use crate::root::Root;
use anyhow::Result;
use protocol::link::{Counts, Gateway, Link, Outage};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;

const FOLDER: &str = "var/lib/lichen";
const KEPT: &str = "var/lib/lichen/link.json";
const PUBLISHED: &str = "run/lichen/link.json";
/// In the OpenMetrics format.
const METRICS: &str = "run/lichen/link.metrics";

/// What is kept on DATA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Whether a gateway has ever answered on this card. No reboot brings back what never was.
    pub answered: bool,
    /// How many reboots in a row have not brought a gateway back.
    pub in_vain: u32,
    /// How long it had been silent in the boots before this one, in seconds of running.
    pub silent: u64,
    /// How often what was done.
    pub counts: Counts,
}

impl Kept {
    /// Reads it; what is damaged or missing counts as nothing.
    pub fn load(root: &Root) -> Self {
        let text = fs::read(root.at(KEPT)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Writes it, if it is another.
    pub fn save(&self, root: &Root) -> Result<()> {
        if !root.at(FOLDER).exists() {
            durable::directory(&root.at(FOLDER), 0o700)?;
        }
        durable::update(&root.at(KEPT), &serde_json::to_vec_pretty(self)?, 0o600).map(drop)
    }
}

/// Tells it.
pub fn publish(root: &Root, link: &Link) -> Result<()> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    durable::update(&root.at(PUBLISHED), &serde_json::to_vec(link)?, 0o644)?;
    durable::update(&root.at(METRICS), metrics(link).as_bytes(), 0o644).map(drop)
}

/// What was told last.
pub fn published(root: &Root) -> Option<Link> {
    serde_json::from_slice(&fs::read(root.at(PUBLISHED)).ok()?).ok()
}

/// What there is to tell.
pub fn link(
    gateways: Vec<Gateway>,
    silent_since: Option<u64>,
    last_outage: Option<Outage>,
    kept: &Kept,
) -> Link {
    Link {
        gateways,
        silent_since,
        last_outage,
        counts: kept.counts,
    }
}

fn metrics(link: &Link) -> String {
    let Counts {
        reconnects,
        reloads,
        reboots,
        healed,
        endpoints,
    } = link.counts;
    let up = u64::from(link.silent_since.is_none());
    let gauge = format!(
        "# HELP lichen_link_up Whether a gateway answers\n# TYPE lichen_link_up gauge\nlichen_link_up {up}\n"
    );
    let counters = [
        (
            "reconnects",
            "Connections made anew as no gateway answered",
            reconnects,
        ),
        (
            "driver_reloads",
            "Drivers loaded again as no gateway answered",
            reloads,
        ),
        ("reboots", "Reboots as no gateway answered", reboots),
        (
            "healed",
            "Outages that ended after something was done",
            healed,
        ),
        (
            "tunnel_moves",
            "Endpoints of tunnels that were found at another address",
            endpoints,
        ),
    ];
    counters
        .iter()
        .fold(gauge, |mut text, (name, help, count)| {
            let name = format!("lichen_link_{name}");
            let _ = writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} counter\n{name}_total {count}"
            );
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::scratch;

    /// Services that simulate their hardware pass this on, so that rules and dashboards can be tested with them.
    #[test]
    fn the_simulated_device_tells_what_a_real_one_tells() {
        let simulated = include_str!("../../../kit/src/link.metrics");
        assert_eq!(simulated, metrics(&Link::default()));
        let silent = Link {
            silent_since: Some(90),
            ..Link::default()
        };
        assert!(metrics(&silent).contains("\nlichen_link_up 0\n"));
    }

    #[test]
    fn what_is_kept_outlives_a_boot_and_damage_is_no_end() {
        let dir = scratch();
        let root = Root::new(dir.path());
        assert_eq!(Kept::load(&root), Kept::default());
        let kept = Kept {
            answered: true,
            in_vain: 2,
            ..Kept::default()
        };
        kept.save(&root).unwrap();
        assert_eq!(Kept::load(&root), kept);
        durable::atomic_write(&root.at(KEPT), b"{", 0o600).unwrap();
        assert_eq!(Kept::load(&root), Kept::default());
    }
}

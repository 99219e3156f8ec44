//! What is kept of the network on DATA, and what is told of it in /run: as JSON, and as metrics that each service passes on.

use crate::kept;
use crate::root::Root;
use anyhow::Result;
use protocol::link::{Counts, Gateway, Link, Outage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

const KEPT: &str = "var/lib/lichen/link.json";
const PUBLISHED: &str = "run/lichen/link.json";
/// In the OpenMetrics format.
const METRICS: &str = "run/lichen/link.metrics";

/// What is kept on DATA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The interfaces behind which a gateway has ever answered on this card. No reboot brings back what never was.
    pub answered: BTreeSet<String>,
    /// How many reboots in a row have not brought a gateway back.
    pub in_vain: u32,
    /// A driver is being loaded again. After a boot: it took the kernel with it.
    pub reloading: bool,
    /// That has happened since a gateway answered last, so no driver is loaded again until one does.
    pub reload_resets: bool,
    /// How long it had been silent in the boots before this one, in seconds of running.
    pub silent: u64,
    /// How often what was done.
    pub counts: Counts,
}

impl Kept {
    /// Reads it; what is damaged or missing counts as nothing.
    pub fn load(root: &Root) -> Self {
        kept::load(root, KEPT)
    }

    /// Writes it, if it is another.
    pub fn save(&self, root: &Root) -> Result<()> {
        kept::save(root, KEPT, self)
    }
}

/// Tells it; `seen`: whether the gateways were looked at just now.
pub fn publish(root: &Root, link: &Link, seen: bool) -> Result<()> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    durable::update(&root.at(PUBLISHED), &serde_json::to_vec(link)?, 0o644)?;
    // Also what has not changed: services do not pass on what is old.
    durable::atomic_write(&root.at(METRICS), metrics(link, seen).as_bytes(), 0o644)
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

fn metrics(link: &Link, seen: bool) -> String {
    let Counts {
        reconnects,
        reloads,
        reboots,
        healed,
        endpoints,
    } = link.counts;
    let mut gauge =
        "# HELP lichen_link_up Whether a gateway answers\n# TYPE lichen_link_up gauge\n".to_owned();
    // What is not known now has no value: the last one would hide that.
    if seen {
        let up = u64::from(link.silent_since.is_none());
        let _ = writeln!(gauge, "lichen_link_up {up}");
    }
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
        assert_eq!(simulated, metrics(&Link::default(), true));
        let silent = Link {
            silent_since: Some(90),
            ..Link::default()
        };
        assert!(metrics(&silent, true).contains("\nlichen_link_up 0\n"));
    }

    /// What is told of the network is passed on only while it is new.
    #[test]
    fn metrics_are_told_anew_each_time() {
        let dir = scratch();
        let root = Root::new(dir.path());
        let told = || {
            publish(&root, &Link::default(), true).unwrap();
            fs::File::open(root.at(METRICS)).unwrap()
        };
        let long_ago = std::time::UNIX_EPOCH;
        told().set_modified(long_ago).unwrap();
        assert!(told().metadata().unwrap().modified().unwrap() > long_ago);
    }

    #[test]
    fn what_is_kept_outlives_a_boot_and_damage_is_no_end() {
        let dir = scratch();
        let root = Root::new(dir.path());
        assert_eq!(Kept::load(&root), Kept::default());
        let kept = Kept {
            answered: ["eth0".to_owned()].into(),
            in_vain: 2,
            ..Kept::default()
        };
        kept.save(&root).unwrap();
        assert_eq!(Kept::load(&root), kept);
        durable::atomic_write(&root.at(KEPT), b"{", 0o600).unwrap();
        assert_eq!(Kept::load(&root), Kept::default());
    }
}

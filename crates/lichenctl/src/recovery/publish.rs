//! What the device tells of its resets and of recovery, in /run, where its services may read it: as JSON, and as the metrics
//! that each of them serves with its own. Whoever reaches a service reads it, so it leaves out who had logged in, and from
//! where: only the ledger has that.

use super::ledger::Ledger;
use crate::openmetrics::{Families, labels};
use crate::root::Root;
use anyhow::Result;
use protocol::recovery::{Reason, Recovery};
use serde::Deserialize;
use std::fs;

/// What is told, as JSON.
const PUBLISHED: &str = "run/lichen/recovery.json";
/// The same as metrics, in the OpenMetrics format.
const METRICS: &str = "run/lichen/metrics";
const SETTINGS: &str = "etc/lichen/recovery.json";

#[derive(Deserialize)]
struct Settings {
    /// Most reboots a day.
    reboots: usize,
}

/// How often recovery may reboot within a day. A generation that does not say so wants none.
pub(super) fn limit(root: &Root) -> usize {
    let settings = fs::read(root.at(SETTINGS)).ok();
    let settings = settings.and_then(|text| serde_json::from_slice(&text).ok());
    settings.map_or(0, |Settings { reboots }| reboots)
}

/// Tells it.
pub(super) fn publish(root: &Root, ledger: &Ledger) -> Result<()> {
    let mut told = ledger.tell(limit(root));
    for reset in &mut told.resets {
        if reset.reason == Reason::Asked {
            reset.why.clear();
        }
    }
    durable::directory(&root.at("run/lichen"), 0o755)?;
    durable::update(&root.at(PUBLISHED), &serde_json::to_vec(&told)?, 0o644)?;
    durable::update(&root.at(METRICS), metrics(&told).as_bytes(), 0o644).map(drop)
}

/// What was told at this boot, and who had logged in, for those who may read the ledger.
pub fn known(root: &Root) -> Option<Recovery> {
    let told = published(root)?;
    let Recovery { resets, .. } = Ledger::load(root).tell(told.limit);
    Some(match resets.is_empty() {
        true => told,
        false => Recovery { resets, ..told },
    })
}

/// What was told at this boot.
pub fn published(root: &Root) -> Option<Recovery> {
    serde_json::from_slice(&fs::read(root.at(PUBLISHED)).ok()?).ok()
}

fn metrics(told: &Recovery) -> String {
    let mut families = Families::default();
    let count = |reason| told.counts.get(&reason).copied().unwrap_or(0);
    families.counters(
        "lichen_resets",
        "Resets of the device by their reasons",
        Reason::ALL.map(|reason| (labels(&[("reason", reason.word())]), count(reason))),
    );
    let last = told.resets.last();
    families.gauges(
        "lichen_last_reset",
        "Why the device was reset last",
        last.map(|last| {
            let labels = labels(&[("reason", last.reason.word()), ("why", &last.why)]);
            (labels, 1)
        }),
    );
    families.gauge(
        "lichen_recovery_reboots",
        "Reboots by recovery within the last day",
        Some(told.reboots),
    );
    families.gauge(
        "lichen_recovery_reboots_limit",
        "How many there may be",
        Some(told.limit),
    );
    families.gauge(
        "lichen_recovery_waiting",
        "Services without which the device stays up",
        Some(told.waiting.len()),
    );
    families.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::recovery::Reset;

    #[test]
    fn metrics_have_every_reason_and_quote_what_a_kernel_says() {
        let told = Recovery {
            resets: vec![Reset {
                reason: Reason::Panic,
                why: "a \"quoted\" C:\\".into(),
                generation: None,
                at: 0,
            }],
            counts: [(Reason::Panic, 2)].into(),
            reboots: 1,
            limit: 4,
            waiting: vec!["x.service".into()],
        };
        let text = metrics(&told);
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), Reason::ALL.len() + 4, "{text}");
        for line in [
            "lichen_resets_total{reason=\"panic\"} 2",
            "lichen_resets_total{reason=\"power\"} 0",
            "lichen_last_reset{reason=\"panic\",why=\"a \\\"quoted\\\" C:\\\\\"} 1",
            "lichen_recovery_reboots 1",
            "lichen_recovery_reboots_limit 4",
            "lichen_recovery_waiting 1",
        ] {
            assert!(samples.contains(&line), "{line} is not in {text}");
        }
    }

    /// Services that simulate their hardware pass this on, so that rules and dashboards can be tested with them.
    #[test]
    fn the_simulated_device_tells_what_a_real_one_tells() {
        let told = Recovery {
            resets: vec![Reset {
                reason: Reason::Power,
                why: String::new(),
                generation: None,
                at: 0,
            }],
            counts: [(Reason::Power, 1)].into(),
            limit: 4,
            ..Recovery::default()
        };
        let simulated = include_str!("../../../kit/src/device.metrics");
        assert_eq!(simulated, metrics(&told));
    }
}

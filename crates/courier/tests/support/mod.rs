//! A courier between targets and receivers that this process provides, and ways to be unkind to it.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![allow(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

pub mod debian;
pub mod journal;

use std::path::Path;
use std::process::Command;

use courier::clock::Clock;
use courier::config::Config;
pub use kit::testing::{Program, Running, command, eventually, finished, merge, nobody};
use serde_json::{Value, json};

pub use fake_receiver::{Answer, Asked, Loki, Prometheus, Server, Takes, Target};
pub use journal::Journal;

/// A target that also tells a series with a label of ours.
pub fn target() -> Target {
    Target::start("constant{customer=\"theirs\"} 1.5\n")
}

/// Quick settings, with everything in `directory`.
pub fn settings(directory: &Path) -> Value {
    json!({
        "data": { "directory": directory.join("state") },
        "labels": { "instance": "rack7", "customer": "acme", "location": "cellar" },
        "scrape": { "interval_seconds": 0.03, "timeout_seconds": 5 },
        "metrics": { "retry_seconds": 0.02, "longest_retry_seconds": 0.1 },
        "logs": { "retry_seconds": 0.02, "longest_retry_seconds": 0.1, "interval_seconds": 0.02 },
        "clock": { "synchronized": null },
    })
}

/// What scrapes this target and sends it there.
pub fn metrics(target: &Target, url: &str) -> Value {
    json!({
        "scrape": { "targets": [{ "job": "it", "url": target.server.url("/metrics") }] },
        "metrics": { "url": url },
    })
}

/// A courier in this process.
pub fn start(directory: &Path, changes: Value) -> Running {
    start_with(directory, changes, Clock::new(None))
}

/// The same, with a clock of its own.
pub fn start_with(directory: &Path, changes: Value, clock: Clock) -> Running {
    let mut all = settings(directory);
    merge(&mut all, changes);
    let config: Config = serde_json::from_value(all).unwrap();
    let secrets = directory.join("secrets");
    Running::start("courier", config, Some(secrets), move |config, kit| {
        courier::run_with(clock, config, kit)
    })
}

/// The value of one of its own metrics, such as `courier_lost_samples_total{reason="refused"}`.
pub fn count(courier: &Running, metric: &str) -> f64 {
    let text = courier.get("/metrics").text;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{metric} is not in {text}"))
        .parse()
        .unwrap()
}

/// Why a part of it does not work, if so.
pub fn reason(courier: &Running, component: &str) -> Option<String> {
    let health = courier.get("/health").json();
    let reason = health["components"][component]["reason"].as_str();
    reason.map(str::to_owned)
}

/// The program, with this configuration.
pub fn program(directory: &Path, changes: Value) -> Program {
    let mut all = settings(directory);
    merge(&mut all, changes);
    let mut command = command(env!("CARGO_BIN_EXE_courier"));
    command
        .env("LOG", "info,courier=debug")
        .env("NO_COLOR", "1");
    Program::start(&mut command, directory, all)
}

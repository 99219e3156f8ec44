//! What a courier costs: memory, processor, bytes in its queue and bytes on the wire. Beside it, where there is one,
//! Debian's Prometheus in agent mode does the same with the same targets at the same time. In JSON.
//!
//! `cargo run --release -p courier --example courier_load -- [SECONDS] [INTERVAL] [ROUNDS]`
//!
//! There are ten targets: Debian's prometheus-node-exporter, which tells of this machine, and nine times a service of this
//! project, all scraped each INTERVAL seconds. For SECONDS the receiver takes everything; then it is away for ROUNDS scrapes,
//! and comes back. Logs are not part of it.

#![expect(
    clippy::disallowed_methods,
    reason = "what a comparison writes need not survive a cut"
)]

#[path = "courier_load/programs.rs"]
mod programs;
#[path = "courier_load/receiver.rs"]
mod receiver;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/support/server.rs"]
mod server;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kit::load::{Connection, Measured};
use serde_json::{Value, json};

use programs::{Program, Usage};
use receiver::Receiver;

const SERVICES: usize = 9;
const START: Duration = Duration::from_secs(60);
const RECOVERY: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    kit::load::main([300, 15, 80], measure, |arguments| {
        let [file] = arguments else {
            anyhow::bail!("serve CONFIGURATION");
        };
        let config = serde_json::from_slice(&std::fs::read(file)?)?;
        kit::load::serve("courier", config, courier::run)
    })
}

fn measure([seconds, interval, rounds]: [usize; 3]) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let place = directory.path();
    let round = Duration::from_secs(interval as u64);
    let exporter = programs::node_exporter(place)?;
    let service = courier(place, "service", &json!({}))?;
    let mut targets = vec![("node".to_owned(), exporter.address)];
    targets.extend((0..SERVICES).map(|n| (format!("service-{n}"), service.address)));
    let mut ours = Receiver::start();
    let mut its = Receiver::start();
    let agent = programs::agent(place, interval, &targets, &its.url())?;
    let told: Vec<Value> = targets
        .iter()
        .map(|(job, at)| json!({ "job": job, "url": format!("http://{at}/metrics") }))
        .collect();
    let scrape = json!({ "interval_seconds": interval, "timeout_seconds": interval.min(10), "targets": told });
    let config = json!({ "scrape": scrape, "metrics": { "url": ours.url() } });
    let courier = courier(place, "courier", &config)?;
    wait("all are at work", START + round, || {
        Ok(ours.got().samples > 0 && (agent.is_none() || its.got().samples > 0))
    })?;
    sleep(round * 2);

    let costs = |duration: Duration| -> Result<[Value; 2]> {
        let used = || -> Result<_> {
            let usage = courier.usage();
            let of_agent = agent.as_ref().map(Program::usage).transpose()?;
            Ok(([ours.got(), its.got()], usage, of_agent))
        };
        let before = used()?;
        sleep(duration);
        let after = used()?;
        let cost = |cpu_seconds: f64, resident: u64, who: usize| {
            let got = after.0[who] - before.0[who];
            json!({
                "resident_megabytes": rounded(resident as f64 / 1e6),
                "processor_percent": rounded(cpu_seconds / duration.as_secs_f64() * 100.0),
                "samples": got.samples,
                "requests": got.requests,
                "bytes_on_the_wire_per_sample": rounded(got.bytes as f64 / got.samples as f64),
            })
        };
        let itself = cost(
            after.1.cpu_seconds - before.1.cpu_seconds,
            after.1.resident_bytes,
            0,
        );
        let of_agent = after
            .2
            .zip(before.2)
            .map(|(after, before): (Usage, Usage)| {
                cost(
                    after.cpu_seconds - before.cpu_seconds,
                    after.resident_bytes,
                    1,
                )
            });
        Ok([itself, of_agent.unwrap_or_else(|| json!("not installed"))])
    };
    let [of_courier, of_agent] = costs(Duration::from_secs(seconds as u64))?;

    ours.server.down();
    its.server.down();
    let in_agent = || agent.as_ref().map_or(Ok(0), Program::bytes_on_disk);
    let agent_before = in_agent()?;
    sleep(round * rounds as u32);
    let (bytes, samples) = (
        metric(&courier, "courier_queue_bytes")?,
        metric(&courier, "courier_queue_samples")?,
    );
    let agent_bytes = in_agent()?.saturating_sub(agent_before);
    let waiting = courier.usage();
    let agent_waiting = agent.as_ref().map(Program::usage).transpose()?;
    ours.server.up();
    let begun = Instant::now();
    wait("all has arrived", RECOVERY, || {
        Ok(metric(&courier, "courier_queue_samples")? == 0.0)
    })?;
    let recovery = begun.elapsed();
    Ok(json!({
        "targets": targets.len(),
        "interval_seconds": interval,
        "measured_seconds": seconds,
        "courier": of_courier,
        "prometheus_agent": of_agent,
        "outage": {
            "rounds": rounds,
            "samples_waiting": samples,
            "queue_bytes_per_sample": rounded(bytes / samples),
            "resident_megabytes": rounded(waiting.resident_bytes as f64 / 1e6),
            "seconds_to_send_it": rounded(recovery.as_secs_f64()),
            "prometheus_agent_bytes_per_sample": agent.as_ref().map(|_| rounded(agent_bytes as f64 / samples)),
            "prometheus_agent_resident_megabytes": agent_waiting.map(|used| rounded(used.resident_bytes as f64 / 1e6)),
        },
    }))
}

/// A courier in a process of its own.
fn courier(place: &Path, name: &str, config: &Value) -> Result<Measured> {
    let mut all = json!({
        "data": { "directory": place.join(name) },
        "labels": { "instance": "rack7", "customer": "acme", "location": "cellar" },
        "clock": { "synchronized": null },
    });
    kit::testing::merge(&mut all, config.clone());
    let file = place.join(format!("{name}.json"));
    std::fs::write(&file, all.to_string())?;
    let file = file.to_str().context("the directory has no name")?;
    Measured::start(&[file], "/health/ready")
}

/// One of its own metrics.
fn metric(courier: &Measured, name: &str) -> Result<f64> {
    let text = Connection::open(courier.address)?.get("/metrics")?;
    let text = text.context("it tells no metrics")?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("{name} is not told"))?;
    Ok(value.parse()?)
}

fn wait(what: &str, most: Duration, happened: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !happened()? {
        ensure!(begun.elapsed() < most, "waited in vain until {what}");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

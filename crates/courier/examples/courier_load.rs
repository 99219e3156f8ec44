//! What a courier costs: memory, processor, bytes in its queue and bytes on the wire. Beside it Debian's Prometheus in agent
//! mode and Debian's vmagent do the same with the same targets at the same time, where they are there. In JSON.
//!
//! `cargo run --release -p courier --example courier_load -- [SECONDS] [INTERVAL] [ROUNDS]`
//!
//! There are ten targets: Debian's prometheus-node-exporter, which tells of this machine, and nine times a service of this
//! project, all scraped each INTERVAL seconds. For SECONDS the receivers take everything; then they are away for ROUNDS scrapes,
//! and come back. Logs are not part of it.

#![expect(
    clippy::disallowed_methods,
    reason = "what a comparison writes need not survive a cut"
)]

#[path = "courier_load/programs.rs"]
mod programs;
#[path = "courier_load/receiver.rs"]
mod receiver;
mod support;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kit::load::Measured;
use serde_json::{Map, Value, json};

use programs::{Debian, Program, Target, Usage};
use receiver::{Got, Receiver};
use support::{metric, rounded};

const SERVICES: usize = 9;
const START: Duration = Duration::from_secs(60);
const RECOVERY: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    support::main([300, 15, 80], measure)
}

fn measure([seconds, interval, rounds]: [usize; 3]) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let place = directory.path();
    let round = Duration::from_secs(interval as u64);
    let debian = Debian::find();
    let exporter = debian.node_exporter(place)?;
    let service = support::courier(place, "service", &json!({}))?;
    let mut targets = vec![Target::new("node", exporter.address)];
    targets.extend((0..SERVICES).map(|n| Target::new(format!("service-{n}"), service.address)));

    let ours = Receiver::start();
    let courier = courier(place, interval, &targets, &ours.url())?;
    let mut all = vec![Sender {
        name: "courier",
        runs: Runs::Courier(&courier),
        receiver: ours,
    }];
    all.extend(beside("prometheus_agent", |url| {
        debian.prometheus_agent(place, interval, &targets, url)
    })?);
    all.extend(beside("vmagent", |url| {
        debian.vmagent(place, interval, &targets, url)
    })?);
    wait("all are at work", START + round, || {
        Ok(all.iter().all(|sender| sender.receiver.got().samples > 0))
    })?;
    sleep(round * 2);

    let while_received = costs(&all, Duration::from_secs(seconds as u64))?;

    all.iter_mut().for_each(|sender| sender.receiver.down());
    let waiting = || metric(&courier, "courier_queue_samples");
    let (samples_before, before) = (waiting()?, kept(&all)?);
    sleep(round * rounds as u32);
    let (samples, after) = (waiting()? - samples_before, kept(&all)?);
    let resident: Result<Vec<u64>> = all
        .iter()
        .map(|sender| Ok(sender.usage()?.resident_bytes))
        .collect();
    let resident = resident?;
    all[0].receiver.up();
    let begun = Instant::now();
    wait("all has arrived", RECOVERY, || Ok(waiting()? == 0.0))?;
    let recovery = begun.elapsed();

    let mut told = Map::new();
    for (n, sender) in all.iter().enumerate() {
        let mut costs = while_received[n].clone();
        costs["outage"] = json!({
            "resident_megabytes": megabytes(resident[n]),
            "bytes_on_disk_per_sample": rounded((after[n] - before[n]) / samples),
        });
        told.insert(sender.name.to_owned(), costs);
    }
    Ok(json!({
        "targets": targets.len(),
        "interval_seconds": interval,
        "measured_seconds": seconds,
        "outage": {
            "rounds": rounds,
            "samples_waiting": samples,
            "seconds_until_the_courier_has_sent_them": rounded(recovery.as_secs_f64()),
        },
        "costs": told,
    }))
}

/// Who scrapes the targets, and a receiver for it alone.
struct Sender<'a> {
    name: &'static str,
    runs: Runs<'a>,
    receiver: Receiver,
}

enum Runs<'a> {
    Courier(&'a Measured),
    Debian(Program),
}

impl Sender<'_> {
    fn usage(&self) -> Result<Usage> {
        match &self.runs {
            Runs::Courier(courier) => Ok(courier.usage().into()),
            Runs::Debian(program) => program.usage(),
        }
    }

    /// How many bytes it has on disk.
    fn kept(&self) -> Result<f64> {
        match &self.runs {
            Runs::Courier(courier) => metric(courier, "courier_queue_bytes"),
            Runs::Debian(program) => Ok(program.bytes_on_disk()? as f64),
        }
    }
}

fn courier(place: &Path, interval: usize, targets: &[Target], url: &str) -> Result<Measured> {
    let targets: Vec<Value> = targets
        .iter()
        .map(|target| json!({ "job": target.job, "url": format!("http://{}/metrics", target.address) }))
        .collect();
    let settings = json!({
        "scrape": { "interval_seconds": interval, "timeout_seconds": interval.min(10), "targets": targets },
        "metrics": { "url": url },
    });
    support::courier(place, "courier", &settings)
}

/// One of Debian's programs, if it is there.
fn beside(
    name: &'static str,
    start: impl FnOnce(&str) -> Result<Option<Program>>,
) -> Result<Option<Sender<'static>>> {
    let receiver = Receiver::start();
    let program = start(&receiver.url())?;
    Ok(program.map(|program| Sender {
        name,
        runs: Runs::Debian(program),
        receiver,
    }))
}

fn kept(all: &[Sender<'_>]) -> Result<Vec<f64>> {
    all.iter().map(Sender::kept).collect()
}

/// What each of them uses and sends in this time.
fn costs(all: &[Sender<'_>], duration: Duration) -> Result<Vec<Value>> {
    let now = || -> Result<Vec<(Usage, Got)>> {
        all.iter()
            .map(|sender| Ok((sender.usage()?, sender.receiver.got())))
            .collect()
    };
    let before = now()?;
    sleep(duration);
    let pairs = before.into_iter().zip(now()?);
    let costs = pairs.map(|((usage_before, got_before), (usage, got))| {
        let cpu_seconds = usage.cpu_seconds - usage_before.cpu_seconds;
        let got = got - got_before;
        json!({
            "resident_megabytes": megabytes(usage.resident_bytes),
            "processor_percent": rounded(cpu_seconds / duration.as_secs_f64() * 100.0),
            "samples": got.samples,
            "requests": got.requests,
            "bytes_on_the_wire_per_sample": rounded(got.bytes as f64 / got.samples as f64),
        })
    });
    Ok(costs.collect())
}

fn wait(what: &str, most: Duration, happened: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !happened()? {
        ensure!(begun.elapsed() < most, "waited in vain until {what}");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / 1e6)
}

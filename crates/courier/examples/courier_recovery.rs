//! How long a courier takes to catch up after an outage, and whether what is new has to wait for it. In JSON.
//!
//! `cargo run --release -p courier --example courier_recovery -- [SAMPLES] [LATENCY_MS]`
//!
//! The outages of 10 minutes, 3 hours and 3 days are not waited for: the queue is filled with what a scrape of SAMPLES
//! samples each 15 seconds leaves in it, dated back. Then the courier finds a receiver that takes LATENCY_MS for each request
//! and anything in any order, while a target is scraped each second. Time is counted from the first request until nothing that
//! waits is older than two minutes. How long the courier would have paused before that request is computed beside it, from a
//! thousand outages each.

#![expect(
    clippy::disallowed_methods,
    reason = "what is measured need not survive a cut"
)]

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use courier::clock::{Clock, Moment};
use courier::config::MetricsSettings;
use courier::labels::{Labels, NAME};
use courier::queue::Queue;
use courier::queue::codec::{Frame, Sample};
use courier::send::pause::Pause;
use courier::send::remote_write::WriteRequest;
use courier::stats::Stats;
use fake_receiver::{Answer, Asked, Server};
use prost::Message;
use serde_json::{Map, Value, json};
use support::{metric, rounded};

const OUTAGES: [(&str, u64); 3] = [
    ("10 minutes", 600),
    ("3 hours", 3 * 3600),
    ("3 days", 3 * 86_400),
];
const INTERVAL_S: u64 = 15;
const FRESH: &str = "fresh";
const LONGEST: Duration = Duration::from_secs(3600);
const TRIALS: usize = 1000;

fn main() -> Result<()> {
    support::main([500, 50], measure)
}

fn measure([samples, latency_ms]: [usize; 2]) -> Result<Value> {
    let mut all = Map::new();
    for (name, seconds) in OUTAGES {
        let told = recovery(name, seconds, samples, latency_ms as u64)?;
        all.insert(name.to_owned(), told);
    }
    Ok(json!({ "samples_per_scrape": samples, "latency_ms": latency_ms, "outages": all }))
}

fn recovery(name: &str, seconds: u64, samples: usize, latency_ms: u64) -> Result<Value> {
    let directory = tempfile::tempdir()?;
    let place = directory.path();
    let waiting = fill(&place.join("courier/queue"), seconds, samples)?;
    let target = Server::start(|_| {
        Answer::new(200)
            .kind("text/plain; version=0.0.4")
            .body(format!("{FRESH} 1\n"))
    });
    let delays = Arc::<Mutex<Vec<i64>>>::default();
    let (begun_ms, into) = (kit::clock::now_ms(), delays.clone());
    let first = Arc::<OnceLock<Instant>>::default();
    let noted = first.clone();
    let receiver = Server::start(move |asked| {
        noted.get_or_init(Instant::now);
        sleep(Duration::from_millis(latency_ms));
        let mut delays = into.lock().unwrap_or_else(PoisonError::into_inner);
        delays.extend(fresh(&asked, begun_ms));
        Answer::new(204)
    });
    let settings = json!({
        "queue": { "max_bytes": 1u64 << 32 },
        "scrape": {
            "interval_seconds": 1,
            "targets": [{ "job": "it", "url": target.url("/metrics") }],
        },
        "metrics": { "url": receiver.url("/api/v1/write") },
    });
    let begun = Instant::now();
    let courier = support::courier(place, "courier", &settings)?;
    let mut resident = 0;
    while metric(&courier, "courier_behind_seconds{what=\"metrics\"}")? > 120.0
        || receiver.asked() == 0
    {
        ensure!(begun.elapsed() < LONGEST, "{name}: it does not catch up");
        resident = resident.max(courier.usage().resident_bytes);
        sleep(Duration::from_millis(50));
    }
    let took = first.get().context("nobody asked")?.elapsed();
    let requests = receiver.asked();
    while begun.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(50));
    }
    let mut delays = delays
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    delays.sort_unstable();
    let fresh = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize];
    ensure!(!delays.is_empty(), "{name}: nothing new has arrived");
    Ok(json!({
        "samples_waiting": waiting,
        "seconds_to_send_it": rounded(took.as_secs_f64()),
        "requests": requests,
        "resident_megabytes_at_most": rounded(resident as f64 / 1e6),
        "new_samples": delays.len(),
        "their_delay_ms": { "median": fresh(0.5), "most": fresh(1.0) },
        "seconds_until_it_is_tried_again": tries_again(seconds),
    }))
}

/// Fills a queue; how many samples are in it.
fn fill(folder: &Path, seconds: u64, samples: usize) -> Result<u64> {
    let stats = Arc::<Stats>::default();
    std::fs::create_dir_all(folder)?;
    let mut queue = Queue::open(folder, 1 << 32, Clock::new(None), stats.clone())?;
    let series: Vec<Labels> = (0..samples)
        .map(|n| {
            let (name, device) = (
                format!("node_something_{}_total", n / 6),
                format!("disk{}", n % 6),
            );
            Labels::new(&[(NAME, &name), ("device", &device), ("job", "node")])
        })
        .collect();
    let scrapes = seconds / INTERVAL_S;
    let first_ms = kit::clock::now_ms() - (seconds * 1000) as i64;
    for round in 0..scrapes {
        let up_ms = (round * INTERVAL_S * 1000) as i64;
        // One in ten is a counter that moves by a number that nobody foresees.
        let value = |n: usize| match n % 10 {
            0 => (round * round * 7919 + n as u64) as f64,
            1 => ((round as f64 + n as f64).sin() * 100.0).round() / 10.0,
            _ => n as f64,
        };
        let told = series.iter().enumerate().map(|(n, series)| Sample {
            series: series.clone(),
            value: value(n),
            at_ms: None,
        });
        let moment = Moment {
            up_ms,
            at_ms: first_ms + up_ms,
            known: true,
        };
        queue.append(Frame {
            moment,
            samples: told.collect(),
        })?;
    }
    Ok(stats.samples_waiting())
}

/// How long each new sample in a request was on its way.
fn fresh(asked: &Asked, since_ms: i64) -> Vec<i64> {
    let now = kit::clock::now_ms();
    let body = snap::raw::Decoder::new().decompress_vec(&asked.body);
    let request = body
        .ok()
        .and_then(|body| WriteRequest::decode(&body[..]).ok());
    let series = request.into_iter().flat_map(|request| request.timeseries);
    let fresh = series.filter(|series| series.labels.iter().any(|label| label.value == FRESH));
    let times = fresh.flat_map(|series| series.samples);
    times
        .filter(|sample| sample.timestamp >= since_ms)
        .map(|sample| now - sample.timestamp)
        .collect()
}

/// How long the pause goes on after an outage, with the usual settings: the mean and the longest.
fn tries_again(outage_s: u64) -> Value {
    let usual = MetricsSettings::default();
    let waits: Vec<f64> = (0..TRIALS)
        .map(|_| {
            let mut pause = Pause::new(usual.retry_seconds, usual.longest_retry_seconds);
            let mut at = 0.0;
            while at < outage_s as f64 {
                pause.failed(None);
                at += pause.left().unwrap_or_default().as_secs_f64();
            }
            at - outage_s as f64
        })
        .collect();
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    let most = waits.iter().copied().fold(0.0, f64::max);
    json!({ "mean": rounded(mean), "most": rounded(most) })
}

//! What a feed of 10,000 messages a second costs the service, over a real socket and with real files; in JSON.
//!
//! `cargo run --release -p ticker --example load -- [SECONDS] [RATE]`
//!
//! It ends with an error unless every message that was sent became durable, once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fake_exchange::{Feed, Format, Session};
use kit::load::{Connection, Measured};
use serde_json::{Value, json};
use ticker::config::Config;

const SYMBOLS: [&str; 8] = [
    "AAAUSD", "BBBUSD", "CCCUSD", "DDDUSD", "EEEUSD", "FFFUSD", "GGGUSD", "HHHUSD",
];
const STATUS: &str = "/api/status";
/// Until buffers have the size that they keep.
const SETTLED: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);
/// What was sent last is durable after flush and pace; longer than this it never will be.
const DURABLE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, url, directory] = arguments.as_slice()
        && first == "serve"
    {
        return serve(url, directory);
    }
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (seconds, rate): (f64, f64) = (number(0, 60.0)?, number(1, 10_000.0)?);
    let feed = Feed::start(Session {
        rate,
        ..Session::of(Format::Binance, &SYMBOLS)
    })?;
    // Here, since the service is killed in the end, and would leave it.
    let directory = tempfile::tempdir()?;
    let place = directory.path().to_str().context("a strange $TMPDIR")?;
    let service = Measured::start_with(&[&feed.url(), place], STATUS)?;
    std::thread::sleep(SETTLED);

    let (began, used, sent) = (Instant::now(), service.cpu_seconds()?, feed.sent().messages);
    let settled = service.resident_bytes()?;
    let mut most = settled;
    while began.elapsed().as_secs_f64() < seconds {
        std::thread::sleep(LOOK);
        most = most.max(service.resident_bytes()?);
    }
    let (took, used) = (began.elapsed(), service.cpu_seconds()? - used);
    let during = feed.sent().messages - sent;

    feed.pause();
    let durable = all_durable(&service, &feed)?;
    let report = json!({
        "messages_per_second": (during as f64 / took.as_secs_f64()).round(),
        "cpu_percent": (used / took.as_secs_f64() * 1000.0).round() / 10.0,
        "cpu_us_per_message": (used / during as f64 * 1e8).round() / 100.0,
        "resident_bytes_after_10_s": settled,
        "resident_bytes_most": most,
        "messages_durable": durable,
    });
    println!("{report:#}");
    Ok(())
}

fn serve(url: &str, directory: &str) -> Result<()> {
    let config: Config = serde_json::from_value(json!({
        "data": { "directory": directory },
        "sources": [{ "name": "exchange", "kind": "binance", "url": url,
                      "channels": ["trade"], "symbols": SYMBOLS }],
    }))?;
    kit::load::serve("ticker", config, ticker::run)
}

/// Waits until all that was sent is flushed; how many messages that were.
fn all_durable(service: &Measured, feed: &Feed) -> Result<u64> {
    let deadline = Instant::now() + DURABLE;
    loop {
        let answer = Connection::open(service.address)?.get(STATUS)?;
        let status: Value = serde_json::from_str(&answer.context("no status")?)?;
        let sent = feed.sent().messages;
        if status["flushed"] == sent {
            let connects = &status["sources"]["exchange"]["connects"];
            ensure!(*connects == 1, "it connected {connects} times");
            return Ok(sent);
        }
        ensure!(
            Instant::now() < deadline,
            "{sent} messages were sent, and {} are durable",
            status["flushed"]
        );
        std::thread::sleep(LOOK);
    }
}

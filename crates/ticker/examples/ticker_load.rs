//! What a feed of 10,000 messages a second costs the service, over a real socket and with real files; in JSON.
//!
//! `cargo run --release -p ticker --example ticker_load -- [SECONDS] [RATE]`
//!
//! It ends with an error unless every message that was sent became durable, once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
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
    kit::load::main([60, 10_000], measure, serve)
}

fn measure([seconds, rate]: [usize; 2]) -> Result<Value> {
    let feed = Feed::start(Session {
        rate: rate as f64,
        ..Session::of(Format::Binance, &SYMBOLS)
    })?;
    // Here, since the service is killed in the end, and would leave it.
    let directory = tempfile::tempdir()?;
    let place = directory.path().to_str().context("a strange $TMPDIR")?;
    let service = Measured::start(&[&feed.url(), place], STATUS)?;
    std::thread::sleep(SETTLED);

    let (began, before, sent) = (Instant::now(), service.usage(), feed.sent().messages);
    let mut most = before.resident_bytes;
    while began.elapsed().as_secs() < seconds as u64 {
        std::thread::sleep(LOOK);
        most = most.max(service.usage().resident_bytes);
    }
    let took = began.elapsed();
    let used = service.usage().cpu_seconds - before.cpu_seconds;
    let during = feed.sent().messages - sent;

    feed.pause();
    let durable = all_durable(&service, &feed)?;
    Ok(json!({
        "messages_per_second": (during as f64 / took.as_secs_f64()).round(),
        "cpu_percent": (used / took.as_secs_f64() * 1000.0).round() / 10.0,
        "cpu_us_per_message": (used / during as f64 * 1e8).round() / 100.0,
        "resident_bytes_after_10_s": before.resident_bytes,
        "resident_bytes_most": most,
        "messages_durable": durable,
    }))
}

fn serve(arguments: &[String]) -> Result<()> {
    let [url, directory] = arguments else {
        bail!("the address of the feed and a directory are missing");
    };
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

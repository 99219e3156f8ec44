//! Runs the program with a feed and a bucket that this process provides.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::path::Path;
use std::process::Command;

use fake_exchange::{Feed, Format, Session};
use fake_s3::Bucket;
pub use kit::testing::{Program, command, eventually, finished, merge};
use serde_json::{Value, json};

pub const SYMBOLS: [&str; 3] = ["BTC-USD", "ETH-USD", "SOL-USD"];

pub fn ticker() -> Command {
    command(env!("CARGO_BIN_EXE_ticker"))
}

/// A well-behaved session.
pub fn session(format: Format, rate: f64, limit: u64) -> Session {
    Session {
        rate,
        limit,
        ..Session::of(format, &SYMBOLS)
    }
}

/// A source for `feed`.
pub fn source(feed: &Feed, format: Format) -> Value {
    let (kind, channel) = match format {
        Format::Coinbase => ("coinbase", "matches"),
        Format::Binance => ("binance", "trade"),
        Format::Kraken => ("kraken", "trade"),
        Format::Json => ("json", "deals"),
    };
    let mut source = json!({
        "name": "exchange", "kind": kind, "url": feed.url(),
        "channels": [channel], "symbols": SYMBOLS, "silence_seconds": 1.5, "retry_seconds": 0.05,
    });
    if format == Format::Json {
        source["fields"] = json!({
            "channel": "kind", "symbol": "pair", "sequence": "n", "contiguous": true,
            "time": "at", "price": "quote.price", "size": "quote.size",
        });
    }
    source
}

/// The column that numbers a format's records.
pub fn column(format: Format) -> &'static str {
    match format {
        Format::Json => "sequence",
        _ => "trade_id",
    }
}

/// A configuration that flushes quickly; `more` is merged into it.
pub fn config(directory: &Path, sources: Value, more: Value) -> Value {
    let mut config = json!({
        "data": { "directory": directory, "min_free_bytes": 0 },
        "sources": sources,
        "flush": { "seconds": 0.2, "pace_seconds": 0.05 },
    });
    merge(&mut config, more);
    config
}

/// Starts `ticker run`.
pub fn start(config: &Value) -> Program {
    start_with(config, &[])
}

pub fn start_with(config: &Value, args: &[&str]) -> Program {
    let directory = Path::new(config["data"]["directory"].as_str().unwrap());
    let mut command = ticker();
    command
        .args(["run", "--stats-interval", "1"])
        .args(args)
        .env("LOG", "info,ticker=debug");
    Program::start(&mut command, directory, config.clone())
}

/// What it counts.
pub fn counts(program: &Program) -> Option<Value> {
    Some(program.get("/api/status")?.json())
}

/// How many records it has made durable.
pub fn durable(program: &Program) -> u64 {
    counts(program)
        .and_then(|counts| counts["flushed"].as_u64())
        .unwrap_or(0)
}

/// Settings of `sync` for this bucket.
pub fn sync_settings(bucket: &Bucket) -> Value {
    json!({
        "endpoint": bucket.url(), "bucket": fake_s3::BUCKET, "part_bytes": 5 << 20,
        "attempts": 4, "retry_seconds": 0.01, "timeout_seconds": 5,
    })
}

/// Runs `ticker sync` once, with credentials.
pub fn sync(config: &Value, args: &[&str]) -> (Option<i32>, String, String) {
    let directory = Path::new(config["data"]["directory"].as_str().unwrap());
    let (file, secrets) = (directory.join("sync.json"), directory.join("credentials"));
    std::fs::write(&file, config.to_string()).unwrap();
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("ticker.s3-access-key-id"), fake_s3::KEY).unwrap();
    std::fs::write(secrets.join("ticker.s3-secret-access-key"), fake_s3::SECRET).unwrap();
    finished(
        ticker()
            .args(["sync", "--config"])
            .arg(&file)
            .args(args)
            .env("CREDENTIALS_DIRECTORY", secrets)
            .env("NO_COLOR", "1"),
    )
}

//! The program itself, run on a feed and a bucket of this process.

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fake_exchange::{Feed, Format, Session};
use fake_s3::Bucket;
use kit::testing::nobody;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub const SYMBOLS: [&str; 3] = ["BTC-USD", "ETH-USD", "SOL-USD"];

/// Waits until `happened`, but not for ever.
pub fn eventually<V>(what: &str, mut happened: impl FnMut() -> Option<V>) -> V {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited 60 s in vain until {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn ticker() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ticker"));
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("STATE_DIRECTORY")
        .env_remove("CREDENTIALS_DIRECTORY");
    command
}

pub fn finished(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
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

/// A configuration that flushes quickly; `more` is laid over it.
pub fn config(directory: &Path, sources: Value, more: Value) -> Value {
    let mut config = json!({
        "http": { "address": "127.0.0.1", "port": nobody().port() },
        "data": { "directory": directory, "min_free_bytes": 0 },
        "sources": sources,
        "flush": { "seconds": 0.2, "pace_seconds": 0.05 },
    });
    merge(&mut config, more);
    config
}

pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A running `ticker run`; killed if the test forgets it.
pub struct Program {
    child: Child,
    port: u64,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    pub fn start(config: &Value) -> Self {
        Program::start_with(config, &[])
    }

    pub fn start_with(config: &Value, args: &[&str]) -> Self {
        let directory = config["data"]["directory"].as_str().unwrap();
        let file = Path::new(directory).join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut child = ticker()
            .args(["run", "--stats-interval", "1", "--config"])
            .arg(&file)
            .args(args)
            .env("LOG", "info,ticker=debug")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Program {
            child,
            port: config["http"]["port"].as_u64().unwrap(),
            lines,
            reader: Some(reader),
        }
    }

    /// What it has said so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Its answer to a request, if it answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut answer = agent.get(url).call().ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.body_mut().read_to_string().ok()?))
    }

    /// What it counts.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/api/status")?.1).ok()
    }

    pub fn flushed(&self) -> u64 {
        self.status()
            .and_then(|s| s["flushed"].as_u64())
            .unwrap_or(0)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to stop, and waits.
    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        let lines = self.end();
        assert!(status.success(), "{status}: {}", lines.join("\n"));
        lines
    }

    /// Kills it, and waits.
    pub fn kill(mut self) -> Vec<String> {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
        self.end()
    }

    fn end(&mut self) -> Vec<String> {
        self.reader.take().unwrap().join().unwrap();
        self.lines()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Settings of `sync` for a bucket of ours.
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

//! The ticker service as its users meet it, with an exchange on the host.

use std::time::Duration;

use fake_exchange::{Feed, Format, Mischief, Session};
use fake_s3::Bucket;
use serde_json::{Value, json};
use testbed::{Context, Machine, Result, Web, ensure};

use tests::{BOOT, Snapshot, lichen_toml_with, nothing_failed, snapshot_of, started};

const PORT: u16 = 8082;
const CONFIG: &str = "/etc/ticker/config.json";
/// Where machines reach this host.
const HOST: &str = "10.0.2.2";
const SYMBOLS: [&str; 2] = ["BTC-USD", "ETH-USD"];

/// A ticker appliance that has booted for the first time, with the keys of a bucket, and is healthy.
pub fn ticker_appliance() -> Result<Machine> {
    started(&ticker_snapshot()?)
}

fn ticker_snapshot() -> Result<Snapshot> {
    let toml = lichen_toml_with(&[
        ("ticker.s3-access-key-id", fake_s3::KEY),
        ("ticker.s3-secret-access-key", fake_s3::SECRET),
    ])?;
    snapshot_of("ticker", &toml, ticker_is_healthy)
}

/// Waits until nothing is left to do and nothing has failed, and ticker answers. Its sources may be out of reach.
pub fn ticker_is_healthy(machine: &Machine) -> Result<()> {
    machine.wait_until("a healthy appliance", BOOT, || {
        nothing_failed(machine)?;
        Ticker::of(machine)?.web.get("/health")?.success().map(drop)
    })
}

/// A feed that never ends, of trades as Coinbase Exchange sends them, with the faults of a real network.
pub fn exchange_feed(rate: f64) -> Result<Feed> {
    Feed::start(Session {
        rate,
        mischief: Mischief {
            gap: 997,
            duplicate: 499,
            garbage: 1499,
            disconnect: 20_011,
            silence: 0,
            replay: 20,
        },
        ..Session::of(Format::Coinbase, &SYMBOLS)
    })
}

/// The service on one machine.
#[derive(Debug)]
pub struct Ticker<'m> {
    machine: &'m Machine,
    web: Web,
}

impl<'m> Ticker<'m> {
    /// The service of `machine`.
    pub fn of(machine: &'m Machine) -> Result<Self> {
        Ok(Self {
            machine,
            web: machine.web(PORT)?,
        })
    }

    /// Its web server.
    pub fn web(&self) -> &Web {
        &self.web
    }

    /// Makes it listen to `feed` and sync to `bucket` until the next boot.
    pub fn trades_with(&self, feed: &Feed, bucket: &Bucket) -> Result<()> {
        let mut config: Value = serde_json::from_str(&self.machine.sh(&format!("cat {CONFIG}"))?)?;
        config["sources"] = json!([{
            "name": "host", "kind": "coinbase", "channels": ["matches"], "symbols": SYMBOLS,
            "url": format!("ws://{HOST}:{}", feed.address().port()), "retry_seconds": 0.5,
        }]);
        config["sync"]["endpoint"] = format!("http://{HOST}:{}", bucket.port()).into();
        config["sync"]["bucket"] = fake_s3::BUCKET.into();
        config["sync"]["attempts"] = 2.into();
        self.machine
            .write_file(CONFIG, config.to_string().as_bytes())?;
        self.machine.sh("systemctl restart ticker").map(drop)
    }

    /// What it counts.
    pub fn status(&self) -> Result<Value> {
        self.web.get("/api/status")?.success()?.json()
    }

    /// Records that are durable since it was started.
    pub fn flushed(&self) -> Result<u64> {
        let status = self.status()?;
        let flushed = status["flushed"].as_u64();
        flushed.with_context(|| format!("no number of records in {status}"))
    }

    /// Waits until so many more records are durable; how many there are since it was started.
    pub fn flushes(&self, more: u64) -> Result<u64> {
        let before = self.flushed().unwrap_or(0);
        let what = format!("{more} more durable records");
        self.machine
            .wait_until(&what, Duration::from_secs(120), || {
                let now = self.flushed()?;
                ensure!(now >= before + more, "{now} now, {before} before");
                Ok(now)
            })
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = self.status()?;
        let resident = status["resident_bytes"].as_u64();
        resident.with_context(|| format!("no memory in {status}"))
    }

    /// Runs the sync from its beginning to its end, also if the timer's is on its way; its exit status.
    pub fn syncs(&self) -> Result<i32> {
        self.machine.sh("systemctl restart ticker-sync")?;
        let status = self
            .machine
            .sh("systemctl show ticker-sync -P ExecMainStatus")?;
        status.trim().parse().context("its exit status")
    }

    /// Completes all files: it is stopped, and started again.
    pub fn puts_down_its_files(&self) -> Result<()> {
        self.machine.sh("systemctl restart ticker").map(drop)
    }
}

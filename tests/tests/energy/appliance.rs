//! The energy service as its users meet it.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Context, Hardware, Machine, Result, Snapshot, Web, ensure};

use tests::{BOOT, card_from, image_of, lichen_toml_with, nothing_failed, snapshot_of, started};

#[path = "../../../crates/energy/tests/support/amber.rs"]
pub mod amber;

use amber::FakeAmber;

const PORT: u16 = 5050;
const CONFIG: &str = "/etc/energy/config.json";
/// The host as machines see it.
const HOST: &str = "10.0.2.2";
/// A dashboard that was restarted, and a timer that spreads over most of a minute.
const PATIENCE: Duration = Duration::from_secs(150);
const DASHBOARD: &str = "home-energy-dashboard.service";
const SYNC: &str = "home-energy-sync-cache.service";
const STATE: &str = "/var/lib/home-energy-analysis";

/// The service on one machine.
#[derive(Debug)]
pub struct Energy<'m> {
    machine: &'m Machine,
    web: Web,
}

/// An energy appliance that has booted for the first time, with the token in lichen.toml and no way to Amber.
pub fn energy_appliance() -> Result<Machine> {
    started(&energy_snapshot()?)
}

fn energy_snapshot() -> Result<Snapshot> {
    snapshot_of("energy", &owners()?, energy_healthy)
}

fn owners() -> Result<String> {
    lichen_toml_with(&[("energy.amber-token", amber::TOKEN)])
}

/// The same with a browser, at its first boot, with this screen or without one.
pub fn energy_kiosk(screen: Option<(u32, u32)>) -> Result<Machine> {
    let card = card_from(&image_of("energy-kiosk")?)?.write_boot_file("lichen.toml", &owners()?)?;
    let hardware = Hardware {
        screen,
        memory: 2048,
        ..Hardware::default()
    };
    let machine = Machine::boot(card, hardware)?;
    machine.wait_for_ssh(BOOT)?;
    energy_healthy(&machine)?;
    Ok(machine)
}

/// Waits until nothing is left to do and nothing has failed, and the page is served.
pub fn energy_healthy(machine: &Machine) -> Result<()> {
    machine.wait_until("a healthy energy appliance", BOOT, || {
        nothing_failed(machine)?;
        let sync = machine.try_sh(&format!("systemctl is-active {SYNC}"))?;
        ensure!(sync.stdout.trim() == "inactive", "the sync is {sync:?}");
        Energy::of(machine)?.web.get("/health")?.success()?;
        Ok(())
    })
}

impl<'m> Energy<'m> {
    /// The service of `machine`.
    pub fn of(machine: &'m Machine) -> Result<Self> {
        let web = machine.web(PORT)?;
        Ok(Self { machine, web })
    }

    /// Its web server.
    pub fn web(&self) -> &Web {
        &self.web
    }

    /// Makes it ask this server instead of Amber, in a time zone whose days are those of the market, until the next
    /// boot.
    pub fn ask(&self, amber: &FakeAmber) -> Result<()> {
        testbed::lasts_a_day("prices and days follow the wall clock")?;
        let mut config: Value = serde_json::from_str(&self.machine.sh(&format!("cat {CONFIG}"))?)?;
        config["amber"]["url"] = json!(amber.url(HOST));
        config["display"]["time_zone"] = "Australia/Brisbane".into();
        self.machine
            .write_file(CONFIG, config.to_string().as_bytes())?;
        // With internet access, the real Amber has refused this token, and would not be asked again for an hour.
        self.machine
            .sh(&format!(
                "systemctl stop {SYNC} {DASHBOARD}; rm -rf {STATE}/*; systemctl start {DASHBOARD}"
            ))
            .map(drop)
    }

    /// Makes it ask Amber now, as the timer would; an error if the device is at fault.
    pub fn sync(&self) -> Result<()> {
        self.machine
            .sh(&format!("systemctl start {SYNC}"))
            .map(drop)
    }

    /// Makes it ask Amber until it has everything: each request is for four weeks of the last 89 days.
    pub fn catch_up(&self) -> Result<()> {
        for _ in 0..4 {
            self.sync()?;
        }
        self.machine.wait_until("usage of yesterday", PATIENCE, || {
            let now = self.web.get("/api/now")?.success()?.json()?;
            ensure!(
                now["days"].as_array().is_some_and(|days| !days.is_empty()),
                "{now}"
            );
            Ok(())
        })
    }

    /// What `/api/health` says.
    pub fn health(&self) -> Result<Value> {
        self.web.get("/api/health")?.success()?.json()
    }

    /// Waits until `/api/health` says this status.
    pub fn is(&self, status: &str) -> Result<Value> {
        self.machine
            .wait_until(&format!("status {status}"), PATIENCE, || {
                let health = self.health()?;
                ensure!(health["status"] == status, "it says {health}");
                Ok(health)
            })
    }

    /// Waits until `/api/health` says that Amber cannot be reached: the dashboard reads this from the cache.
    pub fn is_without_amber(&self) -> Result<Value> {
        self.machine.wait_until("no Amber", PATIENCE, || {
            let health = self.health()?;
            ensure!(
                health["last_error"] == "cannot reach Amber",
                "it says {health}"
            );
            Ok(health)
        })
    }

    /// The price of what is drawn now, in cents, and when its interval begins.
    pub fn price(&self) -> Result<(f64, i64)> {
        let now = self.web.get("/api/now")?.success()?.json()?;
        let general = &now["prices"]["general"];
        let cents = general["per_kwh"].as_f64();
        let from = general["from"].as_i64();
        cents
            .zip(from)
            .with_context(|| format!("no price in {now}"))
    }
}

//! The climate service as its users see it.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Context, Machine, Result, Web, ensure};

const PORT: u16 = 8080;
const CONFIG: &str = "/etc/climate/config.json";
/// The bearer token in lichen.toml.
pub const TOKEN: &str = "a-token-that-only-the-owner-knows";

/// The service on one machine.
#[derive(Debug)]
pub struct Climate<'m> {
    machine: &'m Machine,
    web: Web,
}

/// The part of `/api/reading` that stories use.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// °C.
    pub temperature: f64,
    /// % relative humidity.
    pub humidity: f64,
    /// hPa.
    pub pressure: f64,
}

impl<'m> Climate<'m> {
    /// The service of `machine`.
    pub fn of(machine: &'m Machine) -> Result<Self> {
        Ok(Self {
            machine,
            web: machine.web(PORT)?,
        })
    }

    /// The same, configured to measure this often.
    pub fn impatient(machine: &'m Machine, interval: Duration) -> Result<Self> {
        let climate = Self::of(machine)?;
        climate.configure(|config| {
            config["sensor"]["interval_seconds"] = json!(interval.as_secs_f64())
        })?;
        Ok(climate)
    }

    /// Edits its configuration until the next boot, and restarts it.
    pub fn configure(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut config = serde_json::from_str(&self.machine.sh(&format!("cat {CONFIG}"))?)?;
        edit(&mut config);
        self.machine
            .write_file(CONFIG, config.to_string().as_bytes())?;
        self.machine.sh("systemctl restart climate").map(drop)
    }

    /// Its web server.
    pub fn web(&self) -> &Web {
        &self.web
    }

    /// Its own report of its health; an error unless the status is 200.
    pub fn health(&self) -> Result<Value> {
        self.web.get("/health")?.success()?.json()
    }

    /// Its current reading; the error has the reason why there is none.
    pub fn reading(&self) -> Result<Reading> {
        let answer = self.web.get("/api/reading")?.success()?.json()?;
        let number = |name: &str| {
            answer[name]
                .as_f64()
                .with_context(|| format!("no {name} in {answer}"))
        };
        Ok(Reading {
            temperature: number("temperature_c")?,
            humidity: number("humidity")?,
            pressure: number("pressure_hpa")?,
        })
    }

    /// Waits until it reports what the sensors measure.
    pub fn shows(
        &self,
        temperature: f64,
        humidity: f64,
        pressure: f64,
        within: Duration,
    ) -> Result<()> {
        let what = format!("{temperature} °C, {humidity} %, {pressure} hPa on the API");
        self.machine.wait_until(&what, within, || {
            let now = self.reading()?;
            let close = |is: f64, should: f64| (is - should).abs() < 0.06;
            let all = close(now.temperature, temperature)
                && close(now.humidity, humidity)
                && close(now.pressure, pressure);
            ensure!(all, "{now:?}");
            Ok(())
        })
    }

    /// Waits until it reports that it has no reading, and returns the reason that it gives.
    pub fn degrades(&self, within: Duration) -> Result<String> {
        self.machine
            .wait_until("the service to say that it cannot measure", within, || {
                let health = self.health()?;
                ensure!(health["status"] == "degraded", "it says {health}");
                Ok(health.to_string())
            })
    }

    /// The number of measurements since its start.
    pub fn readings(&self) -> Result<u64> {
        let metrics = self
            .web
            .get_as("/metrics", "application/json")?
            .success()?
            .json()?;
        let readings = metrics["application"]["readings"].as_u64();
        readings.with_context(|| format!("no number of readings in {metrics}"))
    }

    /// Waits until it has measured `count` more times.
    pub fn measures(&self, count: u64) -> Result<()> {
        let before = self.readings()?;
        self.machine.wait_until(
            &format!("{count} more readings"),
            Duration::from_secs(120),
            || {
                let now = self.readings()?;
                ensure!(
                    now >= before + count,
                    "{} so far",
                    now.saturating_sub(before)
                );
                Ok(())
            },
        )
    }

    /// The points that its history has for the seconds `from..to`.
    pub fn history(&self, from: u64, to: u64) -> Result<Vec<Value>> {
        let path = format!("/api/history?from={from}&to={to}&points=2000");
        let answer = self.web.get(&path)?.success()?.json()?;
        let points = answer["points"].as_array();
        Ok(points
            .with_context(|| format!("no points in {answer}"))?
            .clone())
    }

    /// Sends alerts to `url` from now on.
    pub fn send_alerts_to(&self, url: &str) -> Result<()> {
        let wanted =
            json!({ "webhook": { "url": url, "enabled": true, "retry_delay": 1, "timeout": 5 } });
        self.web
            .put("/api/webhook/config", Some(TOKEN), &wanted)?
            .success()
            .map(drop)
    }
}

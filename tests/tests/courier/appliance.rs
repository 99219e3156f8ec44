//! A climate appliance whose metrics and journal are carried to receivers on the host, and a target there.

use fake_receiver::{Loki, Prometheus, Server, Target};
use serde_json::{Value, json};
use testbed::{Context, Machine, Result, ensure};

use tests::{BOOT, Generation, appliance, healthy, status};

const PORT: u16 = 9102;
const CONFIG: &str = "/etc/courier/config.json";
/// Where machines reach this host.
const HOST: &str = "10.0.2.2";
/// What is there once a time server has answered; none is within reach.
const KNOWN: &str = "/run/systemd/timesync/synchronized";
/// The unit whose lines are counted; see tests/generations/courier.nix.
pub const LINES: &str = "chatter.service";

/// A climate appliance with a courier, which reaches nobody yet.
pub fn carried_appliance() -> Result<Machine> {
    let machine = appliance()?;
    let courier = Generation::named("courier")?;
    let done = courier.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    courier.runs_on(&machine)?;
    healthy(&machine)?;
    Ok(machine)
}

/// Waits until a machine whose plug was pulled is healthy again, and its generation is the good one.
pub fn is_back(machine: &Machine) -> Result<()> {
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    healthy(machine)?;
    machine.wait_until("the generation to be good", BOOT, || {
        let standing = &status(machine)?["standing"];
        ensure!(*standing == "good", "it is {standing}");
        Ok(())
    })
}

/// The courier of one machine, and where it carries from and to.
pub struct Carried<'m> {
    machine: &'m Machine,
    target: String,
    metrics: String,
    logs: String,
}

impl<'m> Carried<'m> {
    /// The courier of `machine`, which is told of these by [`Self::is_told`].
    pub fn of(machine: &'m Machine, target: &Target, metrics: &Prometheus, logs: &Loki) -> Self {
        let on_host = |server: &Server, path: &str| {
            format!("http://{HOST}:{}{path}", server.address().port())
        };
        Self {
            machine,
            target: on_host(&target.server, "/metrics"),
            metrics: on_host(&metrics.server, "/api/v1/write"),
            logs: on_host(&logs.server, "/loki/api/v1/push"),
        }
    }

    /// Tells the courier where to carry from and to, until the next boot.
    pub fn is_told(&self) -> Result<()> {
        let mut config: Value = serde_json::from_str(&self.machine.sh(&format!("cat {CONFIG}"))?)?;
        let targets = config["scrape"]["targets"].as_array_mut();
        let targets = targets.context("no targets in its configuration")?;
        targets.push(json!({ "job": "it", "url": self.target }));
        config["metrics"]["url"] = self.metrics.as_str().into();
        config["logs"]["url"] = self.logs.as_str().into();
        self.machine
            .write_file(CONFIG, config.to_string().as_bytes())?;
        self.machine.sh("systemctl restart courier").map(drop)
    }

    /// Lets the device know the time until the next boot, as it would if a time server had answered.
    pub fn knows_the_time(&self) -> Result<()> {
        self.machine
            .sh(&format!("install -D -m 644 /dev/null {KNOWN}"))
            .map(drop)
    }

    /// The lines of [`LINES`] in the journal, those of all boots, the oldest first.
    pub fn logged(&self) -> Result<Vec<String>> {
        let journal = format!("journalctl --quiet --unit {LINES} --output cat");
        let text = self.machine.sh(&journal)?;
        let is_counted = |line: &&str| {
            let number = line.split(' ').next_back().unwrap_or_default();
            number.parse::<u64>().is_ok()
        };
        Ok(text.lines().filter(is_counted).map(str::to_owned).collect())
    }

    /// The value of one of its own metrics.
    pub fn count(&self, metric: &str) -> Result<f64> {
        let text = self.machine.web(PORT)?.get("/metrics")?.success()?.body;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no {metric} in {text}"))?;
        value.parse().with_context(|| format!("{metric} {value}"))
    }

    /// Its resident memory, in KiB.
    pub fn resident(&self) -> Result<u64> {
        let command = "ps -o rss= -p $(systemctl show -P MainPID courier)";
        Ok(self.machine.sh(command)?.trim().parse()?)
    }
}

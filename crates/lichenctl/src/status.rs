//! How the device is, on one screen.
//!
//! Whatever can't be found out is unknown, and never an error: status is what one asks when things are broken.

use crate::confirm::{self, Awaited};
use crate::facts::{self, Facts};
use crate::generations::{self, Booted, Running};
use crate::provision::{self, Fate, Report};
use crate::root::Root;
use crate::state::{BootState, Generation, State};
use crate::update::{self, Following};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the running generation is to the boot state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is the good one.
    Good,
    /// It is on trial, and not blessed yet.
    Trial,
    /// Neither.
    Other,
    /// The boot state or the running generation is not known.
    Unknown,
}

/// How full a file system is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All of it.
    pub size: u64,
    /// What is taken.
    pub used: u64,
    /// What services can still write.
    pub available: u64,
}

/// How the device is. A field that is null could not be found out, or this board does not have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The host name.
    pub hostname: Option<String>,
    /// The generation that runs; null while `lichenctl test` runs a toplevel that is none.
    pub generation: Option<Generation>,
    /// Its toplevel.
    pub toplevel: Option<String>,
    /// The generation that was booted: another one, after a live switch.
    #[serde(default)]
    pub booted: Option<Generation>,
    /// What it is to the boot state.
    pub standing: Standing,
    /// The boot state.
    pub boot: Option<State>,
    /// Why there is no boot state.
    pub boot_error: Option<String>,
    /// What the next boot will run.
    pub next_boot: Option<Generation>,
    /// The generation that used up its tries.
    pub failed_trial: Option<Generation>,
    /// The generation that a soft-reboot is under way to.
    #[serde(default)]
    pub soft_reboot: Option<Generation>,
    /// The confirmation that is awaited, now or after the next boot.
    #[serde(default)]
    pub confirmation: Option<Awaited>,
    /// systemd's word for the whole: running, degraded, starting …
    pub system: Option<String>,
    /// The units that failed.
    pub failed_units: Option<Vec<String>>,
    /// Since the kernel started.
    pub uptime_seconds: Option<u64>,
    /// Of the system as a whole.
    #[serde(flatten)]
    pub facts: Facts,
    /// What provisioning did at this boot.
    pub provision: Option<Report>,
    /// The channel that is followed, if one is.
    #[serde(default)]
    pub update: Option<Following>,
    /// How full DATA is.
    pub data: Option<Usage>,
    /// The temperature of the SoC.
    pub soc_celsius: Option<f64>,
    /// Whether the power supply is too weak.
    pub undervoltage: Option<bool>,
    /// Whether the SoC slows itself down, for heat or for lack of power.
    pub throttled: Option<bool>,
}

/// Asks the device.
pub fn collect(root: &Root) -> Status {
    let running = Running::read(root);
    let (boot, boot_error) = match BootState::load(&root.at("boot")) {
        Ok(state) => (Some(state.state()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let firmware = text(&root.at("sys/devices/platform/soc/soc:firmware/get_throttled"))
        .and_then(|bits| u32::from_str_radix(bits.trim_start_matches("0x"), 16).ok());
    Status {
        hostname: text(&root.at("proc/sys/kernel/hostname")),
        standing: standing(running.generation, boot),
        generation: running.generation,
        toplevel: running.toplevel,
        booted: Booted::read(root).generation,
        next_boot: boot.map(|state| state.at_boot().0),
        failed_trial: boot.and_then(|state| generations::failed_trial(root, state)),
        soft_reboot: Booted::soon(root).and_then(|soon| soon.generation),
        confirmation: confirm::pending(root),
        boot,
        boot_error,
        system: systemctl(root, &["is-system-running"]).map(|word| word.trim().to_owned()),
        failed_units: systemctl(
            root,
            &[
                "list-units",
                "--state=failed",
                "--plain",
                "--no-legend",
                "--full",
            ],
        )
        .map(|units| {
            units
                .lines()
                .filter_map(|l| l.split_whitespace().next())
                .map(str::to_owned)
                .collect()
        }),
        uptime_seconds: text(&root.at("proc/uptime")).and_then(|uptime| {
            uptime
                .split(['.', ' '])
                .next()
                .and_then(|seconds| seconds.parse().ok())
        }),
        facts: facts::collect(root),
        provision: provision::report(root),
        update: update::following(root),
        data: usage(&root.at("run/data")),
        soc_celsius: soc_celsius(root),
        undervoltage: firmware
            .map(|bits| bits & 1 != 0)
            .or_else(|| undervoltage(root)),
        throttled: firmware.map(|bits| bits & 0b1110 != 0),
    }
}

fn standing(running: Option<Generation>, state: Option<State>) -> Standing {
    let (Some(running), Some(state)) = (running, state) else {
        return Standing::Unknown;
    };
    match state.trial {
        _ if running == state.good => Standing::Good,
        Some(trial) if trial.generation == running => Standing::Trial,
        _ => Standing::Other,
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// What systemctl prints. Its exit status tells of the units, not of the question.
fn systemctl(root: &Root, arguments: &[&str]) -> Option<String> {
    let output = root
        .is_device()
        .then(|| {
            Command::new("systemctl")
                .args(arguments)
                .arg("--no-pager")
                .output()
        })?
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    (output.status.success() || !said.is_empty()).then_some(said)
}

fn usage(path: &Path) -> Option<Usage> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(Usage {
        size: stat.f_blocks * stat.f_frsize,
        used: (stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        available: stat.f_bavail * stat.f_frsize,
    })
}

/// The folders of a class in sysfs, such as `thermal`.
fn class(root: &Root, name: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(root.at("sys/class").join(name))
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn soc_celsius(root: &Root) -> Option<f64> {
    let zone = class(root, "thermal").into_iter().find(|zone| {
        text(&zone.join("type"))
            .is_some_and(|kind| kind.starts_with("cpu") || kind.starts_with("soc"))
    })?;
    text(&zone.join("temp"))?
        .parse::<f64>()
        .ok()
        .map(|milli| milli / 1000.0)
}

/// The firmware's word on the supply, as the kernel's own driver passes it on.
fn undervoltage(root: &Root) -> Option<bool> {
    let sensor = class(root, "hwmon")
        .into_iter()
        .find(|s| text(&s.join("name")).as_deref() == Some("rpi_volt"))?;
    Some(text(&sensor.join("in0_lcrit_alarm"))? == "1")
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_owned();
        let mut line = |name: &str, value: String| writeln!(f, "{name:<12}{value}");
        let up = self
            .uptime_seconds
            .map_or_else(String::new, |seconds| format!(", up {}", duration(seconds)));
        line("host", self.hostname.clone().unwrap_or_else(unknown) + &up)?;
        line(
            "appliance",
            self.facts.appliance.clone().unwrap_or_else(unknown),
        )?;
        line("generation", self.generation_words())?;
        line("toplevel", self.toplevel.clone().unwrap_or_else(unknown))?;
        line("next boot", self.next_boot_words())?;
        if let Some(awaited) = &self.confirmation {
            line("confirm", confirmation_words(awaited))?;
        }
        line(
            "health",
            self.facts
                .problems
                .as_deref()
                .map_or_else(unknown, health_words),
        )?;
        line("units", self.units_words())?;
        line(
            "provision",
            self.provision
                .as_ref()
                .map_or_else(unknown, provision_words),
        )?;
        if let Some(following) = &self.update {
            line("update", update_words(following))?;
        }
        line("DATA", self.data.map_or_else(unknown, usage_words))?;
        line(
            "memory",
            self.facts.memory.map_or_else(unknown, usage_words),
        )?;
        line("SoC", self.soc_words())?;
        match self.facts.errors.as_deref() {
            None | Some([]) => Ok(()),
            Some(errors) => line("errors", errors.join(&format!("\n{:<12}", ""))),
        }
    }
}

impl Status {
    fn generation_words(&self) -> String {
        let number = self
            .generation
            .map_or_else(|| "unknown".to_owned(), |generation| generation.to_string());
        match self.standing {
            Standing::Good => format!("{number}, good"),
            Standing::Trial if self.booted != self.generation => {
                format!("{number}, switched to live; the next boot is its trial")
            }
            Standing::Trial => format!("{number}, on trial: not blessed yet"),
            Standing::Other => format!("{number}, neither good nor on trial"),
            Standing::Unknown if self.generation.is_none() && self.booted.is_some() => {
                "none: a toplevel on test, gone with the next boot".to_owned()
            }
            Standing::Unknown => number,
        }
    }

    fn next_boot_words(&self) -> String {
        if let Some(generation) = self.soft_reboot {
            return format!("soft-reboot into generation {generation}, under way");
        }
        let (Some(state), Some(next)) = (self.boot, self.next_boot) else {
            return format!(
                "unknown: {}",
                self.boot_error.as_deref().unwrap_or("no boot state")
            );
        };
        if let Some(failed) = self.failed_trial {
            return format!("generation {next}; the trial of generation {failed} failed");
        }
        match state.trial.filter(|trial| trial.generation == next) {
            Some(trial) => {
                let tries = if trial.tries == 1 { "try" } else { "tries" };
                format!(
                    "generation {next} on trial ({} {tries} left), then {}",
                    trial.tries, state.good
                )
            }
            None => format!("generation {next}"),
        }
    }

    fn units_words(&self) -> String {
        let system = self.system.as_deref().unwrap_or("unknown");
        match self.failed_units.as_deref() {
            Some([]) => format!("{system}, none failed"),
            Some(units) => format!("{system}, {} failed: {}", units.len(), units.join(" ")),
            None => system.to_owned(),
        }
    }

    fn soc_words(&self) -> String {
        let mut words = self.soc_celsius.map_or_else(
            || "unknown".to_owned(),
            |celsius| format!("{celsius:.1} °C"),
        );
        if self.undervoltage == Some(true) {
            words += ", undervoltage: the power supply is too weak";
        }
        if self.throttled == Some(true) {
            words += ", throttled";
        }
        words
    }
}

fn confirmation_words(awaited: &Awaited) -> String {
    let what = awaited.generation.map_or_else(
        || "the toplevel on test".to_owned(),
        |generation| format!("generation {generation}"),
    );
    let within = awaited.within;
    format!("{what} stays if `lichenctl confirm` comes within {within} s of its being healthy")
}

fn provision_words(report: &Report) -> String {
    let applied = &report.applied;
    let mut parts = Vec::new();
    parts.extend(
        applied
            .hostname
            .iter()
            .map(|name| format!("host name {name}")),
    );
    parts.extend(
        applied
            .timezone
            .iter()
            .map(|zone| format!("time zone {zone}")),
    );
    parts.extend(applied.wifi.iter().map(|ssid| format!("Wi-Fi {ssid}")));
    let count = |n: usize, one: &str| {
        (n > 0).then(|| format!("{n} {one}{}", if n == 1 { "" } else { "s" }))
    };
    parts.extend(count(applied.authorized_keys, "SSH key"));
    parts.extend(count(applied.secrets.len(), "secret"));
    let mut words = if parts.is_empty() {
        "nothing".to_owned()
    } else {
        parts.join(", ")
    };
    if report.file == Fate::Rejected {
        words += "; lichen.toml on BOOT is wrong and was not used";
    }
    for problem in &report.problems {
        words += &format!("\n{:<12}lichen.toml: {problem}", "");
    }
    for fault in &report.faults {
        words += &format!("\n{:<12}{fault}", "");
    }
    words
}

fn health_words(problems: &[String]) -> String {
    match problems {
        [] => "healthy".to_owned(),
        some => format!("not healthy: {}", some.join("; ")),
    }
}

fn update_words(following: &Following) -> String {
    let channel = &following.channel;
    let Some(last) = &following.last else {
        return format!("{channel}, not looked for yet");
    };
    let when = following.seconds_ago.map_or_else(
        || "looked for".to_owned(),
        |seconds| format!("looked for {} ago", duration(seconds)),
    );
    let failed = if last.ok { "" } else { "failed: " };
    format!("{channel}, {when}: {failed}{}", last.said)
}

fn usage_words(usage: Usage) -> String {
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let percent = (usage.used * 100)
        .checked_div(usage.used + usage.available)
        .unwrap_or(0);
    format!(
        "{:.1} of {:.1} GiB used ({percent} %)",
        gib(usage.used),
        gib(usage.size)
    )
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

//! The status document: the state of a device, as JSON for programs and on one screen for people.

use crate::Generation;
use crate::duration::duration;
use crate::link::{Link, Tunnel};
use crate::provision::{Fate, Report};
use crate::recovery::Recovery;
use crate::vitals::{Refusal, Vitals};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The running generation's role in the boot state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is the good generation.
    Good,
    /// It is on trial, and not blessed yet.
    Trial,
    /// It is neither good nor on trial.
    Other,
    /// The boot state or the running generation is not known.
    Unknown,
}

/// How full a file system is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The total size.
    pub size: u64,
    /// The used space.
    pub used: u64,
    /// The space available to services.
    pub available: u64,
}

/// The boot state, as one slot on BOOT has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootState {
    /// Counts writes; the slot with the higher value is current.
    pub seq: u64,
    /// The generation that is known to be healthy.
    pub good: Generation,
    /// The generation to try first, if there is one.
    pub trial: Option<Trial>,
}

/// A generation that is booted before it is blessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// The generation on trial.
    pub generation: Generation,
    /// How many more boots it gets before the good one is booted again.
    pub tries: u64,
}

/// The state of the system as a whole. A field that is null could not be determined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The running appliance.
    pub appliance: Option<String>,
    /// The problems found by its health checks and in its units; empty if all is well.
    pub problems: Option<Vec<String>>,
    /// What its services say of themselves.
    #[serde(default)]
    pub services: Option<Vec<Service>>,
    /// Its memory usage.
    pub memory: Option<Usage>,
    /// The last errors of this boot's journal, the oldest first.
    pub errors: Option<Vec<String>>,
}

/// What a service says of itself, in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its unit, without the suffix.
    pub name: String,
    /// Its words.
    pub said: String,
}

/// A confirmation that is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The generation; null for a toplevel on test.
    pub generation: Option<Generation>,
    /// Its toplevel.
    pub toplevel: String,
    /// The time limit in seconds, counted from when it is found healthy.
    pub within: u64,
}

/// The updates, as `lichenctl status` shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// The channel.
    pub channel: String,
    /// The last run.
    pub last: Option<Last>,
    /// How many seconds ago that was; null if the clock was set back since.
    pub seconds_ago: Option<u64>,
    /// How many seconds ago the channel was reached last, and was one to follow; null if it never was.
    #[serde(default)]
    pub reached_seconds_ago: Option<u64>,
    /// For how many seconds the channel has named something else than what runs; null if it does not.
    #[serde(default)]
    pub behind_seconds: Option<u64>,
}

/// The result of an update run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Seconds since 1970, by the device's clock.
    pub at: u64,
    /// Whether it succeeded.
    pub ok: bool,
    /// Its final message.
    pub said: String,
    /// Why it did not succeed; null also from versions that do not report it.
    #[serde(default)]
    pub refusal: Option<Refusal>,
}

/// The state of a device. A field that is null could not be determined, or this board does not have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The host name.
    pub hostname: Option<String>,
    /// The running generation; null while `lichenctl test` runs a toplevel that is not a generation.
    pub generation: Option<Generation>,
    /// Its toplevel.
    pub toplevel: Option<String>,
    /// The booted generation; it differs from the running one after a live switch.
    #[serde(default)]
    pub booted: Option<Generation>,
    /// The running generation's role in the boot state.
    pub standing: Standing,
    /// The boot state.
    pub boot: Option<BootState>,
    /// Why the boot state is missing.
    pub boot_error: Option<String>,
    /// What runs after the next boot.
    pub next_boot: Option<Generation>,
    /// The generation whose tries are used up.
    pub failed_trial: Option<Generation>,
    /// The generation that a pending soft-reboot starts.
    #[serde(default)]
    pub soft_reboot: Option<Generation>,
    /// Whether a lichenctl is changing generations at this moment; null also from versions that do not report it.
    #[serde(default)]
    pub busy: Option<bool>,
    /// The confirmation that is awaited, now or after the next boot.
    #[serde(default)]
    pub confirmation: Option<Awaited>,
    /// The state of the system in systemd's words: running, degraded, starting …
    pub system: Option<String>,
    /// The units that failed.
    pub failed_units: Option<Vec<String>>,
    /// The uptime since the kernel started.
    pub uptime_seconds: Option<u64>,
    /// The facts about the system as a whole.
    #[serde(flatten)]
    pub facts: Facts,
    /// The result of provisioning at this boot.
    pub provision: Option<Report>,
    /// The channel that is followed, if one is.
    #[serde(default)]
    pub update: Option<Following>,
    /// Why the device was reset, and what recovery has done; null until the first boot that tells.
    #[serde(default)]
    pub recovery: Option<Recovery>,
    /// What the device knows of itself; null from versions that do not report it.
    #[serde(default)]
    pub vitals: Option<Vitals>,
    /// Whether a gateway answers, and what was done while none did; null where nothing watches the network.
    #[serde(default)]
    pub link: Option<Link>,
    /// The WireGuard interfaces.
    #[serde(default)]
    pub tunnels: Vec<Tunnel>,
    /// The space on DATA.
    pub data: Option<Usage>,
    /// The temperature of the SoC.
    pub soc_celsius: Option<f64>,
    /// Whether the power supply is too weak.
    pub undervoltage: Option<bool>,
    /// Whether the SoC is throttled because of heat or a weak power supply.
    pub throttled: Option<bool>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_owned();
        let mut line = |name: &str, value: String| {
            // Some values are what others said, which must not reach the terminal as commands.
            let value = value.replace(|c: char| c.is_control() && c != '\n', "");
            writeln!(f, "{name:<12}{value}")
        };
        let up = self
            .uptime_seconds
            .map_or_else(String::new, |seconds| format!(", up {}", duration(seconds)));
        line("host", self.hostname.clone().unwrap_or_else(unknown) + &up)?;
        line(
            "appliance",
            self.facts.appliance.clone().unwrap_or_else(unknown),
        )?;
        line("generation", self.generation_words())?;
        line("toplevel", self.toplevel_words())?;
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
        if let Some(fallback) = self.vitals.as_ref().and_then(|v| v.fallback.as_ref()) {
            line("fell back", fallback.to_string())?;
        }
        if let Some(recovery) = &self.recovery {
            if !recovery.resets.is_empty() {
                line("resets", lines(recovery.reset_words()))?;
            }
            if let Some(words) = recovery.words() {
                line("recovery", words)?;
            }
        }
        if let Some(services @ [_, ..]) = self.facts.services.as_deref() {
            let words = services.iter().map(|s| format!("{}: {}", s.name, s.said));
            line("services", lines(words))?;
        }
        line(
            "provision",
            self.provision
                .as_ref()
                .map_or_else(unknown, provision_words),
        )?;
        if let Some(following) = &self.update {
            line("update", update_words(following))?;
        }
        if let Some(link) = &self.link {
            line("network", lines(link.words(self.uptime_seconds)))?;
        }
        if !self.tunnels.is_empty() {
            let words = self.tunnels.iter().flat_map(Tunnel::words);
            line("WireGuard", lines(words))?;
        }
        line("DATA", self.data.map_or_else(unknown, usage_words))?;
        if let Some(vitals) = &self.vitals {
            let card = vitals.card.as_ref();
            let words = card.map(|card| card.words(self.uptime_seconds));
            line("card", words.unwrap_or_else(unknown))?;
            match vitals.wifi.as_deref() {
                None => line("Wi-Fi", unknown())?,
                Some([]) => {}
                Some(wifi) => line("Wi-Fi", lines(wifi.iter().map(ToString::to_string)))?,
            }
            let time = vitals.time.as_ref();
            line("time", time.map_or_else(unknown, ToString::to_string))?;
        }
        line(
            "memory",
            self.facts.memory.map_or_else(unknown, usage_words),
        )?;
        line("SoC", self.soc_words())?;
        match self.facts.errors.as_deref() {
            None | Some([]) => Ok(()),
            Some(errors) => line("errors", lines(errors.iter().cloned())),
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
                "none: a toplevel on test, which the next boot replaces".to_owned()
            }
            Standing::Unknown => number,
        }
    }

    fn toplevel_words(&self) -> String {
        let toplevel = self.toplevel.as_deref().unwrap_or("unknown");
        match self.vitals.as_ref().and_then(|v| v.version.as_ref()) {
            Some(version) => format!("{toplevel}, version {version}"),
            None => toplevel.to_owned(),
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
        let untold: Vec<_> = [
            (self.undervoltage, "undervoltage"),
            (self.throttled, "throttling"),
        ]
        .into_iter()
        .filter_map(|(told, what)| told.is_none().then_some(what))
        .collect();
        if !untold.is_empty() {
            words += &format!("; {} cannot be told", untold.join(" and "));
        }
        words
    }
}

/// Values below each other.
fn lines(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(&format!("\n{:<12}", ""))
}

fn confirmation_words(awaited: &Awaited) -> String {
    let what = awaited.generation.map_or_else(
        || "the toplevel on test".to_owned(),
        |generation| format!("generation {generation}"),
    );
    let within = awaited.within;
    format!(
        "{what} stays only if `lichenctl confirm` arrives within {within} s after it becomes healthy"
    )
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
    words += match report.file {
        Fate::Rejected => "; lichen.toml on BOOT is wrong and was not used",
        Fate::Partial => "; lichen.toml on BOOT was used but for its mistakes",
        Fate::Absent | Fate::Stored | Fate::Kept => "",
    };
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
        return format!("{channel}, not checked yet");
    };
    let when = following.seconds_ago.map_or_else(
        || "checked".to_owned(),
        |seconds| format!("checked {} ago", duration(seconds)),
    );
    let failed = if last.ok { "" } else { "failed: " };
    let mut words = format!("{channel}, {when}: {failed}{}", last.said);
    if last.refusal == Some(Refusal::Unreachable)
        && let Some(seconds) = following.reached_seconds_ago
    {
        words += &format!("; it was reached {} ago", duration(seconds));
    }
    if let Some(seconds) = following.behind_seconds {
        words += &format!("; the device has been behind it for {}", duration(seconds));
    }
    words
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

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

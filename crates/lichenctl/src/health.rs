//! Decides whether a generation is healthy: all its declared checks pass, no unit has failed, and both hold for two
//! consecutive observations within its deadline.
//!
//! The checks are the generation's own, in `/etc/lichen/health.json`. A generation without that file declares
//! none, and is healthy when none of its units is failed.

use crate::hint::Hint;
use crate::last_words;
use crate::root::Root;
use crate::systemd::{self, Listed};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Where the checks are declared.
pub const FILE: &str = "etc/lichen/health.json";

const DEADLINE: u64 = 300;
/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two observations. A service that crashes and is restarted looks healthy in between.
const PAUSE: Duration = Duration::from_secs(2);
/// A service that systemd has restarted so often since the wait began does not get well by waiting. With the pauses that the
/// services of this project have between restarts, that is after half a minute.
const HOPELESS_RESTARTS: u64 = 5;
/// A failed unit stays failed once no jobs are pending any more.
const HOPELESS: Duration = Duration::from_secs(10);

/// The health checks that a generation declares.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// The deadline in seconds, from the boot or the switch.
    pub deadline: u64,
    /// The checks, by name.
    pub checks: BTreeMap<String, Check>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            checks: BTreeMap::new(),
        }
    }
}

/// One check: exactly one of these fields is set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The address answers with a 2xx.
    Http(String),
    /// The shell command succeeds.
    Command(String),
    /// The unit is active.
    Unit(String),
}

/// A reason why a generation is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A unit has failed. Nothing restarts it, so waiting does not help.
    Failed(String),
    /// A unit crashes, and systemd restarts it.
    Crashing(String),
    /// The system as a whole is not up yet, or is shutting down.
    System(String),
    /// A declared check does not pass.
    Check {
        /// Its name.
        name: String,
        /// Why it does not pass.
        why: String,
    },
    /// Each observation is fine, but this unit is restarted between them.
    Restless(String),
    /// A unit that ended each time that it was started.
    Looping {
        /// Its name.
        unit: String,
        /// How often systemd has started it again.
        restarts: u64,
    },
    /// The health could not be determined.
    Unknown(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(unit) => write!(f, "{unit} failed"),
            Self::Crashing(unit) => write!(f, "{unit} keeps crashing and being restarted"),
            Self::System(state) => write!(f, "the system is {state}"),
            Self::Check { name, why } => write!(f, "check {name}: {why}"),
            Self::Restless(unit) => write!(f, "{unit} keeps being restarted"),
            Self::Looping { unit, restarts } => {
                write!(
                    f,
                    "{unit} was restarted {restarts} times and ended each time"
                )
            }
            Self::Unknown(why) => f.write_str(why),
        }
    }
}

impl Problem {
    /// The unit that it is about.
    fn unit(&self) -> Option<&str> {
        match self {
            Self::Failed(unit)
            | Self::Crashing(unit)
            | Self::Restless(unit)
            | Self::Looping { unit, .. } => Some(unit),
            Self::System(_) | Self::Check { .. } | Self::Unknown(_) => None,
        }
    }
}

/// A generation that is not healthy, with all the reasons.
#[derive(Debug, thiserror::Error)]
#[error("not healthy after {seconds} s: {}", self.reasons().join("; "))]
pub struct Unhealthy {
    /// How long it was given.
    pub seconds: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The last words of the units that it is about, by their names.
    pub words: BTreeMap<String, String>,
}

impl Unhealthy {
    /// What is wrong, each with the last words of the unit that it is about.
    pub fn reasons(&self) -> Vec<String> {
        let reason = |problem: &Problem| match problem.unit().and_then(|unit| self.words.get(unit))
        {
            Some(words) => format!("{problem}, saying “{words}”"),
            None => problem.to_string(),
        };
        self.problems.iter().map(reason).collect()
    }
}

impl Hint for Unhealthy {
    fn hint(&self) -> &'static str {
        "`lichenctl status` shows the units that failed"
    }
}

/// The result of one observation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Observation {
    problems: Vec<Problem>,
    /// How often each service was restarted; counted once the system is up.
    restarts: Option<BTreeMap<String, u64>>,
    /// Whether waiting can help.
    under_way: bool,
}

impl Health {
    /// Reads what the running generation declares.
    pub fn load(root: &Root) -> Result<Self> {
        match fs::read_to_string(root.at(FILE)) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("/{FILE}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read /{FILE}")),
        }
    }

    /// Observes once; an error says what is wrong. Units in `forgiven` may be failed, as they had failed before.
    pub fn check(&self, forgiven: &BTreeSet<String>) -> Result<(), Unhealthy> {
        let seen = self.observe(forgiven);
        judge(seen.problems, Duration::ZERO)
    }

    /// The checks without those that fail now, and the units that have failed or keep crashing: what is wrong already
    /// says nothing about a change.
    pub fn apart_from_what_is_wrong(mut self) -> (Self, BTreeSet<String>) {
        let mut forgiven = BTreeSet::new();
        for problem in self.observe(&forgiven).problems {
            match problem {
                Problem::Failed(unit) | Problem::Crashing(unit) => drop(forgiven.insert(unit)),
                Problem::Check { name, .. } => drop(self.checks.remove(&name)),
                Problem::System(_)
                | Problem::Restless(_)
                | Problem::Looping { .. }
                | Problem::Unknown(_) => {}
            }
        }
        (self, forgiven)
    }

    /// Waits until the generation is healthy; stops early when it can no longer become healthy.
    pub fn wait(&self, forgiven: &BTreeSet<String>) -> Result<(), Unhealthy> {
        let begin = Instant::now();
        let deadline = Duration::from_secs(self.deadline);
        let mut before: Option<Observation> = None;
        let mut settled: Option<Instant> = None;
        let mut at_first: Option<BTreeMap<String, u64>> = None;
        loop {
            let seen = self.observe(forgiven);
            if seen.problems.is_empty()
                && before.is_some_and(|b| b.problems.is_empty() && b.restarts == seen.restarts)
            {
                return Ok(());
            }
            let restarted = match &seen.restarts {
                Some(now) => since(at_first.get_or_insert_with(|| now.clone()), now, forgiven),
                None => BTreeMap::new(),
            };
            let looping = looping(&restarted);
            if !looping.is_empty() {
                return judge(looping, begin.elapsed());
            }
            if seen.under_way || seen.problems.is_empty() {
                settled = None;
            } else if settled.get_or_insert_with(Instant::now).elapsed() > HOPELESS {
                return judge(seen.problems, begin.elapsed());
            }
            if begin.elapsed() > deadline {
                let mut problems = seen.problems;
                if problems.is_empty() {
                    problems.extend(restarted.into_keys().map(Problem::Restless));
                }
                if problems.is_empty() {
                    problems.push(Problem::Unknown("it was well at the last look only".into()));
                }
                return judge(problems, begin.elapsed());
            }
            before = Some(seen);
            sleep(PAUSE);
        }
    }

    /// Observes the system. Each query starts a program and is work for a service manager that may still be booting, so
    /// queries that cannot change the result are skipped.
    fn observe(&self, forgiven: &BTreeSet<String>) -> Observation {
        let mut problems = Vec::new();
        let mut under_way = false;
        match systemd::units() {
            Ok(units) => problems.extend(unit_problems(&units, forgiven)),
            Err(error) => problems.push(Problem::Unknown(format!("{error:#}"))),
        }
        // Every problem except a failed unit may resolve itself.
        under_way |= !problems.iter().any(|p| matches!(p, Problem::Failed(_)));
        match systemd::overall() {
            Ok(overall) => {
                under_way |= overall.jobs > 0;
                if !["running", "degraded"].contains(&overall.state.as_str()) {
                    under_way = true;
                    problems.push(Problem::System(overall.state));
                }
            }
            Err(error) => {
                under_way = true;
                problems.push(Problem::Unknown(format!("{error:#}")));
            }
        }
        for (name, check) in &self.checks {
            if let Err(error) = check.run() {
                problems.push(Problem::Check {
                    name: name.clone(),
                    why: format!("{error:#}"),
                });
            }
        }
        let not_up =
            |problem: &Problem| matches!(problem, Problem::System(_) | Problem::Unknown(_));
        let restarts = match problems.iter().any(not_up) {
            true => None,
            false => systemd::restarts().ok(),
        };
        Observation {
            problems,
            restarts,
            under_way,
        }
    }
}

/// How often each unit was restarted since then, apart from those that were in trouble before.
fn since(
    then: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
    forgiven: &BTreeSet<String>,
) -> BTreeMap<String, u64> {
    let more = now.iter().filter_map(|(unit, count)| {
        // Whoever starts a service anew makes systemd count from the beginning.
        let more = count.saturating_sub(then.get(unit).copied().unwrap_or(0));
        (more > 0 && !forgiven.contains(unit)).then(|| (unit.clone(), more))
    });
    more.collect()
}

fn looping(restarted: &BTreeMap<String, u64>) -> Vec<Problem> {
    let hopeless = restarted
        .iter()
        .filter(|(_, restarts)| **restarts >= HOPELESS_RESTARTS);
    hopeless
        .map(|(unit, restarts)| Problem::Looping {
            unit: unit.clone(),
            restarts: *restarts,
        })
        .collect()
}

fn judge(problems: Vec<Problem>, after: Duration) -> Result<(), Unhealthy> {
    if problems.is_empty() {
        return Ok(());
    }
    let units = problems.iter().filter_map(Problem::unit);
    let words = units.filter_map(|unit| Some((unit.to_owned(), last_words::of(unit)?)));
    Err(Unhealthy {
        seconds: after.as_secs(),
        words: words.collect(),
        problems,
    })
}

fn unit_problems(units: &[Listed], forgiven: &BTreeSet<String>) -> Vec<Problem> {
    let judged = units.iter().filter(|unit| !forgiven.contains(&unit.name));
    judged
        .filter_map(|unit| match (unit.active.as_str(), unit.sub.as_str()) {
            ("failed", _) => Some(Problem::Failed(unit.name.clone())),
            (_, "auto-restart" | "auto-restart-queued") => {
                Some(Problem::Crashing(unit.name.clone()))
            }
            _ => None,
        })
        .collect()
}

/// The units that have failed or keep crashing now, apart from the forgiven ones, each with its last words.
pub fn in_trouble(forgiven: &BTreeSet<String>) -> Vec<String> {
    let units = systemd::units().unwrap_or_default();
    let judged = judge(unit_problems(&units, forgiven), Duration::ZERO);
    judged
        .err()
        .map_or_else(Vec::new, |unhealthy| unhealthy.reasons())
}

/// The units that have failed.
pub fn failed() -> Result<BTreeSet<String>> {
    let units = systemd::units()?.into_iter();
    Ok(units
        .filter(|unit| unit.active == "failed")
        .map(|unit| unit.name)
        .collect())
}

impl Check {
    fn run(&self) -> Result<()> {
        match self {
            Self::Http(address) => http(address),
            Self::Command(command) => shell(command),
            Self::Unit(unit) => systemd::run("systemctl", &["is-active", "--quiet", "--", unit])
                .map(drop)
                .map_err(|_| anyhow::anyhow!("{unit} is not active")),
        }
    }
}

fn http(address: &str) -> Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        // The service itself must answer, so neither redirects nor proxies are used.
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let response = agent.get(address).call().context(address.to_owned())?;
    let status = response.status();
    // Read the rest, so that the service does not see a broken connection.
    let _ = std::io::copy(
        &mut response.into_body().into_reader().take(1 << 20),
        &mut std::io::sink(),
    );
    anyhow::ensure!(status.is_success(), "{address} answers {}", status.as_u16());
    Ok(())
}

fn shell(command: &str) -> Result<()> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run /bin/sh")?;
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "`{command}` failed: {status}");
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("`{command}` did not finish within {} s", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;

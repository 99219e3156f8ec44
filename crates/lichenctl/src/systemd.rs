//! Queries and controls systemd through its own systemctl.

use crate::plan::Active;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const CGROUPS: &str = "/sys/fs/cgroup";
const WATCHDOGS: &str = "/sys/class/watchdog";
/// A target that depends on systemd's own targets, which cannot be started by hand.
const SOFT_REBOOT: &str = "lichen-soft-reboot.target";

/// A unit as `systemctl list-units` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The active state: active, failed, activating …
    pub active: String,
    /// The sub-state: running, auto-restart …
    pub sub: String,
}

/// All units that are loaded.
pub fn units() -> Result<Vec<Listed>> {
    let arguments = [
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "--full",
        "--no-pager",
    ];
    Ok(listed(&output(&arguments)?))
}

fn listed(text: &str) -> Vec<Listed> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            let (_load, active, sub) = (words.next()?, words.next()?, words.next()?);
            Some(Listed {
                name,
                active: active.to_owned(),
                sub: sub.to_owned(),
            })
        })
        .collect()
}

/// The active units, and the files that their processes run.
pub fn active() -> Result<Active> {
    let cgroups = folders(Path::new(CGROUPS));
    let mut active = Active::default();
    for unit in units()? {
        // A unit that is being restarted repeatedly is meant to be active, too.
        let meant = unit.active == "active"
            || unit.active == "reloading"
            || unit.active == "activating" && unit.name.ends_with(".service");
        if !meant {
            continue;
        }
        let mut files = BTreeSet::new();
        if unit.name.ends_with(".service") {
            let own = cgroups.iter().filter(|folder| {
                folder
                    .components()
                    .any(|c| c.as_os_str() == unit.name.as_str())
            });
            for folder in own {
                for pid in fs::read_to_string(folder.join("cgroup.procs"))
                    .unwrap_or_default()
                    .lines()
                {
                    files.extend(mapped(pid));
                }
            }
        }
        active.units.insert(unit.name, files);
    }
    Ok(active)
}

/// The files below /usr that systemd itself runs from.
pub fn manager() -> BTreeSet<String> {
    mapped("1")
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(folders(&entry.path()));
        }
    }
    found
}

fn mapped(pid: &str) -> BTreeSet<String> {
    in_usr(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default())
}

/// The files of /usr that a process has mapped. If it still runs from a detached /usr, the paths start below that.
fn in_usr(maps: &str) -> BTreeSet<String> {
    let files = maps.lines().filter_map(|line| {
        let path = line.split_whitespace().nth(5)?;
        match path.split('/').nth(1)? {
            "usr" => Some(path.to_owned()),
            "bin" | "sbin" | "lib" | "libexec" => Some(format!("/usr{path}")),
            _ => None,
        }
    });
    files.collect()
}

/// The system as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overall {
    /// starting, running, degraded …
    pub state: String,
    /// How many jobs are pending.
    pub jobs: u64,
}

/// The state of the system as a whole.
pub fn overall() -> Result<Overall> {
    overall_of(&output(&[
        "show",
        "--property=SystemState",
        "--property=NJobs",
    ])?)
}

fn overall_of(text: &str) -> Result<Overall> {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .with_context(|| format!("`systemctl show` printed no {name}"))
    };
    Ok(Overall {
        state: value("SystemState")?.to_owned(),
        jobs: value("NJobs")?
            .parse()
            .context("`systemctl show` printed an NJobs that is not a number")?,
    })
}

/// How often systemd has restarted each service by itself; those that it never restarted are left out.
pub fn restarts() -> Result<BTreeMap<String, u64>> {
    Ok(restarts_of(&output(&[
        "show",
        "--property=Id,NRestarts",
        "*.service",
    ])?))
}

fn restarts_of(text: &str) -> BTreeMap<String, u64> {
    let services = text.split("\n\n").filter_map(|block| {
        let value = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once('='));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let restarts = value("NRestarts")?.parse().ok()?;
        Some((value("Id")?.to_owned(), restarts))
    });
    services.filter(|(_, restarts)| *restarts > 0).collect()
}

/// How a service failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether it is failed now.
    pub failed: bool,
    /// Whether it had ended well, and systemd refused to start it again so soon.
    pub refused: bool,
    /// How often it was restarted automatically since somebody started it.
    pub restarts: u64,
    /// The status with which its main process ended.
    pub exit_status: u64,
}

/// How the service failed, if it did.
pub fn failure(unit: &str) -> Result<Failure> {
    let properties = "--property=ActiveState,Result,NRestarts,ExecMainStatus";
    Ok(failure_of(&output(&["show", properties, "--", unit])?))
}

fn failure_of(text: &str) -> Failure {
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let number = |name| value(name).and_then(|value| value.parse().ok());
    Failure {
        failed: value("ActiveState") == Some("failed"),
        refused: value("Result") == Some("start-limit-hit"),
        restarts: number("NRestarts").unwrap_or(0),
        exit_status: number("ExecMainStatus").unwrap_or(0),
    }
}

/// Runs a systemctl verb on units; does nothing for an empty list. The error contains systemctl's message.
pub fn tell(verb: &str, units: &[String]) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let mut arguments = vec![verb, "--no-ask-password", "--"];
    arguments.extend(units.iter().map(String::as_str));
    output(&arguments).map(drop)
}

/// These units, and those that stop when they stop.
pub fn that_stop_with(units: &[String]) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mut next: Vec<String> = units.to_vec();
    while !next.is_empty() {
        let properties = "--property=RequiredBy,RequisiteOf,BoundBy,ConsistsOf";
        let mut arguments = vec!["show", properties, "--"];
        arguments.extend(next.iter().map(String::as_str));
        let text = output(&arguments)?;
        all.append(&mut next.into_iter().collect());
        next = related(&text).filter(|unit| !all.contains(unit)).collect();
    }
    Ok(all)
}

/// The units that the properties of others name.
fn related(text: &str) -> impl Iterator<Item = String> {
    let values = text.lines().filter_map(|line| line.split_once('='));
    values.flat_map(|(_, units)| units.split_whitespace().map(str::to_owned))
}

/// Makes systemd reload its units, or re-execute itself.
pub fn reload_manager(reexecute: bool) -> Result<()> {
    let verb = if reexecute {
        "daemon-reexec"
    } else {
        "daemon-reload"
    };
    output(&[verb]).map(drop)
}

/// Reboots after a short delay, so that the caller still gets an answer.
pub fn reboot_soon() -> Result<()> {
    soon(&["reboot"])
}

/// Soft-reboots into the prepared root after a short delay. Like every re-execution of systemd, this disarms the
/// hardware watchdogs, but the new userspace may hang; so from here on they are made impossible to disarm. (`nowayout`:
/// Documentation/ABI/testing/sysfs-class-watchdog of Linux.)
pub fn soft_reboot_soon() -> Result<()> {
    for entry in fs::read_dir(WATCHDOGS).into_iter().flatten().flatten() {
        let switch = entry.path().join("nowayout");
        fs::OpenOptions::new()
            .write(true)
            .open(&switch)
            .and_then(|mut file| file.write_all(b"1"))
            .with_context(|| format!("cannot write {}", switch.display()))?;
    }
    let at_all_costs = "--job-mode=replace-irreversibly";
    soon(&["start", "--no-block", at_all_costs, SOFT_REBOOT])
}

fn soon(command: &[&str]) -> Result<()> {
    let timer = [
        "--quiet",
        "--collect",
        "--on-active=2s",
        "--timer-property=AccuracySec=100ms",
        "systemctl",
    ];
    run("systemd-run", &[&timer, command].concat()).map(drop)
}

fn output(arguments: &[&str]) -> Result<String> {
    run("systemctl", arguments)
}

/// Runs a program; fails unless it succeeds.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        bail!("{program} {}: {}", arguments.join(" "), said.join("; "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;

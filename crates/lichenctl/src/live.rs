//! Carrying out a live switch: the only part that changes the running system, and the only one that can't be
//! tried without one.
//!
//! Units stop while their own generation is still in place; then `/usr` and `/etc` change, systemd reads its units
//! anew, and what is to run is reloaded, restarted and started. A unit that does not do as told is a problem
//! for the caller to judge, not a reason to stop halfway.

use crate::durable;
use crate::generations::CURRENT;
use crate::journal::say;
use crate::plan::Units;
use crate::root::Root;
use crate::service_data::{self, Restore};
use crate::systemd;
use crate::toplevel::Toplevel;
use anyhow::{Context, Result};
use assemble::Stack;
use std::fmt;
use std::fs;

/// What is done, after the generation was put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Units that go are stopped.
    Stopping,
    /// What runs is named.
    Naming,
    /// The service manager reads its units again, or starts over.
    Manager,
    /// What lichen.toml said is applied.
    Provisioning,
    /// The host name is set.
    HostName,
    /// A service's data are taken back to a copy.
    RestoringData,
    /// Units are reloaded.
    Reloading,
    /// Units are restarted.
    Restarting,
    /// Units are started.
    Starting,
}

/// A step that failed.
#[derive(Debug)]
pub struct Problem {
    /// Which.
    pub step: Step,
    /// Why.
    pub error: anyhow::Error,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopping => "stopping",
            Self::Naming => "naming what runs",
            Self::Manager => "reloading systemd",
            Self::Provisioning => "applying lichen.toml",
            Self::HostName => "setting the host name",
            Self::RestoringData => "restoring data",
            Self::Reloading => "reloading",
            Self::Restarting => "restarting",
            Self::Starting => "starting",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {:#}", self.step, self.error)
    }
}

/// Where to.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What is going to run.
    pub to: &'a Toplevel,
    /// Its layers, mounted.
    pub stack: &'a Stack,
    /// What happens to units.
    pub units: &'a Units,
    /// Whether systemd itself starts over.
    pub reexecute: bool,
    /// The data that it needs back.
    pub restores: &'a [Restore],
}

/// Makes it run; returns what went wrong after it was in place. An error: it is not, and all is as it was.
pub fn activate(root: &Root, change: Change<'_>) -> Result<Vec<Problem>> {
    let Change {
        to,
        stack,
        units,
        reexecute,
        restores,
    } = change;
    let mut problems = Vec::new();
    let mut try_to = |step: Step, result: Result<()>| {
        if let Err(error) = result {
            problems.push(Problem { step, error });
        }
    };
    let held: Vec<_> = restores.iter().map(Restore::unit).collect();
    let stop = [&units.stop[..], &held].concat();
    let held = held
        .into_iter()
        .filter(|unit| !units.restart.contains(unit));
    let start = units.start.iter().cloned().chain(held).collect();
    announce(Step::Stopping, &stop);
    try_to(Step::Stopping, systemd::tell("stop", &stop));
    let fstab = fs::read(root.at("etc/fstab")).ok();
    if let Err(error) = stack.swap_in(&root.at("run/data")) {
        let _ = systemd::tell("start", &stop);
        return Err(error).context("the generation could not be put in place");
    }
    try_to(
        Step::Naming,
        durable::atomic_symlink(&to.path, &root.at(CURRENT)),
    );
    try_to(Step::Manager, systemd::reload_manager(reexecute));
    // Exit codes other than 0 tell of single lines, which never kept a boot from going on.
    let _ = systemd::run(
        "systemd-tmpfiles",
        &["--create", "--remove", "--exclude-prefix=/dev"],
    );
    // The new generation's own, as at its boot: /etc is as it was built, and not yet this device's.
    try_to(
        Step::Provisioning,
        systemd::run("/usr/bin/lichenctl", &["provision"]).map(drop),
    );
    try_to(Step::HostName, hostname(root));
    if fs::read(root.at("etc/fstab")).ok() != fstab {
        let targets = ["local-fs.target", "remote-fs.target", "swap.target"];
        let _ = systemd::tell("start", &targets.map(str::to_owned));
    }
    for restore in restores {
        try_to(Step::RestoringData, service_data::restore(root, restore));
    }
    for (verb, step, list) in [
        ("reload", Step::Reloading, &units.reload),
        ("restart", Step::Restarting, &units.restart),
        ("start", Step::Starting, &start),
    ] {
        announce(step, list);
        try_to(step, systemd::tell(verb, list));
    }
    Ok(problems)
}

fn announce(step: Step, units: &[String]) {
    if !units.is_empty() {
        say(&format!("{step} {}", units.join(" ")));
    }
}

/// What systemd does at boot.
fn hostname(root: &Root) -> Result<()> {
    let text = |path: &str| {
        let text = fs::read_to_string(root.at(path)).unwrap_or_default();
        text.trim().to_owned()
    };
    let (wanted, now) = (text("etc/hostname"), text("proc/sys/kernel/hostname"));
    if !wanted.is_empty() && wanted != now {
        rustix::system::sethostname(wanted.as_bytes()).context("cannot set the host name")?;
    }
    Ok(())
}

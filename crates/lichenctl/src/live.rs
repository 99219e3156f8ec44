//! Carries out a live switch. This is the only part that changes the running system, and the only one that cannot be
//! tested without a running system.
//!
//! Units stop while their own generation is still in place; then `/usr` and `/etc` change, systemd reloads its units,
//! and units are reloaded, restarted and started. If a unit fails, this is reported as a problem for the caller to
//! judge; the switch does not stop halfway.

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

/// The steps after the new generation was put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Stop units.
    Stopping,
    /// Record which toplevel is running.
    Naming,
    /// systemd reloads its units or re-executes itself.
    Manager,
    /// Apply the provisioned settings from lichen.toml.
    Provisioning,
    /// Set the host name.
    HostName,
    /// Restore a service's data from a copy.
    RestoringData,
    /// Reload units.
    Reloading,
    /// Restart units.
    Restarting,
    /// Start units.
    Starting,
}

/// A step that failed.
#[derive(Debug)]
pub struct Problem {
    /// The step.
    pub step: Step,
    /// Why it failed.
    pub error: anyhow::Error,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopping => "stopping",
            Self::Naming => "recording which toplevel is running",
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

/// A live switch to another toplevel.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The toplevel to switch to.
    pub to: &'a Toplevel,
    /// Its layers, mounted.
    pub stack: &'a Stack,
    /// The changes to units.
    pub units: &'a Units,
    /// Whether systemd itself re-executes.
    pub reexecute: bool,
    /// The service data to restore.
    pub restores: &'a [Restore],
}

/// Switches; returns the problems that occurred afterwards. On an error nothing has changed.
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
    let start: Vec<_> = units.start.iter().cloned().chain(held).collect();
    announce(Step::Stopping, &stop);
    try_to(Step::Stopping, systemd::tell("stop", &stop));
    let fstab = fs::read(root.at("etc/fstab")).ok();
    if let Err(error) = stack.swap_in(&root.at("run/data")) {
        let _ = systemd::tell("start", &stop);
        return Err(error).context("cannot put the layers of the new generation in place");
    }
    try_to(
        Step::Naming,
        durable::atomic_symlink(&to.path, &root.at(CURRENT)),
    );
    try_to(Step::Manager, systemd::reload_manager(reexecute));
    // A non-zero exit status means that single lines failed, which does not stop a boot either.
    let _ = systemd::run(
        "systemd-tmpfiles",
        &["--create", "--remove", "--exclude-prefix=/dev"],
    );
    // Use the new generation's own lichenctl, as at its boot: /etc is still as built, without this device's settings.
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
    // systemd refuses to start a unit that was started too often, by whomever, until that is reset.
    let _ = systemd::tell("reset-failed", &[&units.restart[..], &start].concat());
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

/// Sets the host name, as systemd does at boot.
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

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
use crate::protect::{self, Restore};
use crate::root::Root;
use crate::systemd;
use crate::toplevel::Toplevel;
use anyhow::{Context, Result};
use assemble::Stack;
use std::fs;

/// How a problem begins that data were not restored.
pub const RESTORING: &str = "restoring";

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
pub fn activate(root: &Root, change: Change<'_>) -> Result<Vec<String>> {
    let Change {
        to,
        stack,
        units,
        reexecute,
        restores,
    } = change;
    let mut problems = Vec::new();
    let mut try_to = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            problems.push(format!("{what}: {error:#}"));
        }
    };
    let held: Vec<_> = restores.iter().map(Restore::unit).collect();
    let stop = [&units.stop[..], &held].concat();
    let held = held
        .into_iter()
        .filter(|unit| !units.restart.contains(unit));
    let start = units.start.iter().cloned().chain(held).collect();
    step("stopping", &stop);
    try_to("stopping", systemd::tell("stop", &stop));
    let fstab = fs::read(root.at("etc/fstab")).ok();
    if let Err(error) = stack.swap_in(&root.at("run/data")) {
        let _ = systemd::tell("start", &stop);
        return Err(error).context("the generation could not be put in place");
    }
    try_to(
        "naming it",
        durable::atomic_symlink(&to.path, &root.at(CURRENT)),
    );
    try_to("systemd", systemd::reload_manager(reexecute));
    // Exit codes other than 0 tell of single lines, which never kept a boot from going on.
    let _ = systemd::run(
        "systemd-tmpfiles",
        &["--create", "--remove", "--exclude-prefix=/dev"],
    );
    // The new generation's own, as at its boot: /etc is as it was built, and not yet this device's.
    try_to(
        "lichen.toml",
        systemd::run("/usr/bin/lichenctl", &["provision"]).map(drop),
    );
    try_to("the host name", hostname(root));
    if fs::read(root.at("etc/fstab")).ok() != fstab {
        let targets = ["local-fs.target", "remote-fs.target", "swap.target"];
        let _ = systemd::tell("start", &targets.map(str::to_owned));
    }
    for restore in restores {
        try_to(RESTORING, protect::restore(root, restore));
    }
    for (verb, doing, list) in [
        ("reload", "reloading", &units.reload),
        ("restart", "restarting", &units.restart),
        ("start", "starting", &start),
    ] {
        step(doing, list);
        try_to(doing, systemd::tell(verb, list));
    }
    Ok(problems)
}

fn step(doing: &str, units: &[String]) {
    if !units.is_empty() {
        say(&format!("{doing} {}", units.join(" ")));
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

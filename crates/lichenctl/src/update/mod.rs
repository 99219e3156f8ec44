//! Update: the device follows a channel, by itself.
//!
//! One run fetches the channel, decides, has Nix copy what is missing, and then does what `lichenctl switch` does.
//! Whatever it can't do is left for the next run: when that is, the timer says. A run that was cut off anywhere
//! goes on where it was: paths that have arrived are kept, and what is remembered ([`Record`]) is written
//! before anything is changed on the strength of it.
//!
//! It refuses a channel that nobody who is trusted has signed, one for another appliance, and one that is older than
//! what it has seen already; and it does not try again what has failed here before.

mod decide;
mod error;
mod fetch;

pub use decide::{Decision, Toplevels};
pub use error::UpdateError;

use crate::apply::{self, ApplyError, Verb};
use crate::channel::Config;
use crate::durable;
use crate::generations::{self, Running, TRIES};
use crate::journal::{self, note, say};
use crate::lock::GenerationsLock;
use crate::plan::Method;
use crate::record::{self, Record};
use crate::retention;
use crate::root::Root;
use crate::stage;
use crate::state::BootState;
use crate::toplevel::{self, Toplevel};
use crate::trust;
use anyhow::{Context, Result};
use protocol::channel::Channel;
use serde::Deserialize;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Tell what there is, and change nothing.
    Check,
    /// All the way, within the maintenance window.
    Scheduled,
    /// All the way, now.
    Now,
}

/// One run. What it came to is in the journal, and remembered for `lichenctl status`.
pub fn update(root: &Root, extent: Extent) -> Result<()> {
    let config = Config::load(root)?.ok_or(UpdateError::NoChannel)?;
    let mut record = Record::load(root);
    let result = follow(root, &config, &mut record, extent);
    if extent == Extent::Check {
        println!("{}", result?);
        return Ok(());
    }
    let said = match &result {
        Ok(said) => said.clone(),
        Err(error) => format!("{error:#}"),
    };
    match &result {
        Ok(said) => note(said),
        Err(error) => journal::error(&format!("update: {error:#}")),
    }
    record.last = Some(record::ended(result.is_ok(), said));
    record.save(root)?;
    result.map(drop)
}

fn follow(root: &Root, config: &Config, record: &mut Record, extent: Extent) -> Result<String> {
    let channel = fetch_channel(root, config, record)?;
    let (toplevel, sequence) = (channel.toplevel.clone(), channel.sequence);
    let state = BootState::load(&root.at("boot"))?.state();
    if let Some(failed) = record::failed_trial(root, state) {
        record.fail(&failed);
    }
    let here = Toplevels {
        running: Running::read(root).toplevel,
        // With the right to reboot there is no need to wait for somebody who does.
        next_boot: (!config.reboot)
            .then(|| generations::toplevel(root, state.at_boot().0))
            .flatten(),
    };
    let name = format!("{} {sequence}", channel.channel);
    let decision = decide::decide(&toplevel, &here, record);
    if extent == Extent::Check {
        return Ok(decision.words(&name, &toplevel));
    }
    record.accept(&channel);
    if decision == Decision::Runs {
        record.forgive(&toplevel);
    }
    // What is accepted here stays accepted, whatever becomes of the rest.
    record.save(root)?;
    match decision {
        Decision::Take => {}
        Decision::Failed => return Err(UpdateError::FailedBefore { sequence, toplevel }.into()),
        Decision::Runs | Decision::BootsNext => {
            tidy(root)?;
            return Ok(decision.words(&name, &toplevel));
        }
    }
    say(&format!("{name} is {toplevel}"));
    copy(root, config, &toplevel)?;
    let outside = (extent == Extent::Scheduled)
        .then_some(config.window.as_ref())
        .flatten()
        .filter(|window| !window.is_open());
    if let Some(window) = outside {
        let to = Toplevel::load(root, Path::new(&toplevel))?;
        let generation = stage::stage(root, &to, &GenerationsLock::take(root)?)?.generation;
        return Ok(format!(
            "{name} is staged as generation {generation}; it will be switched to from {} on",
            window.from
        ));
    }
    Ok(match take(root, config, record, &toplevel)? {
        Verb::Boot => Decision::BootsNext.words(&name, &toplevel),
        _ => format!("took {name}: {toplevel}"),
    })
}

/// Fetches the channel and holds it against what this device follows, trusts and has seen.
fn fetch_channel(root: &Root, config: &Config, record: &Record) -> Result<Channel> {
    let keys = trust::trusted(root);
    if keys.is_empty() {
        return Err(UpdateError::NoKeys.into());
    }
    let appliance = appliance(root)?;
    let path = Channel::path(&appliance, &config.channel);
    let url = format!("{}/{path}", config.url.trim_end_matches('/'));
    let text = fetch::get(root, &url)?;
    let channel = Channel::open(&text, &keys).map_err(|error| UpdateError::Channel {
        url: url.clone(),
        error,
    })?;
    let wanted = (appliance.as_str(), config.channel.as_str());
    decide::admit(&channel, wanted, record, &url)?;
    Ok(channel)
}

/// The name of the appliance that this device is.
fn appliance(root: &Root) -> Result<String> {
    #[derive(Deserialize)]
    struct Manifest {
        appliance: String,
    }
    let running = Running::read(root).toplevel;
    let running = running.context("what runs can't be found out")?;
    let file = toplevel::at(root, &running).join("manifest.json");
    let read = || -> Result<Manifest> { Ok(serde_json::from_slice(&fs::read(&file)?)?) };
    let manifest = read().with_context(|| format!("cannot read {}", file.display()))?;
    Ok(manifest.appliance)
}

/// Nobody else removes the generations that updates leave behind. Not while there is something to copy: what has
/// arrived of it would go, too.
fn tidy(root: &Root) -> Result<()> {
    if generations::on_boot(root)?.len() > retention::KEEP {
        let removed = retention::collect(root, retention::KEEP, &GenerationsLock::take(root)?)?;
        say(removed.to_string().trim_end());
    }
    Ok(())
}

/// Has Nix bring the closure. It verifies what signs each path, and registers each when it has arrived whole, so
/// that the next run goes on with those that are missing.
fn copy(root: &Root, config: &Config, toplevel: &str) -> Result<()> {
    let nix = |arguments: &[&str]| {
        nix(root, arguments).map_err(|why| UpdateError::NotCopied {
            toplevel: toplevel.to_owned(),
            url: config.url.clone(),
            why: format!("{why:#}"),
        })
    };
    nix(&["copy", "--from", &config.url, toplevel])?;
    // A path that was here before may have come without the signature that the cache has of it.
    if trust::check(root, toplevel).is_err() {
        let from = ["--recursive", "--substituter", &config.url, toplevel];
        nix(&[&["store", "copy-sigs"], from.as_slice()].concat())?;
    }
    Ok(())
}

/// Runs nix and passes on what it says; the error is its last line.
fn nix(root: &Root, arguments: &[&str]) -> Result<()> {
    let mut nix = Command::new("nix");
    nix.args(["--extra-experimental-features", "nix-command"])
        .args(arguments)
        // What was missing an hour ago may have been published since.
        .args(["--option", "narinfo-cache-negative-ttl", "0"])
        .args(["--option", "connect-timeout", "30"])
        .args(["--option", "stalled-download-timeout", "60"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = nix.spawn().context("cannot run nix")?;
    let stderr = child.stderr.take().context("nix has no standard error")?;
    let mut last = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what nix says")?;
        // A line for each path that is begun. Nix's database is synced now and then only: without this, a power cut
        // takes with it what has arrived before.
        let _ = durable::sync_file_system(&root.at("nix"));
        say(&line);
        last = line;
    }
    let status = child.wait().context("cannot wait for nix")?;
    let why = last.trim().trim_start_matches("error: ");
    anyhow::ensure!(status.success(), "{why}");
    Ok(())
}

/// Makes it run, or what boots next if the device may not be rebooted for it; remembers if that went wrong. A generation that takes the device down each time it is switched
/// to leaves no other trace than that the attempt was begun.
fn take(root: &Root, config: &Config, record: &mut Record, toplevel: &str) -> Result<Verb> {
    let path = Path::new(toplevel);
    let needs_boot = apply::dry_run(root, path)?.method >= Method::SoftReboot;
    record.begin(toplevel);
    record.save(root)?;
    let verb = if needs_boot && !config.reboot {
        Verb::Boot
    } else {
        Verb::Switch
    };
    let result = apply::apply(root, path, verb, TRIES, None);
    record.end();
    if let Err(error) = &result
        && let Some(ApplyError::Unsuccessful { .. }) = error.downcast_ref()
    {
        record.fail(toplevel);
    }
    result.map(|()| verb)
}

#[cfg(test)]
mod tests;

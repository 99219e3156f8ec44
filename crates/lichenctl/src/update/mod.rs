//! Update: the device follows a channel automatically.
//!
//! A run fetches the channel, decides, lets Nix copy what is missing, and then does what `lichenctl switch` does.
//! Whatever fails is left for the next run, which a timer starts. An interrupted run continues where it stopped: paths
//! that have arrived are kept, and the record ([`Record`]) is written before anything is changed because of it.
//!
//! It refuses a channel that is not signed by a trusted key, that is for another appliance, or that is older than one
//! accepted before; and it does not retry what has failed here before.

mod decide;
mod error;
mod fetch;

pub use decide::{Decision, Toplevels};
pub use error::UpdateError;

use crate::apply::{self, ApplyError, Verb};
use crate::channel::Config;
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

/// What a run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Report what is available, and change nothing.
    Check,
    /// Everything, but only within the maintenance window.
    Scheduled,
    /// Everything, now.
    Now,
}

/// Runs once. The result is logged, and remembered for `lichenctl status`.
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
    let refusal = result.as_ref().err().map(error::refusal);
    record.last = Some(record::ended(refusal, said));
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
        // If rebooting is allowed, there is no need to wait for someone else to do it.
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
    record.reach(&toplevel, decision == Decision::Runs);
    if decision == Decision::Runs {
        record.forgive(&toplevel);
    }
    // The accepted sequence is kept, even if a later step fails.
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
            "{name} is staged as generation {generation}; the maintenance window opens at {}, and the device switches then",
            window.from
        ));
    }
    Ok(match take(root, config, record, &toplevel)? {
        Verb::Boot => Decision::BootsNext.words(&name, &toplevel),
        _ => format!("took {name}: {toplevel}"),
    })
}

/// Fetches the channel and checks it against the configuration, the trusted keys and the record.
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

/// The name of this device's appliance.
pub(crate) fn appliance(root: &Root) -> Result<String> {
    #[derive(Deserialize)]
    struct Manifest {
        appliance: String,
    }
    let running = Running::read(root).toplevel;
    let running = running.context("cannot find out which toplevel is running")?;
    let file = toplevel::at(root, &running).join("manifest.json");
    let read = || -> Result<Manifest> { Ok(serde_json::from_slice(&fs::read(&file)?)?) };
    let manifest = read().with_context(|| format!("cannot read {}", file.display()))?;
    Ok(manifest.appliance)
}

/// Removes old generations, because nothing else removes those that updates leave behind. Not while something remains
/// to be copied, because that would also delete the paths that have already arrived.
fn tidy(root: &Root) -> Result<()> {
    if generations::on_boot(root)?.len() > retention::KEEP {
        let removed = retention::collect(root, retention::KEEP, &GenerationsLock::take(root)?)?;
        say(removed.to_string().trim_end());
    }
    Ok(())
}

/// Lets Nix copy the closure. Nix verifies the signature of each path and registers each path when it is complete, so
/// the next run continues with the missing ones.
fn copy(root: &Root, config: &Config, toplevel: &str) -> Result<()> {
    let nix = |arguments: &[&str]| {
        nix(root, arguments).map_err(|why| UpdateError::NotCopied {
            toplevel: toplevel.to_owned(),
            url: config.url.clone(),
            why: format!("{why:#}"),
        })
    };
    nix(&["copy", "--from", &config.url, toplevel])?;
    // A path that was already here may lack the signature that the cache has for it.
    if trust::check(root, toplevel).is_err() {
        let from = ["--recursive", "--substituter", &config.url, toplevel];
        nix(&[&["store", "copy-sigs"], from.as_slice()].concat())?;
    }
    Ok(())
}

/// Runs nix and passes its messages on; the error is its last line.
fn nix(root: &Root, arguments: &[&str]) -> Result<()> {
    let mut nix = Command::new("nix");
    nix.args(["--extra-experimental-features", "nix-command"])
        .args(arguments)
        // A path that was missing an hour ago may have been published since.
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
        // Nix prints a line when it begins a path, but syncs its database only occasionally. Without this sync, a power
        // cut would lose the paths that have already arrived.
        let _ = durable::sync_file_system(&root.at("nix"));
        say(&line);
        last = line;
    }
    let status = child.wait().context("cannot wait for nix")?;
    let why = last.trim().trim_start_matches("error: ");
    anyhow::ensure!(status.success(), "{why}");
    Ok(())
}

/// Activates it, or makes it boot next if the device may not be rebooted for it; records a failure. The start of the
/// attempt is recorded first, because it is the only trace of a generation that crashes the device at every switch.
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

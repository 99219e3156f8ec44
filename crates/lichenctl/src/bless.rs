//! Bless: mark the running generation as the good one after it was found healthy. At boot this module also makes
//! Nix's profile agree with the generation that was booted.

use crate::confirm;
use crate::fallback;
use crate::generations::{self, BOOTED, Booted, CURRENT, Running};
use crate::health::Health;
use crate::journal::{self, note};
use crate::lock::GenerationsLock;
use crate::profile;
use crate::record;
use crate::recovery;
use crate::root::Root;
use crate::service_data;
use crate::state::BootState;
use anyhow::{Context, Result};
use protocol::recovery::Reason;
use std::collections::BTreeSet;

/// Blesses the running generation if it is healthy and, where required, confirmed. With `wait`, waits for its health
/// until its deadline.
pub fn bless(root: &Root, wait: bool) -> Result<()> {
    let running = Running::read(root);
    let generation = running
        .generation
        .context("the running toplevel is not a generation, so it cannot be blessed")?;
    // Check whether it may be blessed at all before waiting.
    let before = BootState::load(&root.at("boot"))?;
    let decided = before.clone().bless(generation)?;
    if decided == before {
        note(&format!(
            "generation {generation} is already the good generation"
        ));
        return Ok(());
    }
    let none = BTreeSet::new();
    let health = Health::load(root)?;
    let judged = if wait {
        health.wait(&none)
    } else {
        health.check(&none)
    };
    if let Err(unhealthy) = judged {
        let why = format!("generation {generation} is {unhealthy}");
        journal::error(&why);
        if wait {
            recovery::announce(root, Reason::Trial, &why);
        }
        return Err(unhealthy).with_context(|| format!("generation {generation}"));
    }
    if let Some((booted, awaited)) = confirm::demanded(root)
        && booted == generation
    {
        note(&format!("generation {generation} is healthy"));
        anyhow::ensure!(
            wait,
            "generation {generation} must be confirmed before it can be blessed"
        );
        confirm::wait_trial(root, generation, &awaited)
            .with_context(|| format!("generation {generation}"))
            .inspect_err(|error| {
                journal::error(&format!("{error:#}; rebooting"));
                recovery::announce(root, Reason::Trial, &format!("{error:#}"));
            })?;
    }
    let _lock = GenerationsLock::wait(root)?;
    // Another process may have written the state meanwhile.
    let state = BootState::load(&root.at("boot"))?;
    let good = state.state().good;
    state.bless(generation)?.write()?;
    if let Err(error) = recovery::blessed(root, good, generation) {
        journal::error(&format!("{error:#}"));
    }
    note(&format!("generation {generation} is healthy and blessed"));
    let toplevel = running.toplevel.unwrap_or_default();
    service_data::settle(root, &toplevel)
}

/// Runs first after a soft-reboot: `/run` survives it and still names the previous toplevel.
pub fn arrive(root: &Root) -> Result<()> {
    let toplevel = Booted::read(root).toplevel;
    let toplevel = toplevel.context("cannot find out which toplevel the soft-reboot started")?;
    for link in [CURRENT, BOOTED] {
        durable::atomic_symlink(&toplevel, &root.at(link))?;
    }
    Ok(())
}

/// At boot: points the profile at the booted generation, and reports a trial that failed.
pub fn reconcile(root: &Root) -> Result<()> {
    let _lock = GenerationsLock::wait(root)?;
    let booted = Booted::read(root);
    let (Some(generation), Some(toplevel)) = (booted.generation, booted.toplevel) else {
        anyhow::bail!("the kernel's command line does not name a generation");
    };
    let state = BootState::load(&root.at("boot")).ok().map(|s| s.state());
    confirm::forget_others(root, generation, state.and_then(|state| state.trial))?;
    if state.is_some_and(|state| state.good == generation) {
        service_data::settle(root, &toplevel)?;
    }
    let remembered = state.map_or(Ok(()), |s| record::trial_failed(root, s));
    if let Err(error) = remembered {
        // A failure of the profile must not fail the boot of a generation on trial.
        journal::error(&format!("{error:#}"));
    }
    let failed = state.and_then(|state| generations::failed_trial(root, state));
    if let Some(failed) = failed {
        let text = format!(
            "the trial of generation {failed} failed, as it was never blessed: generation {generation} is running again"
        );
        journal::error(&text);
        journal::say(&text);
        profile::unlink(root, failed)?;
        if let Some(state) = state {
            fallback::trial_failed(root, failed, &why_it_failed(root), state.seq);
        }
    }
    if let Some(before) = profile::reconcile(root, generation, &toplevel)? {
        note(&format!(
            "the system profile named {before}, but generation {generation} was booted; the profile now names that"
        ));
    }
    Ok(())
}

/// Why the generation on trial was given up: as the last reset has it.
fn why_it_failed(root: &Root) -> String {
    let told = recovery::published(root);
    let last = told.and_then(|told| told.resets.last().map(ToString::to_string));
    last.unwrap_or_else(|| "it was never blessed".to_owned())
}

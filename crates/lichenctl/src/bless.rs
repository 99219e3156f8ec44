//! Bless: the running generation has shown that it is healthy, and is the good one from now on. And what else
//! is due at boot: what Nix's profile says is made to agree with what was booted.

use crate::confirm;
use crate::durable;
use crate::generations::{self, BOOTED, Booted, CURRENT, Running};
use crate::health::Health;
use crate::journal::{self, note};
use crate::lock::GenerationsLock;
use crate::profile;
use crate::record;
use crate::root::Root;
use crate::service_data;
use crate::state::BootState;
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// Blesses the running generation if it is healthy, and confirmed where that was asked for; with `wait`, once it
/// is, within its deadline.
pub fn bless(root: &Root, wait: bool) -> Result<()> {
    let running = Running::read(root);
    let generation = running
        .generation
        .context("what runs is no generation, so there is nothing to bless")?;
    // Whether it may be blessed at all comes before the wait.
    let before = BootState::load(&root.at("boot"))?;
    let decided = before.clone().bless(generation)?;
    if decided == before {
        note(&format!("generation {generation} is good already"));
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
        journal::error(&format!("generation {generation} is {unhealthy}"));
        return Err(unhealthy).with_context(|| format!("generation {generation}"));
    }
    if let Some((booted, awaited)) = confirm::demanded(root)
        && booted == generation
    {
        note(&format!("generation {generation} is healthy"));
        anyhow::ensure!(wait, "generation {generation} has to be confirmed first");
        confirm::wait_trial(root, generation, &awaited)
            .with_context(|| format!("generation {generation}"))
            .inspect_err(|error| journal::error(&format!("{error:#}; rebooting")))?;
    }
    let _lock = GenerationsLock::wait(root)?;
    // Another may have written meanwhile.
    BootState::load(&root.at("boot"))?
        .bless(generation)?
        .write()?;
    note(&format!("generation {generation} is healthy and blessed"));
    let toplevel = running.toplevel.unwrap_or_default();
    service_data::settle(root, &toplevel)
}

/// After a soft-reboot, before anything else: `/run` is the same as before, and names what ran then.
pub fn arrive(root: &Root) -> Result<()> {
    let toplevel = Booted::read(root).toplevel;
    let toplevel = toplevel.context("what was gone to can't be found out")?;
    for link in [CURRENT, BOOTED] {
        durable::atomic_symlink(&toplevel, &root.at(link))?;
    }
    Ok(())
}

/// At boot: the profile follows what was booted, and a trial that failed is told.
pub fn reconcile(root: &Root) -> Result<()> {
    let _lock = GenerationsLock::wait(root)?;
    let booted = Booted::read(root);
    let (Some(generation), Some(toplevel)) = (booted.generation, booted.toplevel) else {
        anyhow::bail!("the kernel's command line names no generation");
    };
    let state = BootState::load(&root.at("boot")).ok().map(|s| s.state());
    confirm::forget_others(root, generation, state.and_then(|state| state.trial))?;
    if state.is_some_and(|state| state.good == generation) {
        service_data::settle(root, &toplevel)?;
    }
    let remembered = state.map_or(Ok(()), |s| record::trial_failed(root, s));
    if let Err(error) = remembered {
        // What is on trial here is not to fail for it.
        journal::error(&format!("{error:#}"));
    }
    let failed = state.and_then(|state| generations::failed_trial(root, state));
    if let Some(failed) = failed {
        let text = format!(
            "generation {failed} was tried and never blessed: this is generation {generation} again"
        );
        journal::error(&text);
        journal::say(&text);
    }
    if let Some(before) = profile::reconcile(root, generation, &toplevel)? {
        note(&format!(
            "the system profile said {before}; generation {generation} was booted"
        ));
    }
    Ok(())
}

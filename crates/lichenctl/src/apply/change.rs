//! One change of generation, from the decision to the generation that boots next.

use super::origin::Origin;
use super::{ApplyError, How, Verb, switch};
use crate::confirm::{self, Confirmation};
use crate::generations::{self, Booted, Running};
use crate::journal::{self, note, say};
use crate::live;
use crate::lock::GenerationsLock;
use crate::plan::{Method, Plan};
use crate::profile;
use crate::recovery;
use crate::root::Root;
use crate::service_data::{self, Declared, Must, Restore};
use crate::stage::stage;
use crate::state::{BootState, Generation, State};
use crate::systemd;
use crate::toplevel::Toplevel;
use anyhow::Result;
use assemble::{Next, Stack};
use protocol::recovery::Reason;
use protocol::status::Awaited;
use std::path::Path;

/// What clients show last that end with the connection, as nixos-rebuild does, which then says that all is done.
const NOT_KNOWN: &str =
    "the result is not known yet: `lichen status HOST` tells whether it stays, in a minute or two";

/// A change that is prepared: it is decided, the affected service data are copied, and its files are on BOOT.
pub(super) struct Change<'a> {
    root: &'a Root,
    to: &'a Toplevel,
    how: How<'a>,
    origin: Origin,
    plan: Plan,
    /// The layers of `to`, mounted.
    stack: Stack,
    restores: Vec<Restore>,
    /// The services whose data change their version.
    versions: Option<service_data::Change>,
    /// Its generation; none if it is to run only until the next boot.
    staged: Option<Generation>,
}

impl<'a> Change<'a> {
    /// Decides, copies service data that change their version, and stages. What runs and boots next stays the same.
    pub(super) fn prepare(
        root: &'a Root,
        to: &'a Toplevel,
        how: How<'a>,
        lock: &GenerationsLock,
    ) -> Result<Self> {
        let origin = Origin::read(root)?;
        let (mut plan, stack) = origin.plan(root, to)?;
        match how.verb {
            Verb::Switch => {}
            Verb::Test => {
                plan = plan.without_boot();
                plan.generation = None;
            }
            Verb::Boot => plan.method = Method::TrialBoot,
        }
        say(plan.to_string().trim_end());
        let (old, new) = (&origin.declared, Declared::of(&stack)?);
        let restores = restores(root, old, &new, how)?;
        let running = Running::read(root).generation;
        let must = how.rollback.map_or(Must::Have, |_| Must::Try);
        let versions = service_data::back_up(root, running, old, &to.path, &new, must)?;
        let staged = match how.verb {
            Verb::Test => None,
            _ => Some(stage(root, to, lock)?.generation),
        };
        Ok(Self {
            root,
            to,
            how,
            origin,
            plan,
            stack,
            restores,
            versions,
            staged,
        })
    }

    /// Switches live if that is possible; otherwise records what to do with service data at the next boot.
    pub(super) fn run(&mut self) -> Result<()> {
        let (root, versions) = (self.root, self.versions.take());
        if self.plan.method == Method::Live {
            let change = live::Change {
                to: self.to,
                stack: &self.stack,
                units: &self.plan.units,
                reexecute: self.plan.reexecute,
                restores: &self.restores,
            };
            service_data::open(root, versions, true)?;
            switch::live(root, &self.origin, change, self.staged, self.how)?;
            return Ok(Stack::forget_others(&[&self.stack])?);
        }
        if self.restores.is_empty() {
            return service_data::open(root, versions, false);
        }
        let origin = &self.origin;
        service_data::at_next_boot(root, &origin.current.path, &origin.declared, &self.restores)
    }

    /// Makes it the generation that boots next, and reboots or soft-reboots if the method requires it.
    pub(super) fn commit(self) -> Result<()> {
        let (root, to, method) = (self.root, self.to, self.plan.method);
        let Some(generation) = self.staged else {
            return Ok(());
        };
        let within = self.confirmed_after_boot(generation)?;
        let next_root = match method {
            Method::SoftReboot => Some(next_root(root, generation, to)?),
            _ => None,
        };
        let state = boots_next(root, generation, &to.path, within, method, self.how.tries)?;
        profile::point(root, generation)?;
        let first_boot = state.trial.is_some();
        if !first_boot && method == Method::Live {
            service_data::settle(root, &to.path)?;
        }
        if let Some(next_root) = next_root {
            let what = format!("soft-rebooting into generation {generation}");
            note(&what);
            say(NOT_KNOWN);
            recovery::announce(root, Reason::Update, &what);
            recovery::set_off(root, systemd::soft_reboot_soon)?;
            next_root.keep();
            return Ok(());
        }
        match method {
            Method::TrialBoot if self.how.verb == Verb::Switch => {
                let what = format!("rebooting into generation {generation}");
                note(&what);
                say(NOT_KNOWN);
                recovery::announce(root, Reason::Update, &what);
                recovery::set_off(root, systemd::reboot_soon)?;
            }
            Method::TrialBoot => note(&format!("generation {generation} boots next")),
            _ if first_boot => note(&format!(
                "generation {generation} runs and is healthy; the next boot is its trial"
            )),
            _ => note(&format!("generation {generation} runs and is good")),
        }
        Ok(())
    }

    /// The seconds within which it must be confirmed after its boot. A canary file is awaited here, before the boot,
    /// because the client removes it only once and does not come back afterwards.
    fn confirmed_after_boot(&self, generation: Generation) -> Result<Option<u64>> {
        let Some(confirmation) = self.how.confirmation else {
            return Ok(None);
        };
        if self.plan.method <= Method::Live {
            return Ok(None);
        }
        if confirmation.canary.is_none() {
            return Ok(Some(confirmation.within));
        }
        await_confirmation(self.root, self.to, Some(generation), confirmation)
            .inspect_err(|error| journal::error(&format!("not rebooting: {error:#}")))?;
        Ok(None)
    }
}

/// The root file system that a soft-reboot starts.
fn next_root(root: &Root, generation: Generation, to: &Toplevel) -> Result<Next> {
    let text = Booted::text(generation, &to.path);
    let told = (generations::SOFT_BOOTED, text.as_str());
    Ok(Next::assemble(
        &root.at("run/data"),
        Path::new(&to.path),
        told,
    )?)
}

/// Decides what is tried next, and whether it needs a confirmation. The good generation needs no trial.
fn boots_next(
    root: &Root,
    generation: Generation,
    toplevel: &str,
    within: Option<u64>,
    method: Method,
    tries: u64,
) -> Result<State> {
    let now = BootState::load(&root.at("boot"))?;
    let decided = match method {
        Method::SoftReboot => now.try_now(generation)?,
        _ => now.boot(generation, tries)?,
    };
    let within = within.filter(|_| decided.state().trial.is_some());
    confirm::demand(root, generation, toplevel, within)?;
    Ok(decided.write()?.state())
}

/// Restores service data for a rollback, or reports which data could be restored.
fn restores(root: &Root, old: &Declared, new: &Declared, how: How<'_>) -> Result<Vec<Restore>> {
    let Some((generation, restore)) = how.rollback else {
        return Ok(Vec::new());
    };
    let offered = service_data::offered(root, generation, old, new);
    if restore {
        return match offered.is_empty() {
            true => Err(ApplyError::NoCopy(generation).into()),
            false => Ok(offered),
        };
    }
    for Restore { name, service, .. } in &offered {
        let version = &service.version;
        note(&format!(
            "the data of {name} stay as they are; `lichenctl rollback {generation} --restore-state` would take back \
             the copy of version {version} from when generation {generation} was left"
        ));
    }
    Ok(Vec::new())
}

/// Waits until the generation that runs, or is about to run, is confirmed.
pub(super) fn await_confirmation(
    root: &Root,
    to: &Toplevel,
    generation: Option<Generation>,
    confirmation: &Confirmation,
) -> Result<()> {
    let awaited = Awaited {
        generation,
        toplevel: to.path.clone(),
        within: confirmation.within,
    };
    confirm::wait_live(root, &awaited, confirmation.canary.as_deref())
}

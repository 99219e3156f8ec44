//! Switch, test, boot, dry-run, rollback: from a toplevel to what runs, and what boots next.
//!
//! A generation that was switched to live is not good yet: it has never booted. The next boot is its trial, and
//! the good one stays the one that is known to boot. The state slot is written after the new generation was
//! found healthy, so that a cut in the middle of a switch boots what ran before. A soft-reboot is a trial with a
//! single try, which is counted in the slot before it begins.

mod scene;

use self::scene::Scene;
use crate::confirm::{self, Awaited, Confirmation};
use crate::generations::{self, Booted, Running};
use crate::health::{self, Health};
use crate::journal::{self, note, say};
use crate::live::{self, Change};
use crate::lock::Lock;
use crate::plan::{Here, Method, Plan};
use crate::profile;
use crate::protect::{self, Declared, Must, Restore};
use crate::root::Root;
use crate::stage::stage;
use crate::state::{BootState, Generation, State};
use crate::systemd;
use crate::toplevel::Toplevel;
use crate::trust;
use crate::update;
use anyhow::Result;
use assemble::{Next, Stack};
use std::collections::BTreeSet;
use std::path::Path;

/// How many boots a generation on trial gets, unless somebody says otherwise.
pub const TRIES: u64 = 3;

/// What is to become of a toplevel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it now, and from now on.
    Switch,
    /// Run it now, until the next boot.
    Test,
    /// Run it from the next boot on.
    Boot,
}

/// Why a generation does not run, though nothing else is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It ran and was not healthy. Worth an exit status of its own.
    #[error("{what}; {then}")]
    Unsuccessful {
        /// What went wrong.
        what: String,
        /// What was done about it.
        then: String,
    },
    /// There must be no second change before the first has proved itself.
    #[error("generation {0} is on trial: it has to be blessed, or to fail, first")]
    OnTrial(Generation),
    /// There is none to go back to.
    #[error("there is no generation to go back to")]
    NoneBefore,
    /// It is not on BOOT.
    #[error("there is no generation {0} on this device")]
    NoSuch(Generation),
    /// No service has other data now than when it was left.
    #[error("there is nothing to restore for generation {0}: no copy of data in its versions")]
    NoCopy(Generation),
}

impl ApplyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsuccessful { .. } => "`journalctl -b -p warning` shows what the units said",
            Self::OnTrial(_) => "`lichenctl status` shows it; `lichenctl rollback` gives it up",
            Self::NoCopy(_) => "without --restore-state the data stay as they are",
            Self::NoneBefore | Self::NoSuch(_) => "`lichenctl list` shows them all",
        }
    }
}

/// What [`apply`] would do, without doing any of it.
pub fn dry_run(root: &Root, toplevel: &Path) -> Result<Plan> {
    let _lock = Lock::take(root)?;
    let to = Toplevel::load(root, toplevel)?;
    to.verify(root)?;
    trust::check(root, &to.path)?;
    let scene = Scene::read(root)?;
    let (plan, _) = scene.plan(root, &to)?;
    Stack::forget_others(&[&scene.old])?;
    Ok(plan)
}

/// How a change is to be carried out.
#[derive(Clone, Copy)]
struct How<'a> {
    verb: Verb,
    /// Whether what ran before runs again if this does not get healthy.
    go_back: bool,
    /// How many boots a trial gets.
    tries: u64,
    confirmation: Option<&'a Confirmation>,
    /// The generation that a rollback leads to, and whether to restore its data.
    rollback: Option<(Generation, bool)>,
}

/// Does `verb` to a toplevel whose closure is on the device. Where that takes a trial boot, there are so many `tries`.
pub fn apply(
    root: &Root,
    toplevel: &Path,
    verb: Verb,
    tries: u64,
    confirmation: Option<&Confirmation>,
) -> Result<()> {
    let lock = Lock::take(root)?;
    let how = How {
        verb,
        go_back: true,
        tries,
        confirmation,
        rollback: None,
    };
    let result = admit(root, toplevel).and_then(|to| carry_out(root, &to, how, &lock));
    if result.is_err()
        && let Some(generation) = Running::read(root).generation
    {
        // A client sets the profile before it activates, and does not take that back.
        profile::point(root, generation)?;
    }
    result
}

/// Whether there may be a change at all, and to this.
fn admit(root: &Root, toplevel: &Path) -> Result<Toplevel> {
    let to = Toplevel::load(root, toplevel)?;
    to.verify(root)?;
    trust::check(root, &to.path)?;
    match on_trial(root)? {
        Some(generation) => Err(ApplyError::OnTrial(generation).into()),
        None => Ok(to),
    }
}

/// Returns to generation `number`; without one to the good one, or from that to the one before. It stays there,
/// unless a confirmation was asked for.
pub fn rollback(
    root: &Root,
    number: Option<Generation>,
    restore: bool,
    confirmation: Option<&Confirmation>,
) -> Result<()> {
    let lock = Lock::take(root)?;
    let on_boot = generations::on_boot(root)?;
    let state = BootState::load(&root.at("boot"))?.state();
    let from = Running::read(root);
    let running = from.generation;
    let numbers: Vec<_> = on_boot
        .iter()
        .filter(|(_, env)| env.toplevel.is_some())
        .map(|(g, _)| *g)
        .collect();
    let target = target(number, &numbers, running, state)?;
    let env = on_boot.into_iter().find(|(g, _)| *g == target);
    let toplevel = env
        .and_then(|(_, env)| env.toplevel)
        .ok_or(ApplyError::NoSuch(target))?;
    let to = Toplevel::load(root, Path::new(&toplevel))?;
    to.verify(root)?;
    let how = How {
        verb: Verb::Switch,
        go_back: confirmation.is_some(),
        tries: TRIES,
        confirmation,
        rollback: Some((target, restore)),
    };
    carry_out(root, &to, how, &lock)?;
    let left = from.toplevel.filter(|left| *left != to.path);
    left.map_or(Ok(()), |left| update::remember_rollback(root, &left))
}

/// Where a rollback leads.
fn target(
    asked: Option<Generation>,
    all: &[Generation],
    running: Option<Generation>,
    state: State,
) -> Result<Generation, ApplyError> {
    if let Some(number) = asked {
        let known = all.contains(&number);
        return known.then_some(number).ok_or(ApplyError::NoSuch(number));
    }
    if running != Some(state.good) {
        return Ok(state.good);
    }
    let before = all.iter().copied().filter(|g| *g < state.good);
    before.max().ok_or(ApplyError::NoneBefore)
}

/// The generation that was booted, or is about to be by a soft-reboot, while it is on trial.
fn on_trial(root: &Root) -> Result<Option<Generation>> {
    let state = BootState::load(&root.at("boot"))?.state();
    let booted = Booted::soon(root).unwrap_or_else(|| Booted::read(root));
    let trial = state.trial.map(|trial| trial.generation);
    Ok(trial
        .filter(|generation| Some(*generation) == booted.generation && *generation != state.good))
}

fn carry_out(root: &Root, to: &Toplevel, how: How<'_>, lock: &Lock) -> Result<()> {
    let verb = how.verb;
    let scene = Scene::read(root)?;
    let (mut plan, new) = scene.plan(root, to)?;
    match verb {
        Verb::Switch => {}
        Verb::Test => {
            plan = plan.without_boot();
            plan.generation = None;
        }
        Verb::Boot => plan.method = Method::TrialBoot,
    }
    say(plan.to_string().trim_end());
    let declared = Declared::of(&new)?;
    let restores = restores(root, &scene.declared, &declared, how)?;
    let running = Running::read(root).generation;
    let must = how.rollback.map_or(Must::Have, |_| Must::Try);
    let versions = protect::back_up(root, running, &scene.declared, &to.path, &declared, must)?;
    let staged = match verb {
        Verb::Test => None,
        _ => Some(stage(root, to, lock)?.generation),
    };
    if plan.method == Method::Live {
        let change = Change {
            to,
            stack: &new,
            units: &plan.units,
            reexecute: plan.reexecute,
            restores: &restores,
        };
        protect::open(root, versions, true)?;
        live_switch(root, &scene, change, staged, how)?;
        Stack::forget_others(&[&new])?;
    } else if restores.is_empty() {
        protect::open(root, versions, false)?;
    } else {
        protect::at_next_boot(root, &scene.current.path, &scene.declared, &restores)?;
    }
    let Some(generation) = staged else {
        return Ok(());
    };
    let mut within = None;
    if let Some(confirmation) = how.confirmation
        && plan.method > Method::Live
    {
        match &confirmation.canary {
            None => within = Some(confirmation.within),
            // Whoever removes it does so once, and not again after the reboot.
            Some(_) => confirm(root, to, staged, confirmation)
                .inspect_err(|error| journal::error(&format!("not rebooting: {error:#}")))?,
        }
    }
    let next_root = match plan.method {
        Method::SoftReboot => Some(next_root(root, generation, to)?),
        _ => None,
    };
    let state = boots_next(root, generation, &to.path, within, plan.method, how.tries)?;
    profile::point(root, generation)?;
    let first_boot = state.trial.is_some();
    if !first_boot && plan.method == Method::Live {
        protect::settle(root, &to.path)?;
    }
    if let Some(next_root) = next_root {
        note(&format!("soft-rebooting into generation {generation}"));
        systemd::soft_reboot_soon()?;
        next_root.keep();
        return Ok(());
    }
    match plan.method {
        Method::TrialBoot if verb == Verb::Switch => {
            note(&format!("rebooting into generation {generation}"));
            systemd::reboot_soon()?;
        }
        Method::TrialBoot => note(&format!("generation {generation} boots next")),
        _ if first_boot => note(&format!(
            "generation {generation} runs and is healthy; its first boot is its trial"
        )),
        _ => note(&format!("generation {generation} runs and is good")),
    }
    Ok(())
}

/// The root that a soft-reboot goes to.
fn next_root(root: &Root, generation: Generation, to: &Toplevel) -> Result<Next> {
    let text = Booted::text(generation, &to.path);
    let told = (generations::SOFT_BOOTED, text.as_str());
    Ok(Next::assemble(
        &root.at("run/data"),
        Path::new(&to.path),
        told,
    )?)
}

/// Decides what is tried next, and whether it will have to be confirmed. A good one needs no trial.
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

/// What a rollback restores; says what it could.
fn restores(root: &Root, old: &Declared, new: &Declared, how: How<'_>) -> Result<Vec<Restore>> {
    let Some((generation, restore)) = how.rollback else {
        return Ok(Vec::new());
    };
    let offered = protect::offered(root, generation, old, new);
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

fn confirm(
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

/// Switches, judges, and goes back if it has to.
fn live_switch(
    root: &Root,
    scene: &Scene,
    change: Change<'_>,
    generation: Option<Generation>,
    how: How<'_>,
) -> Result<()> {
    let toplevel = &change.to.path;
    let name = generation.map_or_else(
        || format!("{toplevel}, on test"),
        |generation| format!("generation {generation}"),
    );
    note(&format!("switching live to {name} ({toplevel})"));
    let touched: BTreeSet<_> = [
        &change.units.stop,
        &change.units.start,
        &change.units.restart,
    ]
    .into_iter()
    .flatten()
    .cloned()
    .collect();
    // What was failed before is not this generation's doing, unless it had a hand in it.
    let forgiven = health::failed()?.difference(&touched).cloned().collect();
    let mut problems = live::activate(root, change)?;
    if problems.is_empty() {
        say("waiting for it to be healthy");
        match Health::load(root) {
            Ok(health) => problems.extend(health.wait(&forgiven).err().map(|e| e.to_string())),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    if let Some(confirmation) = how.confirmation
        && problems.is_empty()
    {
        let waited = confirm(root, change.to, generation, confirmation);
        problems.extend(waited.err().map(|error| format!("{error:#}")));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let what = format!("{name} failed: {}", problems.join("; "));
    journal::error(&what);
    if !how.go_back {
        let then = "it stays, as it was asked for by number".to_owned();
        return Err(ApplyError::Unsuccessful { what, then }.into());
    }
    say(&format!("{what}; going back"));
    let then = match back(root, scene, change.stack) {
        Ok(then) => then,
        Err(error) => {
            journal::error(&format!("going back failed: {error:#}; rebooting"));
            systemd::reboot_soon()?;
            format!("going back failed, too ({error:#}); rebooting into what ran before")
        }
    };
    note(&then);
    Err(ApplyError::Unsuccessful { what, then }.into())
}

/// Makes what ran before run again, with every unit that was active.
fn back(root: &Root, scene: &Scene, from: &Stack) -> Result<String> {
    let now = systemd::active()?;
    let here = Here {
        current: &scene.current,
        booted: &scene.booted,
        layers: &scene.layers,
        active: &now,
        manager: &systemd::manager(),
    };
    let plan = Plan::make(&here, from, &scene.current, &scene.old, root);
    let mut units = plan.units;
    let lost = scene.active.units.keys().filter(|name| {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        let can_start = ["service", "socket", "timer", "path", "mount"].contains(&kind);
        can_start && !now.units.contains_key(*name)
    });
    for name in lost {
        if !units.start.contains(name) {
            units.start.push(name.clone());
        }
    }
    let restores = protect::returning(root, &scene.current.path, &scene.declared)?;
    let change = Change {
        to: &scene.current,
        stack: &scene.old,
        units: &units,
        reexecute: plan.reexecute,
        restores: &restores,
    };
    // A unit that failed too often may not be started until that is forgotten.
    let _ = systemd::run("systemctl", &["reset-failed"]);
    let mut problems = live::activate(root, change)?;
    if !problems
        .iter()
        .any(|problem| problem.starts_with(live::RESTORING))
    {
        protect::returned(root, &scene.current.path)?;
    }
    // Of the transient kind are some that were lost for good: whether it is healthy is what counts.
    problems.retain(|problem| !problem.starts_with("starting"));
    let health = Health::load(root)?;
    problems.extend(health.wait(&BTreeSet::new()).err().map(|e| e.to_string()));
    Stack::forget_others(&[&scene.old])?;
    Ok(match problems.as_slice() {
        [] => "back on what ran before, which is healthy".to_owned(),
        some => format!("back on what ran before, and {}", some.join("; ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_leads_to_the_good_one_and_from_there_to_the_one_before() {
        let state = |good| State {
            seq: 1,
            good: Generation(good),
            trial: None,
        };
        let all: Vec<_> = [1, 4, 7, 9].map(Generation).to_vec();
        let to = |asked: Option<u64>, running: Option<u64>, good| {
            let (asked, running) = (asked.map(Generation), running.map(Generation));
            target(asked, &all, running, state(good)).ok().map(|g| g.0)
        };
        assert_eq!(to(None, Some(9), 7), Some(7));
        assert_eq!(to(None, None, 7), Some(7), "from a toplevel on test");
        assert_eq!(to(None, Some(7), 7), Some(4), "the next one is not before");
        assert_eq!(to(None, Some(1), 1), None);
        assert_eq!(to(Some(9), Some(7), 7), Some(9));
        assert_eq!(to(Some(5), Some(7), 7), None);
    }
}

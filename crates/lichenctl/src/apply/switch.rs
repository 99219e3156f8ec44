//! A live switch, and switching back if it fails.

use super::change::await_confirmation;
use super::origin::Origin;
use super::{ApplyError, How};
use crate::fallback;
use crate::health::{self, Health};
use crate::journal::{self, note, say};
use crate::live::{self, Change, Step};
use crate::plan::{Before, Plan};
use crate::recovery;
use crate::root::Root;
use crate::service_data;
use crate::state::Generation;
use crate::systemd;
use anyhow::Result;
use assemble::Stack;
use protocol::recovery::Reason;
use std::collections::BTreeSet;

/// Switches live, checks the health, and switches back if the generation is not healthy.
pub(super) fn live(
    root: &Root,
    origin: &Origin,
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
    // Units that had failed before are not blamed on this generation, unless it changed them.
    let forgiven: BTreeSet<String> = health::failed()?.difference(&touched).cloned().collect();
    let mut problems: Vec<String> = live::activate(root, change)?
        .iter()
        .map(ToString::to_string)
        .collect();
    if !problems.is_empty() {
        // What systemctl says of a unit that did not start is only where to look.
        problems.extend(health::in_trouble(&forgiven));
    }
    if problems.is_empty() {
        say("waiting for the generation to become healthy");
        match Health::load(root) {
            Ok(health) => problems.extend(health.wait(&forgiven).err().map(|e| e.to_string())),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    if let Some(confirmation) = how.confirmation
        && problems.is_empty()
    {
        let waited = await_confirmation(root, change.to, generation, confirmation);
        problems.extend(waited.err().map(|error| format!("{error:#}")));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let what = format!("{name} failed: {}", problems.join("; "));
    journal::error(&what);
    if !how.go_back {
        let then = "it keeps running, because it was requested by its number".to_owned();
        return Err(ApplyError::Unsuccessful { what, then }.into());
    }
    say(&format!("{what}; going back"));
    if let Some(generation) = generation {
        fallback::fell_back(root, generation, &problems.join("; "));
    }
    let then = match back(root, origin, change.stack) {
        Ok(then) => then,
        Err(error) => {
            journal::error(&format!("switching back failed: {error:#}; rebooting"));
            recovery::announce(
                root,
                Reason::Trial,
                &format!("{what}; switching back failed"),
            );
            recovery::set_off(root, systemd::reboot_soon)?;
            format!(
                "switching back failed, too ({error:#}); rebooting into the previous generation"
            )
        }
    };
    note(&then);
    Err(ApplyError::Unsuccessful { what, then }.into())
}

/// Switches back to the previous generation, with every unit that was active.
fn back(root: &Root, origin: &Origin, from: &Stack) -> Result<String> {
    let now = systemd::active()?;
    let before = Before {
        current: &origin.current,
        booted: &origin.booted,
        layers: &origin.layers,
        active: &now,
        manager: &systemd::manager(),
    };
    let plan = Plan::make(&before, from, &origin.current, &origin.stack, root);
    let mut units = plan.units;
    let lost = origin.active.units.keys().filter(|name| {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        let can_start = ["service", "socket", "timer", "path", "mount"].contains(&kind);
        can_start && !now.units.contains_key(*name)
    });
    for name in lost {
        if !units.start.contains(name) {
            units.start.push(name.clone());
        }
    }
    let restores = service_data::returning(root, &origin.current.path, &origin.declared)?;
    let change = Change {
        to: &origin.current,
        stack: &origin.stack,
        units: &units,
        reexecute: plan.reexecute,
        restores: &restores,
    };
    // Units that had failed before the switch are not this generation's problems either.
    let _ = systemd::run("systemctl", &["reset-failed"]);
    let failed = live::activate(root, change)?;
    if !failed.iter().any(|p| p.step == Step::RestoringData) {
        service_data::returned(root, &origin.current.path)?;
    }
    // A transient unit cannot be started again by its name. Only the health of the result counts.
    let told = failed.iter().filter(|p| p.step != Step::Starting);
    let mut problems: Vec<String> = told.map(ToString::to_string).collect();
    let health = Health::load(root)?;
    problems.extend(health.wait(&BTreeSet::new()).err().map(|e| e.to_string()));
    Stack::forget_others(&[&origin.stack])?;
    Ok(match problems.as_slice() {
        [] => "switched back to the previous generation, which is healthy".to_owned(),
        some => format!(
            "switched back to the previous generation, with problems: {}",
            some.join("; ")
        ),
    })
}

//! `lichen lock`: resolves the package lists to lock.json.

use crate::debian::intent::Intent;
use crate::debian::lock::PackageLock;
use crate::debian::mirror::Mirrors;
use crate::debian::{download, extend, resolve};
use crate::workspace::Workspace;
use crate::{bootstrap, sources, ui};
use anyhow::Result;

/// Resolve the package lists with apt's own solver and write image/debian/lock.json
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// Write nothing; fail if the lock does not match the package lists, and show what would change
    #[arg(long)]
    check: bool,
    /// Add what the package lists newly name, and keep the versions of all that is locked
    #[arg(long, conflicts_with = "check")]
    keep: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &LockArgs) -> Result<()> {
    let intent = Intent::load(&workspace.intent())?;
    let old = if args.check || args.keep {
        Some(PackageLock::load(&workspace.lock())?)
    } else {
        PackageLock::load(&workspace.lock()).ok()
    };
    if let (true, Some(old)) = (args.check, &old) {
        old.check_made_from(&intent)?;
    }
    if let (true, Some(old)) = (args.keep, &old) {
        // What is kept is read: nobody else remembers what an old version depends on.
        let vanished = sources::fetch(workspace, old, |path| {
            path.extension().is_some_and(|kind| kind == "deb")
        })?;
        if !vanished.is_empty() {
            return Err(sources::gone(old, &vanished));
        }
    }
    let _exclusive = workspace.exclusive()?;
    let mirrors = Mirrors::find()?;
    let cache = workspace.cache("apt")?;
    let mut new = match &old {
        Some(old) if args.keep => extend::extend(old, &intent, &mirrors, &cache)?,
        _ => resolve::resolve(&intent, &mirrors, &cache)?,
    };
    let key = new.bootstrap.deb.clone();
    let got = download::download(&new, &[key], &mirrors, &workspace.cache("debs")?)?;
    let Some(deb) = got.files.first() else {
        anyhow::bail!(
            "the mirror lists {} but does not have it",
            new.bootstrap.deb
        )
    };
    new.bootstrap.busybox = bootstrap::hash_of(deb)?;

    let changes = old
        .as_ref()
        .map(|old| old.changes(&new))
        .unwrap_or_default();
    for change in &changes {
        ui::say(format!("  {change}"));
    }
    let bytes = new.packages.values().map(|p| p.size).sum();
    if args.check {
        ui::say(format!(
            "the lock matches the package lists; {} packages would change",
            changes.len()
        ));
        return Ok(());
    }
    if let Some(old) = &old
        && changes.is_empty()
        && old.intent == new.intent
        && old.bootstrap == new.bootstrap
    {
        // Do not rewrite an unchanged lock: its date is that of its last change.
        new.timestamp.clone_from(&old.timestamp);
    }
    new.save(&workspace.lock())?;
    ui::say(format!(
        "{} packages locked, {}, {} changed",
        new.packages.len(),
        ui::bytes(bytes),
        changes.len()
    ));
    println!("{}", workspace.lock().display());
    Ok(())
}

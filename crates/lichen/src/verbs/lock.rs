//! `lichen lock`: package lists → lock.json.

use crate::debian::download;
use crate::debian::intent::Intent;
use crate::debian::lock::Lock;
use crate::debian::mirror::Mirrors;
use crate::debian::resolve;
use crate::workspace::Workspace;
use crate::{bootstrap, ui};
use anyhow::Result;

/// Resolve the package lists with apt's own solver and write image/debian/lock.json
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    /// Write nothing: fail if the lock is not that of the package lists, and tell what would move
    #[arg(long)]
    check: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &LockArgs) -> Result<()> {
    let intent = Intent::load(&workspace.intent())?;
    let old = if args.check {
        Some(Lock::load(&workspace.lock())?)
    } else {
        Lock::load(&workspace.lock()).ok()
    };
    if let (true, Some(old)) = (args.check, &old) {
        check(old, &intent)?;
    }
    let _exclusive = workspace.exclusive()?;
    let mirrors = Mirrors::find()?;
    let mut new = resolve::resolve(&intent, &mirrors, &workspace.cache("apt")?)?;
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
            "the lock is that of the package lists; {} packages would move",
            changes.len()
        ));
        return Ok(());
    }
    if let Some(old) = &old
        && changes.is_empty()
        && old.intent == new.intent
        && old.bootstrap == new.bootstrap
    {
        // Same content, same file: a lock's date is that of its last change.
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

/// Fails unless the lock was made from these package lists.
pub fn check(lock: &Lock, intent: &Intent) -> Result<()> {
    if lock.intent != intent.digest() {
        crate::fail!(
            hint: "./lichen lock",
            "image/debian/packages.toml was edited since image/debian/lock.json was made"
        );
    }
    Ok(())
}

//! `lichen fetch`: everything a build needs, downloaded and seeded into the store. After it no build needs a network.

use crate::debian::lock::PackageLock;
use crate::sources;
use crate::workspace::Workspace;
use anyhow::Result;

/// Download every locked package and crate and seed them into the Nix store
#[derive(Debug, clap::Args)]
pub struct Fetch {
    /// Only what this appliance is made of
    appliance: Option<String>,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &Fetch) -> Result<()> {
    if let Some(appliance) = &args.appliance {
        return sources::image_sources(workspace, appliance, false).map(drop);
    }
    let lock = PackageLock::load(&workspace.lock())?;
    let vanished = sources::fetch(workspace, &lock, |_| true)?;
    if vanished.is_empty() {
        return Ok(());
    }
    Err(sources::gone(&lock, &vanished))
}

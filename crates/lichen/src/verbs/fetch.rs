//! `lichen fetch`: downloads everything that builds need and adds it to the store. Later builds need no network.

use crate::debian::lock::PackageLock;
use crate::sources;
use crate::workspace::Workspace;
use anyhow::Result;

/// Download every locked package and crate and add them to the Nix store
#[derive(Debug, clap::Args)]
pub struct Fetch {
    /// Only what this appliance needs
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

//! `lichen docs`: the reference of all options, generated from their declarations.

use crate::nix::Nix;
use crate::workspace::Workspace;
use anyhow::Result;

/// Write the reference of all options; prints its path
#[derive(Debug, clap::Args)]
pub struct DocsArgs {}

/// Runs the verb.
pub fn run(workspace: &Workspace, _args: &DocsArgs) -> Result<()> {
    let lock = super::build::sources(workspace, "docs", false)?;
    let link = workspace.build("")?.join("docs");
    Nix::new(workspace, lock).build("packages.x86_64-linux.options-docs", Some(&link))?;
    println!("{}", link.join("options.md").display());
    Ok(())
}

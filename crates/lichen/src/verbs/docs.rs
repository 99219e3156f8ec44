//! `lichen docs`: the reference of all options, generated from their declarations.

use crate::sources::{Wanted, sources};
use crate::workspace::Workspace;
use anyhow::Result;

/// Write the reference of all options; prints its path
#[derive(Debug, clap::Args)]
pub struct DocsArgs {}

/// Runs the verb.
pub fn run(workspace: &Workspace, _args: &DocsArgs) -> Result<()> {
    let output = "packages.x86_64-linux.options-docs";
    let nix = sources(workspace, "docs", &Wanted::Of(&[output]), false)?;
    let link = workspace.build("")?.join("docs");
    nix.build(output, Some(&link))?;
    println!("{}", link.join("options.md").display());
    Ok(())
}

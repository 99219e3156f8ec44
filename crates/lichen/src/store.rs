//! The Nix store, through its own commands.

use crate::command::{self, program};
use anyhow::Result;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Nix command with the settings that every build of ours wants.
///
/// No substituters: nothing of ours is in any cache, and where one can't be reached each command waits for it.
/// The user's own NIX_CONFIG comes last and wins.
pub fn nix(name: &str) -> Command {
    let mut config = String::from(
        "experimental-features = nix-command flakes\nsubstituters =\nmax-jobs = auto\n",
    );
    if rustix::process::geteuid().is_root()
        && !Path::new("/nix/var/nix/daemon-socket/socket").exists()
    {
        // root without a daemon: nobody made the nixbld users
        config.push_str("build-users-group =\n");
    }
    if let Ok(own) = std::env::var("NIX_CONFIG") {
        config.push_str(&own);
    }
    let mut command = program(name);
    command.env("NIX_CONFIG", config);
    // git refuses to read a checkout that belongs to another user, as with sudo.
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*");
    command
}

/// Those of the paths that the store does not have.
pub fn missing(paths: &[PathBuf]) -> Result<HashSet<PathBuf>> {
    let mut absent = HashSet::new();
    for some in paths.chunks(2000) {
        let text = command::stdout_of(
            nix("nix-store")
                .args(["--check-validity", "--print-invalid"])
                .args(some),
        )?;
        absent.extend(text.lines().map(PathBuf::from));
    }
    Ok(absent)
}

/// Keeps a path from being collected, by a link to it.
pub fn keep(path: &Path, link: &Path) -> Result<()> {
    let mut nix = nix("nix-store");
    nix.arg("--realise").arg(path).arg("--add-root").arg(link);
    command::stdout_of(&mut nix).map(drop)
}

/// Adds files under their own names and flat SHA-256, and checks that they landed where expected.
pub fn add_flat(files: &[PathBuf]) -> Result<()> {
    for some in files.chunks(500) {
        command::stdout_of(nix("nix-store").args(["--add-fixed", "sha256"]).args(some))?;
    }
    Ok(())
}

/// Adds one file or tree by the SHA-256 of its Nix archive.
pub fn add_recursive(path: &Path) -> Result<PathBuf> {
    let text = command::stdout_of(
        nix("nix-store")
            .args(["--add-fixed", "--recursive", "sha256"])
            .arg(path),
    )?;
    Ok(PathBuf::from(text.trim()))
}

//! The Nix store, through its own commands.

use crate::command::{self, program};
use crate::ui;
use anyhow::{Context, Result};
use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The lock of who needs something that no link keeps.
static NEED: Mutex<Option<File>> = Mutex::new(None);

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

/// Whether this is the path of something in a Nix store, which no program takes for an option or for anything else.
pub fn is_path(path: &str) -> bool {
    let Some((hash, name)) = path
        .strip_prefix("/nix/store/")
        .and_then(|path| path.split_once('-'))
    else {
        return false;
    };
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"+-._?=".contains(&c);
    hash.len() == 32
        && hash.bytes().all(|c| c.is_ascii_alphanumeric())
        && !name.is_empty()
        && name.bytes().all(plain)
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

/// Keeps [`collect_garbage`] of other processes away from everything in the store, until this process ends or collects itself: what was
/// just fetched, and what is built from it, has no link.
pub fn need(lock: &Path) -> Result<()> {
    let file = open(lock)?;
    if file.try_lock_shared().is_err() {
        ui::say("another lichen command is dropping old builds; waiting for it to finish");
        file.lock_shared()
            .with_context(|| format!("cannot lock {}", lock.display()))?;
    }
    *NEED.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    Ok(())
}

/// Drops at least `bytes` of what no link keeps, if there is so much, unless another process [needs](need) some of it; says whether it did.
/// What built the things that links keep stays, too: without it, the next build would begin with compilers and Debian's packages.
pub fn collect_garbage(lock: &Path, bytes: u64) -> Result<bool> {
    *NEED.lock().unwrap_or_else(PoisonError::into_inner) = None;
    unless_needed(lock, || {
        command::stdout_of(&mut garbage_collector(bytes)).map(drop)
    })
}

fn unless_needed(lock: &Path, act: impl FnOnce() -> Result<()>) -> Result<bool> {
    let file = open(lock)?;
    match file.try_lock() {
        Ok(()) => act().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", lock.display()))
        }
    }
}

fn open(lock: &Path) -> Result<File> {
    File::create(lock).with_context(|| format!("cannot write {}", lock.display()))
}

fn garbage_collector(bytes: u64) -> Command {
    let mut nix = nix("nix-store");
    nix.args(["--gc", "--max-freed", &bytes.to_string()]);
    nix.args(["--option", "keep-outputs", "true"]);
    nix.args(["--option", "keep-derivations", "true"]);
    nix
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_dropped_while_another_process_needs_something() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let another = File::create(&lock).unwrap();
        another.lock_shared().unwrap();
        need(&lock).unwrap();
        assert!(!unless_needed(&lock, || unreachable!()).unwrap());
        drop(another);
        // This process gave up its own claim before it collects; until then, others do not.
        assert!(!unless_needed(&lock, || unreachable!()).unwrap());
        *NEED.lock().unwrap() = None;
        assert!(unless_needed(&lock, || Ok(())).unwrap());
    }

    #[test]
    fn garbage_is_what_no_link_keeps_and_nothing_linked_was_built_from() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let of_store = |mut nix: Command| {
            nix.arg("--store").arg(&store);
            nix
        };
        let in_store = |path: &str| store.join(path.trim().trim_start_matches('/'));
        let added = |name: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, name).unwrap();
            let mut add = of_store(nix("nix-store"));
            command::stdout_of(add.arg("--add").arg(&file)).unwrap()
        };
        let (kept, dropped) = (added("kept"), added("dropped"));
        let roots = store.join("nix/var/nix/gcroots");
        std::fs::create_dir_all(&roots).unwrap();
        std::os::unix::fs::symlink(kept.trim(), roots.join("kept")).unwrap();
        assert!(in_store(&dropped).exists());

        command::stdout_of(&mut of_store(garbage_collector(1_000_000))).unwrap();
        assert!(in_store(&kept).exists());
        assert!(!in_store(&dropped).exists());
    }
}

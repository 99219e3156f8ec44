//! The lock: only one process at a time may change the boot state or the running generation.
//!
//! The kernel releases the lock when its process ends, so a crash leaves nothing to clean up.

use crate::hint::Hint;
use crate::root::Root;
use anyhow::{Context, Result};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

/// The lock file.
pub const FILE: &str = "run/lichen/lock";

/// Another process holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("another lichenctl is changing generations on this device{0}")]
pub struct Busy(String);

impl Hint for Busy {
    fn hint(&self) -> &'static str {
        "`lichenctl status` shows its progress; try again when it has finished"
    }
}

/// The right to change generations; held until dropped.
#[derive(Debug)]
pub struct GenerationsLock(#[expect(dead_code, reason = "held, not used")] File);

impl GenerationsLock {
    /// Takes the lock, or fails at once if another process has it.
    pub fn take(root: &Root) -> Result<Self> {
        take(root, FILE, "cannot lock generations").map(Self)
    }

    /// Takes the lock, waiting for it if necessary.
    pub fn wait(root: &Root) -> Result<Self> {
        let file = open(root, FILE)?;
        file.lock().context("cannot lock generations")?;
        sign(root, &file);
        Ok(Self(file))
    }
}

/// Takes the lock that this file is, or fails at once with who has it.
pub(crate) fn take(root: &Root, file: &str, cannot: &'static str) -> Result<File> {
    let lock = open(root, file)?;
    match lock.try_lock() {
        Ok(()) => {
            sign(root, &lock);
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let signed = fs::read_to_string(root.at(file)).unwrap_or_default();
            Err(Busy(holder(&signed, root.uptime().unwrap_or(0))).into())
        }
        Err(TryLockError::Error(error)) => Err(error).context(cannot),
    }
}

/// Leaves in the lock who has it, for those who are turned away: uptime in seconds, process, verb, and the address that whoever
/// gave the order came from. Nothing but their message depends on it.
fn sign(root: &Root, mut lock: &File) {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let from = std::env::var("SSH_CONNECTION").unwrap_or_default();
    let from = from.split(' ').next().unwrap_or_default();
    let (uptime, process) = (root.uptime().unwrap_or(0), std::process::id());
    let text = format!("{uptime} {process} {verb} {from}\n");
    let _ = lock
        .set_len(0)
        .and_then(|()| lock.write_all(text.as_bytes()));
}

/// ": `switch`, for 20 s, asked for from 192.0.2.7 (process 712)", as far as that is known.
fn holder(signed: &str, uptime: u64) -> String {
    let words: Vec<&str> = signed.trim_end_matches('\n').split(' ').collect();
    let [since, process, verb, from] = words[..] else {
        return String::new();
    };
    let Some(seconds) = since
        .parse()
        .ok()
        .and_then(|since| uptime.checked_sub(since))
    else {
        return String::new();
    };
    let from = match from {
        "" => String::new(),
        from => format!(", asked for from {from}"),
    };
    format!(": `{verb}`, for {seconds} s{from} (process {process})")
}

/// Opens the file of a lock, which only root can: whoever can read it can hold the lock for ever.
pub(crate) fn open(root: &Root, file: &str) -> Result<File> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    let path = root.at(file);
    let open = || -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        Ok(file)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;

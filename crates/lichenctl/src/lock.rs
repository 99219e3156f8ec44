//! The lock: only one process at a time may change the boot state or the running generation.
//!
//! The kernel releases the lock when its process ends, so a crash leaves nothing to clean up.

use crate::hint::Hint;
use crate::root::Root;
use anyhow::{Context, Result};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

/// The lock file.
pub const FILE: &str = "run/lichen/lock";

/// Another process holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("another lichenctl is changing generations on this device")]
pub struct Busy;

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
        let file = open(root, FILE)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Busy.into()),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock generations"),
        }
    }

    /// Takes the lock, waiting for it if necessary.
    pub fn wait(root: &Root) -> Result<Self> {
        let file = open(root, FILE)?;
        file.lock().context("cannot lock generations")?;
        Ok(Self(file))
    }
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

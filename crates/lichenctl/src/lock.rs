//! One writer at a time: whoever changes the boot state or what runs holds this.
//!
//! The lock is the kernel's and goes with its process, so that a crash leaves nothing to clean up.

use crate::durable;
use crate::root::Root;
use anyhow::{Context, Result};
use std::fs::{File, OpenOptions, TryLockError};

/// Another process holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("another lichenctl is changing generations on this device")]
pub struct Busy;

impl Busy {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "`lichenctl status` shows how far it is; try again when it is done"
    }
}

/// The right to change generations; held until dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] File);

impl Lock {
    /// Takes the lock, or says at once that another process has it.
    pub fn take(root: &Root) -> Result<Self> {
        let file = open(root)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Busy.into()),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock generations"),
        }
    }

    /// Takes the lock, and waits for it if need be.
    pub fn wait(root: &Root) -> Result<Self> {
        let file = open(root)?;
        file.lock().context("cannot lock generations")?;
        Ok(Self(file))
    }
}

fn open(root: &Root) -> Result<File> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    let path = root.at("run/lichen/lock");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_turned_away_until_the_first_is_done() {
        let dir = durable::scratch();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let root = Root::new(dir.path());
        let first = Lock::take(&root).unwrap();
        assert!(Lock::take(&root).unwrap_err().is::<Busy>());
        drop(first);
        Lock::wait(&root).unwrap();
    }
}

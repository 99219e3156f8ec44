//! Free space on the disk: what to delete, and when to stop.

use std::io;
use std::path::Path;

use super::place::Place;
use crate::sync::Synced;

/// Maintains the required free space.
#[derive(Debug)]
pub struct Space {
    place: Place,
    min_free: u64,
}

/// The bytes that this process can still write to the file system of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

impl Space {
    /// Watches the file system of `place`.
    pub fn new(place: &Place, min_free: u64) -> Self {
        Space {
            place: place.clone(),
            min_free,
        }
    }

    /// Deletes synced files, oldest first, until there is enough space. Returns false if there is not, and all
    /// remaining files are not synced yet: those are never deleted.
    pub fn make(&self) -> anyhow::Result<bool> {
        if free_bytes(&self.place.ready())? >= self.min_free {
            return Ok(true);
        }
        let ledger = Synced::of(&self.place);
        for name in Place::files(&self.place.ready())? {
            if !ledger.is_synced(&name) {
                continue;
            }
            tracing::warn!(
                file = name,
                "the disk is full: deleting a synced file before its retention ends"
            );
            ledger.forget(&name)?;
            if free_bytes(&self.place.ready())? >= self.min_free {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

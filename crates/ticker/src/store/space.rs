//! Room on the disk: what is deleted for it, and when to stop.

use std::io;
use std::path::Path;

use super::place::Place;
use crate::sync::Synced;

/// Looks after the room that must stay free.
#[derive(Debug)]
pub struct Space {
    place: Place,
    min_free: u64,
}

/// Bytes that this process may still write to the file system of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

impl Space {
    /// For the file system of `place`.
    pub fn new(place: &Place, min_free: u64) -> Self {
        Space {
            place: place.clone(),
            min_free,
        }
    }

    /// Deletes synced files, oldest first, until there is room. False means that there is none, and that what is
    /// left has not been synced: nothing of that is ever deleted.
    pub fn make(&self) -> io::Result<bool> {
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

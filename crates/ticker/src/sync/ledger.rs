//! What is known of the objects that the files of `ready/` have become.

use std::fs;
use std::io;

use bucket::{Entry, Ledger};

use crate::store::Place;

/// The ledger of one `raw/`.
#[derive(Debug, Clone)]
pub struct Synced {
    place: Place,
    ledger: Ledger,
}

impl Synced {
    /// That of `place`.
    pub fn of(place: &Place) -> Self {
        Synced {
            place: place.clone(),
            ledger: Ledger::new(place.synced()),
        }
    }

    /// All that is known, for the upload.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is known of a file.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.ledger.get(name)
    }

    /// Whether the object of a file is there.
    pub fn is_synced(&self, name: &str) -> bool {
        self.ledger.is_synced(name)
    }

    /// Nothing is known of this file any more: it is uploaded again.
    pub fn clear(&self, name: &str) -> io::Result<()> {
        self.ledger.clear(name)
    }

    /// Deletes a file, and then what was known of it. Ingest, for want of room, and sync may both do so at once.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.place.ready().join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.clear(name),
        }
    }

    /// Removes what is left of files that are gone.
    pub fn tidy(&self) -> io::Result<()> {
        let ready = self.place.ready();
        self.ledger.tidy(|name| ready.join(name).exists())
    }
}

//! The record of the objects that the files in `ready/` were uploaded to.

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
    /// Opens the ledger of `place`.
    pub fn of(place: &Place) -> Self {
        Synced {
            place: place.clone(),
            ledger: Ledger::new(place.synced()),
        }
    }

    /// The entries, for the upload.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The entry of a file.
    pub fn get(&self, name: &str) -> Option<Entry> {
        self.ledger.get(name)
    }

    /// Whether a file is completely uploaded.
    pub fn is_synced(&self, name: &str) -> bool {
        self.ledger.is_synced(name)
    }

    /// Removes the entry of a file, so that it is uploaded again.
    pub fn clear(&self, name: &str) -> anyhow::Result<()> {
        self.ledger.clear(name)
    }

    /// Deletes a file, and then its entry. Ingest (for lack of space) and sync may both do so at the same time.
    pub fn forget(&self, name: &str) -> anyhow::Result<()> {
        durable::remove(&self.place.ready().join(name))?;
        self.clear(name)
    }

    /// Removes the entries of files that no longer exist.
    pub fn tidy(&self) -> io::Result<()> {
        let ready = self.place.ready();
        self.ledger.tidy(|name| ready.join(name).exists())
    }
}

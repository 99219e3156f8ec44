//! What is known of the objects that files have become: one small file each, replaced as a whole.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::{Place, sync};

/// How far a file is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// Some of its parts are there.
    Uploading {
        /// The server's name for the upload.
        upload_id: String,
        /// The size of the parts.
        part_bytes: usize,
        /// The tags of those that are there, from the first on.
        parts: Vec<String>,
    },
    /// The object is there, and was compared.
    Synced {
        /// Its tag.
        etag: String,
        /// Its size.
        bytes: u64,
    },
}

/// The entries of one `raw/`.
#[derive(Debug, Clone)]
pub struct Ledger {
    place: Place,
}

impl Ledger {
    /// Those of `place`.
    pub fn of(place: &Place) -> Self {
        Ledger {
            place: place.clone(),
        }
    }

    /// What is known of a file; nothing, if what was known is damaged: then it is uploaded anew, to the same key.
    pub fn get(&self, name: &str) -> Option<Entry> {
        serde_json::from_slice(&fs::read(self.path(name)).ok()?).ok()
    }

    /// Whether the object of a file is there.
    pub fn is_synced(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Entry::Synced { .. }))
    }

    /// Remembers this of a file, durably.
    pub fn set(&self, name: &str, entry: &Entry) -> io::Result<()> {
        let folder = self.place.synced();
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&serde_json::to_vec(entry)?)?;
        file.as_file().sync_all()?;
        file.persist(self.path(name)).map_err(|error| error.error)?;
        sync(&folder)
    }

    /// Nothing is known of this file any more.
    pub fn clear(&self, name: &str) -> io::Result<()> {
        remove(&self.path(name))
    }

    /// Deletes a file, and then what was known of it. Ingest, for want of room, and sync may both be at it.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        remove(&self.place.ready().join(name))?;
        self.clear(name)
    }

    /// Removes what is left of files that are gone.
    pub fn tidy(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.place.synced())? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str());
            if name.is_none_or(|name| !self.place.ready().join(name).exists()) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.synced().join(format!("{name}.json"))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

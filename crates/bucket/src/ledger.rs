//! A record of uploaded files: one small file for each, always replaced as a whole.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The progress of a file's upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// Some of its parts are uploaded.
    Uploading {
        /// The storage's ID of the upload.
        upload_id: String,
        /// The size of the parts.
        part_bytes: u64,
        /// The ETags of the uploaded parts, in order from the first.
        parts: Vec<String>,
    },
    /// The object is complete and was verified.
    Synced {
        /// Its ETag.
        etag: String,
        /// Its size.
        bytes: u64,
    },
}

/// A directory of entries, each with the name of the file that it describes.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// The entries in `folder`, which must exist before the first entry is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Ledger {
            folder: folder.into(),
        }
    }

    /// The entry of a file; none if it is damaged, so that the file is uploaded again to the same key.
    pub fn get(&self, name: &str) -> Option<Entry> {
        serde_json::from_slice(&fs::read(self.path(name)).ok()?).ok()
    }

    /// Whether the file is completely uploaded.
    pub fn is_synced(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Entry::Synced { .. }))
    }

    /// Records the progress of a file durably.
    pub fn set(&self, name: &str, entry: &Entry) -> anyhow::Result<()> {
        durable::atomic_write(&self.path(name), &serde_json::to_vec(entry)?, 0o600)
    }

    /// Removes the entry of a file.
    pub fn clear(&self, name: &str) -> anyhow::Result<()> {
        durable::remove(&self.path(name)).map(drop)
    }

    /// Removes the entries of files that no longer exist.
    pub fn tidy(&self, is_there: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str());
            if name.is_none_or(|name| !is_there(name)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_entry_is_none_and_what_is_gone_is_tidied_away() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        let entry = Entry::Synced {
            etag: "a".into(),
            bytes: 1,
        };
        for name in ["kept", "gone", "damaged"] {
            ledger.set(name, &entry).unwrap();
        }
        let damaged = folder.path().join("damaged.json");
        durable::atomic_write(&damaged, b"{\"synced\":{\"et", 0o600).unwrap();
        assert_eq!(ledger.get("damaged"), None);
        ledger.tidy(|name| name == "kept").unwrap();
        assert_eq!(ledger.get("kept"), Some(entry));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

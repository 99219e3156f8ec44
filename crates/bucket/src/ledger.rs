//! A record of uploaded files: one small file for each, always replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    pub fn set(&self, name: &str, entry: &Entry) -> io::Result<()> {
        replace(&self.path(name), &serde_json::to_vec(entry)?)
    }

    /// Removes the entry of a file.
    pub fn clear(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

/// Replaces a file durably as a whole: after a power cut it is either the old one or the new one.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
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
        replace(&folder.path().join("damaged.json"), b"{\"synced\":{\"et").unwrap();
        assert_eq!(ledger.get("damaged"), None);
        ledger.tidy(|name| name == "kept").unwrap();
        assert_eq!(ledger.get("kept"), Some(entry));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

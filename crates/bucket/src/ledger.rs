//! What is known of the objects that files have become: one small file each, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How far a file is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// Some of its parts are there.
    Uploading {
        /// The storage's name for the upload.
        upload_id: String,
        /// The size of the parts.
        part_bytes: u64,
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

/// A folder of entries, each under the name of the file that it is about.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// The entries in `folder`, which has to exist before the first is written.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Ledger {
            folder: folder.into(),
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
        replace(&self.path(name), &serde_json::to_vec(entry)?)
    }

    /// Nothing is known of this file any more.
    pub fn clear(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the entries of files that are gone.
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

/// Replaces a file as a whole, durably: whenever the plug is pulled, it is the old one or the new one.
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

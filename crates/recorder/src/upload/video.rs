//! A video that is to be uploaded, and what became of it.

use std::path::PathBuf;

/// A finished recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// The session that it is the recording of.
    pub session: i64,
    /// Its file, whose name is also its name at the target.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its title, for people.
    pub title: String,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at_ms: i64,
    /// Its length.
    pub duration_ms: i64,
}

impl Video {
    /// The name of its file.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The state of a session's upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It waits for its turn.
    Pending,
    /// It is being uploaded.
    Uploading,
    /// It is uploaded, and was checked.
    Completed,
    /// It could not be uploaded, and is tried again later.
    Failed {
        /// Why.
        why: String,
    },
    /// Its file is not the one that was recorded. It is never sent.
    Corrupted {
        /// What was found.
        why: String,
    },
}

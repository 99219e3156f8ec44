//! Files and rows after a cut: both are brought to the same.
//!
//! Nothing here is fatal. A part that cannot be used is set aside and named; a folder without a row gets one; a row
//! without files is told so.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::SessionState;
use super::folder::Folder;
use super::process::remove_parts;
use super::store::Store;
use crate::clock::{Clock, Moment};
use crate::mp4::{self, Problem};

/// What is said of a session that was not ended.
const CUT: &str = "it was not ended, because the power or the recorder failed";

/// The parts of a session that can be used.
#[derive(Debug, Default)]
pub struct Parts {
    /// Their files, in order.
    pub files: Vec<PathBuf>,
    /// The frames in them.
    pub frames: u64,
    /// Their size.
    pub bytes: u64,
    /// What was wrong, and with which part.
    pub notes: Vec<String>,
}

/// Takes the parts of a session as they are: an incomplete end is cut off, and what cannot be used is set aside.
pub fn parts(folder: &Folder) -> io::Result<Parts> {
    let mut parts = Parts::default();
    for file in folder.parts()? {
        let scan = mp4::scan(&file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(problem) = scan.problem {
            parts.notes.push(format!("{name} {problem}"));
        }
        match scan.problem {
            None => {}
            Some(Problem::Cut(_)) => {
                let part = OpenOptions::new().write(true).open(&file)?;
                part.set_len(scan.good)?;
                part.sync_all()?;
            }
            Some(_) => {
                std::fs::rename(&file, file.with_extension("unusable"))?;
                continue;
            }
        }
        parts.frames += scan.frames;
        parts.bytes += scan.good;
        parts.files.push(file);
    }
    File::open(folder.path())?.sync_all()?;
    Ok(parts)
}

/// Brings files and rows to the same, before anything else is done.
pub fn recover(store: &Store, videos: &Path, clock: &Clock) -> anyhow::Result<()> {
    for folder in Folder::all(videos)? {
        let known = store.get(folder.id())?;
        if known.is_some_and(|session| session.removed_at_ms.is_some()) {
            // The cut came while it was being removed.
            folder.remove()?;
        }
    }
    for session in store.all(SessionState::Recording)? {
        tracing::warn!(session = session.id, "{CUT}");
        store.becomes(session.id, SessionState::Processing, Some(CUT))?;
    }
    for state in [SessionState::Processing, SessionState::Finished] {
        for session in store.all(state)? {
            let folder = Folder::of(videos, session.id);
            let (is_gone, becomes) = match state {
                SessionState::Finished => (folder.video().is_none(), SessionState::Finished),
                _ => (!folder.path().exists(), SessionState::Corrupted),
            };
            if is_gone {
                let note = "its files are gone";
                tracing::error!(session = session.id, "{note}");
                store.becomes(session.id, becomes, Some(note))?;
                store.removed(session.id, clock.now_ms())?;
            }
        }
    }
    for session in store.all(SessionState::Finished)? {
        // The cut came between the last two steps.
        remove_parts(&Folder::of(videos, session.id))?;
    }
    for folder in Folder::all(videos)? {
        let id = folder.id();
        if !store.knows(id)? && folder.has_files() {
            let note = "its entry was lost, and it was found by its files";
            tracing::warn!(session = id, "{note}");
            let begun = Moment {
                boot: String::new(),
                up_ms: 0,
                at_ms: oldest_ms(&folder).unwrap_or_else(|| clock.now_ms()),
            };
            store.add(Some(id), SessionState::Processing, &begun)?;
            store.becomes(id, SessionState::Processing, Some(note))?;
        }
    }
    Ok(())
}

/// When the first file of a folder was written last, which is the best guess of when a lost session began.
fn oldest_ms(folder: &Folder) -> Option<i64> {
    let entries = std::fs::read_dir(folder.path()).ok()?.flatten();
    let times = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let since = times.min()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_millis() as i64)
}

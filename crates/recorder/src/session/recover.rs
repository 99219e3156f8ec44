//! Files and rows after a cut: both are brought to the same.
//!
//! Nothing here is fatal. A part that cannot be used is set aside and named; a folder without a row gets one; a row
//! without files is told so.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::folder::Folder;
use super::process::remove_parts;
use super::store::Store;
use super::{Session, SessionState};
use crate::clock::{Clock, Moment};
use crate::mp4::{self, Problem};

/// What is said of a session that was not ended.
const CUT: &str = "it was not ended, because the power or the recorder failed";

/// What is said of a session of which a video could not be made before.
const AGAIN: &str = "it was tried again after a restart";

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

/// Brings files and rows to the same, before anything else is done. The session that is being recorded, if there is one, is
/// left alone.
pub fn recover(
    store: &Store,
    videos: &Path,
    clock: &Clock,
    recording: Option<i64>,
) -> anyhow::Result<()> {
    Folder::remove_all(videos)?;
    let others = || {
        let mut folders = Folder::all(videos)?;
        folders.retain(|folder| Some(folder.id()) != recording);
        io::Result::Ok(folders)
    };
    for folder in others()? {
        let known = store.get(folder.id())?;
        if known.is_some_and(|session| !is_of(&folder, &session)) {
            let all = Folder::all(videos)?;
            let last = all.iter().map(Folder::id).chain(recording).max();
            let id = store.last_id()?.max(last.unwrap_or(0)) + 1;
            tracing::warn!(
                session = folder.id(),
                "its folder is that of another recording, {id}"
            );
            folder.renumber(id)?;
        }
    }
    for session in store.all(SessionState::Recording)? {
        if Some(session.id) != recording {
            tracing::warn!(session = session.id, "{CUT}");
            store.becomes(session.id, SessionState::Processing, Some(CUT))?;
        }
    }
    let left = [
        SessionState::Processing,
        SessionState::Finished,
        SessionState::Corrupted,
    ];
    for state in left {
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
            } else if state == SessionState::Corrupted && folder.has_films() {
                // What failed then may have had nothing to do with its files.
                store.becomes(session.id, SessionState::Processing, Some(AGAIN))?;
            }
        }
    }
    for session in store.all(SessionState::Finished)? {
        // The cut came between the last two steps.
        remove_parts(&Folder::of(videos, session.id))?;
    }
    for folder in others()? {
        let id = folder.id();
        if !store.knows(id)? && folder.has_films() {
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

/// Whether a folder can be that of the session that has its number. After a restore the row may be about an older one: what is
/// said of that, such as that it was uploaded and may go, does not hold for what is in the folder.
fn is_of(folder: &Folder, session: &Session) -> bool {
    if session.removed_at_ms.is_some() {
        return !folder.has_films();
    }
    if session.state != SessionState::Finished {
        return true;
    }
    match folder.video() {
        Some(video) => std::fs::metadata(video).is_ok_and(|file| file.len() == session.bytes),
        None => !folder.has_films(),
    }
}

/// When the first file of a folder was written last, which is the best guess of when a lost session began.
fn oldest_ms(folder: &Folder) -> Option<i64> {
    let entries = std::fs::read_dir(folder.path()).ok()?.flatten();
    let times = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok());
    let since = times.min()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_millis() as i64)
}

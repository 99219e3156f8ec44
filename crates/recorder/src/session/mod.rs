//! Sessions: what was recorded between a start and a stop.
//!
//! A session is a row in `recorder.sqlite` and a folder of files. While it is recorded, the folder holds parts: a part ends
//! when the camera fails, and the next one begins when it is back. Afterwards the parts become one video.

mod age;
mod folder;
mod keeper;
mod process;
mod recover;
mod space;
mod store;
mod tally;
mod tool;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use kit::{Kit, Worker};
use serde::Serialize;

use crate::camera::Event;
use crate::clock::{Clock, Moment};
use crate::schedule::Wish;
pub use folder::Folder;
use keeper::{Active, Keeper};
pub use process::{Failure, Probed, probe, process};
use space::Kept;
pub use space::{Disk, SpaceSettings, bytes, disk, folder_bytes};
use store::Store;
pub use store::{Made, SCHEMA};
pub use tally::Tally;
pub use tool::ToolError;

/// The database's file.
pub const DATABASE: &str = "recorder.sqlite";

/// Makes the database in a directory, unless it is there, and returns its path.
pub fn create_database(directory: &Path) -> anyhow::Result<PathBuf> {
    let database = directory.join(DATABASE);
    Store::open(&database, false)?.close();
    Ok(database)
}

/// The name of the worker.
const NAME: &str = "sessions";

/// The time limit for a job: a slow card, or the removal of large files, may need it.
const BEAT: Duration = Duration::from_secs(60);

/// What has become of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It is being recorded.
    Recording,
    /// Its parts have to be joined and checked.
    Processing,
    /// Its video is complete.
    Finished,
    /// No video could be made of its parts, or the video is not what was recorded.
    Corrupted,
}

/// A time in which nothing was recorded although it should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When it began, in milliseconds since 1970. The video does not contain it: what was recorded after it follows at once.
    pub at_ms: i64,
    /// How long it was.
    pub length_ms: i64,
    /// Why.
    pub why: String,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Its number, also the name of its folder.
    pub id: i64,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// How long the video plays; while it is recorded, how long that has lasted.
    pub duration_ms: i64,
    /// The size of its files.
    pub bytes: u64,
    /// What has become of it.
    pub state: SessionState,
    /// Where it is broken.
    pub gaps: Vec<Gap>,
    /// How it is recorded, such as `h264 1920x1080, 30/s, copied`.
    pub format: String,
    /// The video; none before it is complete, or after it was removed to make room.
    pub path: Option<PathBuf>,
    /// A picture of it.
    pub thumbnail: Option<PathBuf>,
    /// The SHA-256 of the video, in hexadecimal digits.
    pub sha256: Option<String>,
    /// What is wrong with it, if anything is.
    pub why: Option<String>,
    /// When its files were removed to make room, in milliseconds since 1970.
    pub removed_at_ms: Option<i64>,
}

/// How many sessions are in each state.
pub type Counts = Vec<(SessionState, u64)>;

/// A handle to the sessions; clones reach the same ones.
#[derive(Debug, Clone)]
pub struct Library {
    keeper: Worker<Keeper>,
    shared: Arc<Mutex<Shared>>,
}

/// What is told without waiting for the worker.
#[derive(Debug, Default)]
struct Shared {
    tally: Tally,
    /// Whether another database has taken the place of the one that was read.
    renewed: bool,
}

impl Library {
    /// Starts the worker that owns the database. The service is ready once what the last run left behind is in order, or
    /// that was tried.
    pub fn start(kit: &Kit, directory: &Path, videos: &Path, clock: Clock) -> anyhow::Result<Self> {
        let (database, videos) = (directory.join(DATABASE), videos.to_owned());
        let shared = Arc::<Mutex<Shared>>::default();
        let told = shared.clone();
        let keeper = kit.worker(NAME, BEAT, |component| {
            Keeper::new(database, videos, clock, component, told)
        })?;
        Ok(Library { keeper, shared })
    }

    /// How many sessions still have to be joined, and how many cannot be. Never waits.
    pub fn tally(&self) -> Tally {
        let shared = self.shared.lock().expect("no panic while held");
        shared.tally.clone()
    }

    /// Whether another database has taken the place of the one that was read, since the last call: all has to be read again.
    pub(crate) fn is_renewed(&self) -> bool {
        let mut shared = self.shared.lock().expect("no panic while held");
        std::mem::take(&mut shared.renewed)
    }

    /// The sessions that began in a period, the newest first.
    pub async fn list(&self, from_ms: i64, to_ms: i64, limit: u32) -> anyhow::Result<Vec<Session>> {
        self.ask(move |store, at| {
            let sessions = store.list(from_ms, to_ms, limit)?;
            Ok(sessions.into_iter().map(|each| at.complete(each)).collect())
        })
        .await
    }

    /// A session.
    pub async fn get(&self, id: i64) -> anyhow::Result<Option<Session>> {
        self.ask(move |store, at| Ok(store.get(id)?.map(|session| at.complete(session))))
            .await
    }

    /// The sessions in a state whose files have not been removed, the oldest first.
    pub async fn all(&self, state: SessionState) -> anyhow::Result<Vec<Session>> {
        self.ask(move |store, at| {
            let sessions = store.all(state)?.into_iter();
            Ok(sessions.map(|session| at.complete(session)).collect())
        })
        .await
    }

    /// How many sessions are in each state.
    pub async fn counts(&self) -> anyhow::Result<Counts> {
        self.ask(|store, _| store.counts()).await
    }

    /// What somebody said last.
    pub(crate) async fn wish(&self) -> anyhow::Result<Option<Wish>> {
        self.ask(|store, _| store.wish()).await
    }

    /// Remembers what somebody said.
    pub(crate) async fn set_wish(&self, wish: Wish) -> anyhow::Result<()> {
        let asked = self.keeper.ask(move |keeper| {
            // It is known at least, if it cannot be written down now.
            keeper.wish = Some(wish.clone());
            keeper.answer(|store, _| store.set_wish(&wish))
        });
        asked.await?
    }

    /// Begins a session, and makes its folder. If it follows another one at once, that will tell what was missed in between.
    pub(crate) async fn open(&self, begun: Moment, follows: Option<i64>) -> anyhow::Result<Folder> {
        self.ask(move |store, at| {
            let folder = loop {
                let id = store.add(None, SessionState::Recording, &begun)?;
                let folder = Folder::of(&at.videos, id);
                let Err(error) = folder.make() else {
                    break folder;
                };
                store.discard(id)?;
                if error.kind() != io::ErrorKind::AlreadyExists {
                    let path = folder.path().display();
                    return Err(error).with_context(|| format!("cannot make {path}"));
                }
                tracing::warn!(
                    session = id,
                    "there is a folder of another recording already"
                );
            };
            at.is_born(store, folder.id())?;
            let follows = at.ended.filter(|(id, _)| Some(*id) == follows);
            at.active = Some(Active::new(folder.id(), begun, follows));
            Ok(folder)
        })
        .await
    }

    /// Takes down what the camera reports of a session.
    pub(crate) async fn note(&self, id: i64, event: Event) -> anyhow::Result<()> {
        self.ask(move |store, at| at.note(store, id, event)).await
    }

    /// A session has ended, and has to be processed.
    pub(crate) async fn close(&self, id: i64, note: Option<String>) -> anyhow::Result<()> {
        let asked = self.keeper.ask(move |keeper| {
            let closed = keeper.answer(|store, at| {
                store.size(id, folder_bytes(Folder::of(&at.videos, id).path()))?;
                store.becomes(id, SessionState::Processing, note.as_deref())
            });
            // It has ended, even if that could not be written down.
            keeper.active = None;
            closed
        });
        asked.await?
    }

    /// The folder of a session that has to be processed, and when the session began; none if it has not to be any more,
    /// because another database says so.
    pub(crate) async fn unprocessed(&self, id: i64) -> anyhow::Result<Option<(Folder, i64)>> {
        self.ask(move |store, at| {
            let over = [SessionState::Finished, SessionState::Corrupted];
            let session = store.get(id)?;
            let session = session.filter(|session| !over.contains(&session.state));
            Ok(session.map(|session| (Folder::of(&at.videos, id), session.started_at_ms)))
        })
        .await
    }

    /// A session's video is complete; its parts are removed.
    pub(crate) async fn finished(&self, id: i64, made: Made) -> anyhow::Result<()> {
        self.ask(move |store, at| {
            store.finished(id, &made)?;
            // What cannot be removed now is removed after the next start.
            if let Err(error) = process::remove_parts(&Folder::of(&at.videos, id)) {
                tracing::warn!(session = id, "cannot remove the parts: {error}");
            }
            Ok(())
        })
        .await
    }

    /// A session will never have a video; its parts are kept.
    pub(crate) async fn corrupted(&self, id: i64, why: String) -> anyhow::Result<()> {
        self.ask(move |store, _| store.becomes(id, SessionState::Corrupted, Some(&why)))
            .await
    }

    /// A session could not be processed yet.
    pub(crate) async fn put_off(&self, id: i64, why: String) -> anyhow::Result<()> {
        self.ask(move |_, at| {
            at.waiting.put_off(id, why);
            Ok(())
        })
        .await
    }

    /// Deletes a session of which there is no video, or a finished one whose video `is_rotten`, with all that is left of
    /// it. Returns whether it is such a one.
    pub async fn delete(&self, id: i64, is_rotten: bool) -> anyhow::Result<bool> {
        self.ask(move |store, at| {
            let state = store.get(id)?.map(|session| session.state);
            let is_damaged = match state {
                Some(SessionState::Corrupted) => true,
                Some(SessionState::Finished) => is_rotten,
                _ => false,
            };
            if !is_damaged {
                return Ok(false);
            }
            let folder = Folder::of(&at.videos, id);
            folder.set_aside()?;
            store.discard(id)?;
            folder.remove()?;
            tracing::warn!(session = id, "deleted by its owner");
            at.count(store)?;
            Ok(true)
        })
        .await
    }

    /// Removes what has to be removed to make room, and returns how many bytes the rest has. `sent` says what may be
    /// removed.
    pub(crate) async fn make_room(
        &self,
        settings: SpaceSettings,
        disk: Disk,
        sent: impl Fn(i64) -> bool + Send + 'static,
    ) -> anyhow::Result<u64> {
        self.ask(move |store, at| {
            let recording = store.all(SessionState::Recording)?;
            let growing = recording
                .iter()
                .map(|session| folder_bytes(Folder::of(&at.videos, session.id).path()));
            let used = store.bytes()? + growing.sum::<u64>();
            let processing = at.count(store)?.into_iter();
            let joins =
                processing.map(|session| Folder::of(&at.videos, session.id).needs_to_join());
            let join = joins.max().unwrap_or(0);
            let finished = store.all(SessionState::Finished)?;
            at.pass(store)?;
            let ages = store.ages(&finished, &at.passed)?;
            let kept: Vec<Kept> = std::iter::zip(finished, ages)
                .map(|(session, age_ms)| Kept {
                    id: session.id,
                    age_ms,
                    bytes: session.bytes,
                    safe: sent(session.id),
                })
                .collect();
            let mut left = used;
            for id in settings.surplus(&kept, disk, used, join) {
                let folder = Folder::of(&at.videos, id);
                folder.set_aside()?;
                store.removed(id, at.clock.now_ms())?;
                folder.remove()?;
                let session = kept.iter().find(|session| session.id == id);
                let freed = session.map_or(0, |session| session.bytes);
                left = left.saturating_sub(freed);
                let freed = bytes(freed);
                tracing::warn!(session = id, freed, "removed from the device to make room");
            }
            Ok(left)
        })
        .await
    }

    /// Tells when the sessions of this boot began, by the clock of now.
    pub(crate) async fn set_clock(&self) -> anyhow::Result<usize> {
        self.ask(|store, at| store.set_clock(&at.clock)).await
    }

    async fn ask<V: Send + 'static>(
        &self,
        question: impl FnOnce(&Store, &mut Keeper) -> anyhow::Result<V> + Send + 'static,
    ) -> anyhow::Result<V> {
        let asked = self.keeper.ask(move |keeper| keeper.answer(question));
        asked.await?
    }
}

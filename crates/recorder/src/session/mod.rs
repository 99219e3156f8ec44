//! Sessions: what was recorded between a start and a stop.
//!
//! A session is a row in `recorder.sqlite` and a folder of files. While it is recorded, the folder holds parts: a part ends
//! when the camera fails, and the next one begins when it is back. Afterwards the parts become one video.

mod folder;
mod process;
mod recover;
mod space;
mod store;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use kit::{Actor, Component, Kit, Worker};
use serde::Serialize;

use crate::camera::Event;
use crate::clock::{Clock, Moment};
use crate::schedule::Wish;
pub use folder::Folder;
pub use process::{Failure, Probed, probe, process};
pub use space::{Disk, SpaceSettings, bytes, disk};
use space::{Kept, folder_bytes};
use store::Store;
pub use store::{Made, SCHEMA};

/// The database's file.
pub const DATABASE: &str = "recorder.sqlite";

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
pub struct Library(Worker<Keeper>);

impl Library {
    /// Starts the worker that owns the database. The service is ready once what the last run left behind is in order, or
    /// that was tried.
    pub fn start(kit: &Kit, directory: &Path, videos: &Path, clock: Clock) -> anyhow::Result<Self> {
        let (database, videos) = (directory.join(DATABASE), videos.to_owned());
        let keeper = kit.worker(NAME, BEAT, |component| Keeper {
            database,
            videos,
            clock,
            component,
            store: None,
            recovered: false,
            suspect: false,
        })?;
        Ok(Library(keeper))
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
        self.ask(move |store, _| store.set_wish(&wish)).await
    }

    /// Begins a session, and makes its folder.
    pub(crate) async fn open(&self, begun: Moment) -> anyhow::Result<Folder> {
        self.ask(move |store, at| {
            let id = store.add(None, SessionState::Recording, &begun)?;
            let folder = Folder::of(&at.videos, id);
            if let Err(error) = folder.make() {
                store.discard(id)?;
                let path = folder.path().display();
                return Err(error).with_context(|| format!("cannot make {path}"));
            }
            Ok(folder)
        })
        .await
    }

    /// Takes down what the camera reports of a session.
    pub(crate) async fn note(&self, id: i64, event: Event) -> anyhow::Result<()> {
        self.ask(move |store, _| match event {
            Event::Begun(begun) => store.begun(id, &begun),
            Event::Negotiated { format, .. } => store.format(id, &format),
            Event::Gap {
                from_up_ms,
                to_up_ms,
                why,
            } => store.gap(id, from_up_ms, to_up_ms, &why),
            Event::Frames { .. } | Event::Lost(_) | Event::Changed => Ok(()),
        })
        .await
    }

    /// A session has ended, and has to be processed.
    pub(crate) async fn close(&self, id: i64, note: Option<String>) -> anyhow::Result<()> {
        self.ask(move |store, at| {
            store.size(id, folder_bytes(Folder::of(&at.videos, id).path()))?;
            store.becomes(id, SessionState::Processing, note.as_deref())
        })
        .await
    }

    /// The folder of a session, and when the session began.
    pub(crate) async fn folder(&self, id: i64) -> anyhow::Result<(Folder, i64)> {
        self.ask(move |store, at| {
            let session = store.get(id)?.context("its entry is gone")?;
            Ok((Folder::of(&at.videos, id), session.started_at_ms))
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
            let finished = store.all(SessionState::Finished)?.into_iter();
            let kept: Vec<Kept> = finished
                .map(|session| Kept {
                    id: session.id,
                    started_at_ms: session.started_at_ms,
                    bytes: session.bytes,
                    safe: sent(session.id),
                })
                .collect();
            let mut left = used;
            for id in settings.surplus(&kept, disk, used, at.clock.now_ms()) {
                // First the row: a session that is told to be gone and is not takes room, but nobody looks for it in vain.
                store.removed(id, at.clock.now_ms())?;
                Folder::of(&at.videos, id).remove()?;
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
        question: impl FnOnce(&Store, &Keeper) -> anyhow::Result<V> + Send + 'static,
    ) -> anyhow::Result<V> {
        self.0.ask(move |keeper| keeper.answer(question)).await?
    }
}

/// Owns the database and the folders.
#[derive(Debug)]
struct Keeper {
    database: PathBuf,
    videos: PathBuf,
    clock: Clock,
    component: Component,
    store: Option<Store>,
    /// Whether what the last run left behind is in order.
    recovered: bool,
    /// Whether SQLite has found damage: the file is then checked before it is opened again.
    suspect: bool,
}

impl Actor for Keeper {
    fn start(&mut self) {
        // What went wrong is on /health, and is tried again with the next question.
        let _ = self.answer(|_, _| Ok(()));
    }

    fn stop(mut self) -> anyhow::Result<()> {
        if let Some(store) = self.store.take() {
            store.0.close();
        }
        Ok(())
    }
}

impl Keeper {
    fn answer<V>(
        &mut self,
        question: impl FnOnce(&Store, &Keeper) -> anyhow::Result<V>,
    ) -> anyhow::Result<V> {
        let answered = self.opened().and_then(|store| {
            let answer = question(&store, self);
            self.store = Some(store);
            answer
        });
        match &answered {
            Ok(_) => self.component.ok(),
            Err(error) => {
                if kit::database::is_damage(error) {
                    (self.suspect, self.store) = (true, None);
                }
                self.component.degraded(format!("{error:#}"));
            }
        }
        answered
    }

    /// The open database. What the last run left behind is put in order first.
    fn opened(&mut self) -> anyhow::Result<Store> {
        let store = match self.store.take() {
            Some(store) => store,
            None => Store::open(&self.database, self.suspect)?,
        };
        self.suspect = false;
        if !self.recovered {
            recover::recover(&store, &self.videos, &self.clock)?;
            store.set_clock(&self.clock)?;
            self.recovered = true;
        }
        Ok(store)
    }

    /// Adds what the files say.
    fn complete(&self, mut session: Session) -> Session {
        let folder = Folder::of(&self.videos, session.id);
        if session.state == SessionState::Finished {
            session.path = folder.video();
            let picture = folder.thumbnail();
            session.thumbnail = picture.exists().then_some(picture);
        }
        if session.state == SessionState::Recording {
            session.bytes = folder_bytes(folder.path());
            session.duration_ms = self.clock.now_ms() - session.started_at_ms;
        }
        session
    }
}

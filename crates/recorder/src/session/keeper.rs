//! The worker that owns the database and the folders.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kit::{Actor, Component};

use super::age::Passed;
use super::folder::Folder;
use super::recover::recover;
use super::space::folder_bytes;
use super::store::Store;
use super::tally::Waiting;
use super::{Session, SessionState, Shared};
use crate::camera::Event;
use crate::clock::{Clock, Moment};
use crate::schedule::Wish;

/// How much counted time a power cut may cost; as often is written down how much has passed.
const COUNTED_MS: i64 = 10 * 60_000;

/// Owns the database and the folders.
///
/// The database may be replaced while the service runs: by a restore, or because it was damaged. What goes on at that moment
/// is therefore kept in memory, too, and written down again.
#[derive(Debug)]
pub struct Keeper {
    database: PathBuf,
    pub videos: PathBuf,
    pub clock: Clock,
    component: Component,
    store: Option<Store>,
    /// Whether SQLite has found damage: the file is then checked before it is opened again.
    suspect: bool,
    /// Whether a database was opened before.
    was_open: bool,
    /// How much time has passed, and how much of it is written down.
    pub passed: Passed,
    written_ms: i64,
    /// What somebody said last.
    pub wish: Option<Wish>,
    /// The session that is being recorded.
    pub active: Option<Active>,
    /// The session that ended last, and when its last frame came.
    pub ended: Option<(i64, i64)>,
    pub waiting: Waiting,
    shared: Arc<Mutex<Shared>>,
}

/// The session that is being recorded.
#[derive(Debug)]
pub struct Active {
    id: i64,
    begun: Moment,
    /// The session that it follows at once, and when the last frame of that came.
    follows: Option<(i64, i64)>,
    /// What was taken down of it.
    events: Vec<Event>,
}

impl Active {
    pub fn new(id: i64, begun: Moment, follows: Option<(i64, i64)>) -> Self {
        Active {
            id,
            begun,
            follows,
            events: Vec::new(),
        }
    }
}

impl Actor for Keeper {
    fn start(&mut self) {
        // What went wrong is on /health, and is tried again with the next question.
        let _ = self.answer(|_, _| Ok(()));
    }

    fn stop(mut self) -> anyhow::Result<()> {
        if let Some(store) = self.store.take() {
            store.close();
        }
        Ok(())
    }
}

impl Keeper {
    pub fn new(
        database: PathBuf,
        videos: PathBuf,
        clock: Clock,
        component: Component,
        shared: Arc<Mutex<Shared>>,
    ) -> Self {
        Keeper {
            database,
            videos,
            clock,
            component,
            store: None,
            suspect: false,
            was_open: false,
            passed: Passed::default(),
            written_ms: 0,
            wish: None,
            active: None,
            ended: None,
            waiting: Waiting::default(),
            shared,
        }
    }

    pub fn answer<V>(
        &mut self,
        question: impl FnOnce(&Store, &mut Keeper) -> anyhow::Result<V>,
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

    /// The open database. Whenever it is not the one that was open before, files and rows are brought to the same first: it
    /// may not know of recordings that there are, and would give their numbers to others.
    fn opened(&mut self) -> anyhow::Result<Store> {
        if let Some(store) = self.store.take() {
            if store.is_in(&self.database)? {
                return Ok(store);
            }
            tracing::warn!("the database was replaced: folders are compared with it again");
            store.give_way(&self.database)?;
        }
        let store = Store::open(&self.database, self.suspect)?;
        self.suspect = false;
        self.passed = store.passed()?;
        self.written_ms = self.passed.ms();
        self.write_again(&store)?;
        let recording = self.active.as_ref().map(|active| active.id);
        recover(&store, &self.videos, &self.clock, recording)?;
        store.set_clock(&self.clock)?;
        self.shared.lock().expect("no panic while held").renewed = self.was_open;
        self.was_open = true;
        Ok(store)
    }

    /// Tells a database that has taken the place of another one what goes on.
    fn write_again(&mut self, store: &Store) -> anyhow::Result<()> {
        match &self.wish {
            Some(wish) => store.set_wish(wish)?,
            None => self.wish = store.wish()?,
        }
        self.pass(store)?;
        if let Some(active) = &self.active {
            store.discard(active.id)?;
            store.add(Some(active.id), SessionState::Recording, &active.begun)?;
            store.is_born(active.id, &self.passed)?;
            for event in &active.events {
                take_down(store, active.id, event)?;
            }
        }
        Ok(())
    }

    /// Takes down what the camera reports of a session.
    pub fn note(&mut self, store: &Store, id: i64, event: Event) -> anyhow::Result<()> {
        if let Event::Ended { at_up_ms } = event {
            self.ended = Some((id, at_up_ms));
        }
        take_down(store, id, &event)?;
        let Some(active) = self.active.as_mut().filter(|active| active.id == id) else {
            return Ok(());
        };
        if let Event::Begun(begun) = &event
            && let Some((before, from_up_ms)) = active.follows.take()
        {
            let why = format!("the recording goes on in session {id}");
            store.gap(before, from_up_ms, begun.up_ms.max(from_up_ms), &why)?;
        }
        active.events.push(event);
        Ok(())
    }

    /// Counts the time that has passed.
    pub fn pass(&mut self, store: &Store) -> anyhow::Result<()> {
        let now = self.clock.moment();
        self.passed.count(&now, self.clock.is_right());
        if self.passed.ms() - self.written_ms >= COUNTED_MS {
            store.set_passed(&self.passed)?;
            self.written_ms = self.passed.ms();
        }
        Ok(())
    }

    /// The age of a session counts from now.
    pub fn is_born(&mut self, store: &Store, id: i64) -> anyhow::Result<()> {
        self.pass(store)?;
        // Never later than what is written down, or a cut would make it younger than it is.
        store.set_passed(&self.passed)?;
        store.is_born(id, &self.passed)
    }

    /// Counts what is not what it should be; returns what has to be processed.
    pub fn count(&mut self, store: &Store) -> anyhow::Result<Vec<Session>> {
        let processing = store.all(SessionState::Processing)?;
        let corrupted = store.all(SessionState::Corrupted)?;
        self.waiting.are(&processing);
        let tally = self.waiting.tally(corrupted.len());
        self.shared.lock().expect("no panic while held").tally = tally;
        Ok(processing)
    }

    /// Adds what the files say.
    pub fn complete(&self, mut session: Session) -> Session {
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

fn take_down(store: &Store, id: i64, event: &Event) -> anyhow::Result<()> {
    match event {
        Event::Begun(begun) => store.begun(id, begun),
        Event::Negotiated { format, .. } => store.format(id, format),
        Event::Gap {
            from_up_ms,
            to_up_ms,
            why,
        } => store.gap(id, *from_up_ms, *to_up_ms, why),
        Event::Ended { .. } | Event::Frames { .. } | Event::Lost(_) | Event::Changed => Ok(()),
    }
}

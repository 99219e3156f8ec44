//! What the task looks at from time to time: the clock, the schedule, the disk, the camera, the network.

use std::time::{Duration, Instant};

use super::super::network;
use super::{Active, Task};
use crate::clock::Moment;
use crate::machine::{Event, Fault};
use crate::schedule::Wish;
use crate::session::{SessionState, disk, folder_bytes};

/// How often it looks at what costs more: the camera when nothing is recorded, the network, the ring, the session's size.
const SLOW_TICK: Duration = Duration::from_secs(3);

impl Task {
    /// Looks at what changes without telling.
    pub(super) async fn tick(&mut self) {
        if self.parts.library.is_renewed() {
            self.loaded = false;
        }
        if !self.loaded {
            self.load().await;
        }
        self.watch_clock().await;
        self.want().await;
        let is_due = |last: Instant| last.elapsed() >= SLOW_TICK;
        if self.slow_tick.is_none_or(is_due) {
            self.slow_tick = Some(Instant::now());
            let (longest, largest) = (self.parts.longest, self.parts.space.largest(self.disk));
            let is_long = |active: &Active| {
                active.since.elapsed() > longest || folder_bytes(active.folder.path()) > largest
            };
            if self.active.as_ref().is_some_and(is_long) {
                self.happens(Event::Long).await;
            }
            let was_there = std::mem::replace(&mut self.network, network::is_there());
            if self.network && !was_there {
                (self.parts.wake_uploads)();
            }
            self.watch_space().await;
            if self.active.is_none() {
                self.watch_camera().await;
            }
        }
        self.process().await;
        let parts = self.active.as_ref().map(|active| active.recording.part());
        self.viewer.look_after(parts, &self.parts.camera);
    }

    /// Reads what the last run left behind.
    async fn load(&mut self) {
        let library = &self.parts.library;
        let loaded = async {
            let wish = library.wish().await?;
            let unprocessed = library.all(SessionState::Processing).await?;
            let finished = library.all(SessionState::Finished).await?;
            anyhow::Ok((wish, unprocessed, finished))
        };
        match loaded.await {
            Ok((wish, unprocessed, finished)) => {
                self.loaded = true;
                (self.wish, self.known) = (wish, self.parts.clock.moment());
                for session in unprocessed {
                    self.backlog.add(session.id);
                }
                finished.into_iter().for_each(&self.parts.finished);
                self.happens(Event::Fault(Fault::Card, None)).await;
                // Before the first decision, so that no recording is begun that would be ended at once.
                self.watch_space().await;
                self.watch_camera().await;
                self.happens(Event::Booted).await;
            }
            Err(error) => self.card_failed(error).await,
        }
    }

    /// Corrects what is kept with a time of this boot when somebody has set the clock.
    async fn watch_clock(&mut self) {
        // It may also have been set while the service was not running.
        if let Err(error) = self.keep_wish().await {
            return self.card_failed(error).await;
        }
        let Some(moved_ms) = self.parts.clock.set_since(self.booted_ms) else {
            return;
        };
        let booted_ms = self.parts.clock.booted_ms();
        match self.correct().await {
            Ok(sessions) => {
                self.booted_ms = booted_ms;
                let seconds = moved_ms / 1000;
                tracing::warn!(
                    seconds,
                    sessions,
                    "the clock was set; sessions of this boot begin accordingly"
                );
            }
            Err(error) => self.card_failed(error).await,
        }
    }

    /// Corrects what is kept by the clock of now; returns how many sessions began in this boot.
    async fn correct(&mut self) -> anyhow::Result<usize> {
        let sessions = self.parts.library.set_clock().await?;
        // What waits for its upload is titled with when it began.
        let finished = self.parts.library.all(SessionState::Finished).await?;
        finished.into_iter().for_each(&self.parts.finished);
        Ok(sessions)
    }

    /// Keeps the wish with its right time: in the next boot nothing is known of the clock of this one.
    async fn keep_wish(&mut self) -> anyhow::Result<()> {
        let Some(wish) = self.wish.clone() else {
            return Ok(());
        };
        let at_ms = self.parts.clock.told(&wish.at);
        match at_ms == wish.at.at_ms {
            true => Ok(()),
            false => {
                let at = Moment { at_ms, ..wish.at };
                self.keep(Wish { at, ..wish }).await
            }
        }
    }

    /// Keeps a wish of which more is known now.
    async fn keep(&mut self, wish: Wish) -> anyhow::Result<()> {
        self.parts.library.set_wish(wish.clone()).await?;
        self.wish = Some(wish);
        Ok(())
    }

    /// Asks the schedule, and whoever said otherwise.
    pub(super) async fn want(&mut self) {
        let (schedule, clock) = (&self.parts.schedule, &self.parts.clock);
        let now_ms = clock.now_ms();
        let given_ms = |wish: &Wish| wish.given_ms(&self.known, clock);
        let given = self.wish.as_ref().map(|wish| (wish.on, given_ms(wish)));
        self.wanted = schedule.wants(given, now_ms);
        self.next_start_ms = schedule.next_start_ms(now_ms);
        // A wish from a future that never came is over once the schedule has spoken. Kept as it was, it would be as good as
        // new after the next start.
        let to_come = self.wish.clone().filter(|wish| wish.is_to_come(clock));
        if let (Some(wish), Some((_, at_ms))) = (to_come, given)
            && schedule.has_spoken_since(at_ms, now_ms)
        {
            let known = self.known.clone();
            let at = Moment { at_ms, ..known };
            if let Err(error) = self.keep(Wish { at, ..wish }).await {
                self.card_failed(error).await;
            }
        }
        self.happens(Event::Wanted(self.wanted)).await;
    }

    /// Makes room, and measures it.
    pub(super) async fn watch_space(&mut self) {
        match disk(&self.parts.videos) {
            Ok(disk) => self.disk = disk,
            Err(error) => return self.card_failed(error.into()).await,
        }
        let (settings, sent) = (self.parts.space.clone(), self.parts.sent.clone());
        let made = self
            .parts
            .library
            .make_room(settings, self.disk, move |id| sent(id));
        match made.await {
            Ok(used) => self.used = used,
            Err(error) => return self.card_failed(error).await,
        }
        if self.loaded {
            self.happens(Event::Fault(Fault::Card, None)).await;
        }
        // Removing files may have changed it.
        self.disk = disk(&self.parts.videos).unwrap_or(self.disk);
        let (space, recording) = (&self.parts.space, self.active.is_some());
        let obstacle = space.obstacle(self.disk, self.used, recording);
        self.fault(Fault::Space, obstacle).await;
    }

    /// Looks for the camera while it is not being recorded.
    pub(super) async fn watch_camera(&mut self) {
        let found = self.parts.camera.find();
        if let Ok(found) = &found {
            self.camera.name.clone_from(&found.name);
        }
        self.camera.problem = found.err();
        self.fault(Fault::Camera, self.camera.problem.clone()).await;
    }
}

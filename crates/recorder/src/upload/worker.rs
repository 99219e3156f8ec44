//! The thread of the uploads: takes what was added into the queue, chooses what is next and when, and records the
//! outcome.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use kit::{Component, Heartbeat, Kit, Secret, Shutdown};

use super::config::{Kind, Settings};
use super::hours::{self, Hours};
use super::pace::Pace;
use super::place;
use super::put::Put;
use super::queue::Queue;
use super::s3::S3;
use super::state::{Shared, State};
use super::target::{Job, Journal, Target};
use super::trouble::Trouble;
use super::tus::Tus;
use super::verify::{Verifier, is_unchanged};
use super::video::{Status, Video};
use super::youtube::{Channel, Youtube};
use crate::clock::Clock;

/// Every request ends, or moves bytes, within a part of this.
const BEAT: Duration = Duration::from_secs(600);
/// How long to wait at a time: the clock may jump meanwhile, and what is due with it.
const TURN: Duration = Duration::from_secs(30);
/// Pauses after a target took nothing, in seconds: the first and the longest.
const PAUSE: (u32, u32) = (15, 900);

/// Starts the thread. What keeps it from uploading now is told, and tried again: recordings without uploads are better
/// than none.
pub fn start(
    kit: &Kit,
    settings: Settings,
    database: &Path,
    (clock, second): (Clock, Duration),
    shared: Arc<Shared>,
) -> anyhow::Result<()> {
    shared.lock().snapshot.target = settings.target;
    let folder = database.with_file_name("uploads");
    let mut worker = Worker {
        database: database.to_owned(),
        queue: None,
        target: open(kit, &settings, &folder).map_err(|error| format!("{error:#}")),
        name: format!("{} {}", settings.target.name(), address(&settings)),
        settings,
        booted_ms: clock.booted_ms(),
        clock,
        second,
        verifier: Verifier::default(),
        component: kit.component("uploads"),
        shutdown: kit.shutdown().clone(),
        heartbeat: Arc::new(kit.heartbeat("uploads", BEAT)),
        shared,
        pause: None,
        failures: 0,
    };
    match worker.open_queue() {
        Ok(queue) => worker.queue = Some(queue),
        Err(error) => worker.stands_still(format!("{error:#}")),
    }
    let thread = std::thread::Builder::new().name("uploads".into());
    let started = thread.spawn(move || worker.run());
    started
        .map(drop)
        .context("cannot start the thread of the uploads")
}

/// The address of the target, which tells one from another.
fn address(settings: &Settings) -> String {
    match settings.target {
        Kind::None => String::new(),
        Kind::S3 => format!("{}/{}", settings.s3.endpoint, settings.s3.bucket),
        Kind::Tus => settings.tus.url.clone(),
        Kind::Put => settings.put.url.clone(),
        Kind::Youtube => settings.youtube.api.clone(),
    }
}

/// Opens the target of the settings, with the credentials that it needs.
fn open(kit: &Kit, settings: &Settings, folder: &Path) -> anyhow::Result<Box<dyn Target>> {
    let credentials = kit.credentials();
    let optional = |name: &str| {
        let secret = credentials.get(name);
        secret.with_context(|| format!("credential {}", credentials.full_name(name)))
    };
    let secret = |name: &str| -> anyhow::Result<Secret> {
        optional(name)?.with_context(|| {
            let name = credentials.full_name(name);
            format!("the credential {name} is missing")
        })
    };
    let chunk = settings.chunk_bytes;
    Ok(match settings.target {
        Kind::None => anyhow::bail!("no target is set"),
        Kind::S3 => {
            let keys = (secret("s3-access-key-id")?, secret("s3-secret-access-key")?);
            Box::new(S3::new(&settings.s3, keys, folder.to_owned(), chunk)?)
        }
        Kind::Tus => Box::new(Tus::new(
            &settings.tus.url,
            optional("upload-token")?,
            chunk,
        )?),
        Kind::Put => Box::new(Put::new(
            &settings.put.url,
            optional("upload-token")?,
            chunk,
        )?),
        Kind::Youtube => {
            let channel = Channel {
                client_id: secret("youtube-client-id")?,
                client_secret: secret("youtube-client-secret")?,
                refresh_token: secret("youtube-refresh-token")?,
            };
            Box::new(Youtube::new(&settings.youtube, channel, chunk)?)
        }
    })
}

struct Worker {
    database: PathBuf,
    /// None if it could not be used, and has to be opened anew.
    queue: Option<Queue>,
    /// Why not, if its credentials are missing.
    target: Result<Box<dyn Target>, String>,
    /// Tells this target from one that was set before.
    name: String,
    settings: Settings,
    clock: Clock,
    /// When this boot began, according to the clock.
    booted_ms: i64,
    second: Duration,
    verifier: Verifier,
    component: Component,
    shutdown: Shutdown,
    heartbeat: Arc<Heartbeat>,
    shared: Arc<Shared>,
    /// Nothing is tried meanwhile.
    pause: Option<Pause>,
    /// How often in a row the target took nothing.
    failures: u32,
}

/// A pause after the target took nothing.
struct Pause {
    until: Instant,
    /// Whether the target named its length.
    is_named: bool,
}

impl Worker {
    fn run(mut self) {
        while !self.must_end() {
            self.heartbeat.beat();
            let wait = self.turn().unwrap_or_else(|error| {
                self.stands_still(format!("{error:#}"));
                TURN
            });
            self.wait(wait);
        }
    }

    fn must_end(&self) -> bool {
        self.shared.lock().is_ended || self.shutdown.is_requested()
    }

    /// Waits until something is added or asked for, or until `wait` has passed.
    fn wait(&self, wait: Duration) {
        let idles = |state: &mut State| !std::mem::take(&mut state.is_new) && !state.is_ended;
        let (state, changed) = (self.shared.lock(), &self.shared.changed);
        let waited = changed.wait_timeout_while(state, wait.min(TURN), idles);
        drop(waited.expect("no panic while held"));
    }

    /// Does what is to be done now; returns the time until the next turn. After an error the queue is opened anew.
    fn turn(&mut self) -> anyhow::Result<Duration> {
        let queue = self.queue.take();
        let queue = match queue.filter(|queue| queue.is_in(&self.database)) {
            Some(queue) => queue,
            None => self.open_queue()?,
        };
        let wait = self.turn_with(&queue)?;
        self.queue = Some(queue);
        Ok(wait)
    }

    /// Opens the queue, and shows it.
    fn open_queue(&self) -> anyhow::Result<Queue> {
        let queue = Queue::open(&self.database)?;
        self.tell(&queue)?;
        match &self.target {
            Ok(_) => self.stands_still_no_more(),
            Err(why) => self.stands_still(why.clone()),
        }
        Ok(queue)
    }

    fn stands_still(&self, why: String) {
        self.component
            .degraded(format!("nothing is uploaded: {why}"));
        self.shared.lock().snapshot.problem = Some(why);
    }

    fn stands_still_no_more(&self) {
        self.component.ok();
        self.shared.lock().snapshot.problem = None;
    }

    fn turn_with(&mut self, queue: &Queue) -> anyhow::Result<Duration> {
        self.watch_clock(queue)?;
        self.take_in(queue)?;
        let is_named = self.pause.as_ref().is_some_and(|pause| pause.is_named);
        if std::mem::take(&mut self.shared.lock().is_woken) && !is_named {
            (self.pause, self.failures) = (None, 0);
        }
        self.tell(queue)?;
        if self.target.is_err() {
            return Ok(TURN);
        }
        let hours = self.settings.hours;
        let now_ms = self.clock.now_ms();
        if let Some(closed) = hours.and_then(|hours| hours.opens_in(&hours::local(now_ms))) {
            return Ok(closed);
        }
        if let Some(pause) = &self.pause {
            let left = pause.until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Ok(left);
            }
        }
        match queue.next(now_ms)? {
            Some(video) => self.upload(queue, &video).map(|()| Duration::ZERO),
            None => Ok(queue.next_due(now_ms)?.unwrap_or(TURN)),
        }
    }

    /// Corrects what the clock said when somebody has set it.
    fn watch_clock(&mut self, queue: &Queue) -> anyhow::Result<()> {
        let Some(moved_ms) = self.clock.set_since(self.booted_ms) else {
            return Ok(());
        };
        let now_ms = self.clock.now_ms();
        queue.set_clock(self.booted_ms, now_ms - moved_ms, moved_ms)?;
        // A pause until the next day may be one until a wrong day.
        (self.booted_ms, self.pause) = (self.booted_ms + moved_ms, None);
        Ok(())
    }

    /// Puts what was added into the queue.
    fn take_in(&self, queue: &Queue) -> anyhow::Result<()> {
        loop {
            // It stays added until it is on the card.
            let Some(video) = self.shared.lock().added.first().cloned() else {
                return Ok(());
            };
            queue.add(&video, self.clock.now_ms())?;
            self.shared.lock().added.remove(0);
        }
    }

    /// Uploads a video, and records the outcome.
    fn upload(&mut self, queue: &Queue, video: &Video) -> anyhow::Result<()> {
        let pace = Arc::new(self.pace());
        queue.uploading(video.session, self.clock.now_ms())?;
        self.shared.lock().running = Some((video.clone(), pace.clone()));
        self.tell(queue)?;
        let outcome = self.send(queue, video, &pace);
        self.shared.lock().running = None;
        let (session, now) = (video.session, self.clock.now_ms());
        match outcome? {
            Ok(receipt) => {
                queue.completed(session, &self.name, &receipt, now)?;
                let receipt = place::without_secrets(&receipt);
                tracing::info!(session, receipt, "uploaded");
                self.works();
            }
            Err(Trouble::Unfinished(pause)) => {
                queue.unfinished(session, pause, now)?;
                self.works();
            }
            Err(Trouble::Ended) => queue.pending(session, now)?,
            Err(Trouble::Corrupted(why)) => {
                tracing::error!(session, "not uploaded: {why}");
                queue.corrupted(session, &why, now)?;
            }
            Err(Trouble::Video(why)) => {
                tracing::warn!(session, "not uploaded: {why}");
                queue.failed(session, &why, true, now)?;
                // The target answers, so the next video may be taken.
                self.works();
            }
            Err(Trouble::Target { why, pause }) => {
                queue.failed(session, &why, false, now)?;
                self.failures += 1;
                let [first, longest] = [PAUSE.0, PAUSE.1].map(|seconds| self.second * seconds);
                let own = kit::jittered(kit::back_off(first, self.failures, longest));
                self.pause = Some(Pause {
                    until: Instant::now() + pause.unwrap_or(own).max(own),
                    is_named: pause.is_some(),
                });
                self.stands_still(why);
            }
        }
        self.tell(queue)
    }

    /// The target takes uploads.
    fn works(&mut self) {
        (self.pause, self.failures) = (None, 0);
        self.stands_still_no_more();
    }

    fn pace(&self) -> Pace {
        let limit = Some(self.settings.limit_bytes_per_second).filter(|limit| *limit > 0);
        let (hours, shutdown) = (self.settings.hours, self.shutdown.clone());
        let clock = self.clock.clone();
        let (shared, heartbeat) = (self.shared.clone(), self.heartbeat.clone());
        let must_end = move || {
            let is_open = |hours: Hours| hours.is_open(&hours::local(clock.now_ms()));
            let is_closed = hours.is_some_and(|hours| !is_open(hours));
            is_closed || shutdown.is_requested() || shared.lock().is_ended
        };
        let sent = self.shared.clone();
        let alive = move |bytes| {
            heartbeat.beat();
            sent.sent.fetch_add(bytes, Relaxed);
        };
        Pace::new(limit, must_end, alive)
    }

    /// Sends a video, if its file is the recorded one before and after.
    fn send(
        &mut self,
        queue: &Queue,
        video: &Video,
        pace: &Arc<Pace>,
    ) -> anyhow::Result<Result<String, Trouble>> {
        let (file, mark) = match self.verifier.open(video, pace) {
            Ok(opened) => opened,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let journal = queue.journal(video.session, &self.name)?;
        let job = Job {
            video,
            file: Arc::new(file),
            journal: &journal,
            pace: pace.clone(),
            pause: self.second,
            failures: queue.failures(video.session)?,
        };
        let sent = match &self.target {
            Ok(target) => target.upload(&job),
            Err(why) => return Ok(Err(Trouble::target(why))),
        };
        if sent.is_ok() && !is_unchanged(video, &mark) {
            let name = video.path.display();
            let why = format!("{name} was written to while it was sent: it has to be sent again");
            return Ok(journal.begun(None).and(Err(Trouble::Video(why))));
        }
        Ok(sent)
    }

    /// Shows the state of the queue.
    fn tell(&self, queue: &Queue) -> anyhow::Result<()> {
        let mut statuses = queue.statuses()?;
        let now_ms = self.clock.now_ms();
        let success_rate = queue.success_rate(now_ms)?;
        let last_completed_ms = queue.last_completed_ms(now_ms)?;
        let mut queue_bytes = queue.bytes()?;
        let mut state = self.shared.lock();
        for video in &state.added {
            statuses.entry(video.session).or_insert_with(|| {
                queue_bytes += video.bytes;
                Status::Pending
            });
        }
        let waits = |status: &&Status| {
            matches!(
                status,
                Status::Pending | Status::Uploading | Status::Failed { .. }
            )
        };
        state.snapshot.queue_size = statuses.values().filter(waits).count() as u64;
        state.snapshot.statuses = statuses;
        state.snapshot.queue_bytes = queue_bytes;
        state.snapshot.success_rate = success_rate;
        state.snapshot.last_completed_ms = last_completed_ms;
        Ok(())
    }
}

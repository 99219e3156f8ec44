//! The task itself: takes in what happens, asks the machine, and does what it says.

mod checks;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::{Heartbeat, Kit};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::backlog::{Backlog, Outcome};
use super::viewer::Viewer;
use super::{CameraStatus, Command, Control, Disk, Does, Shared, Status, Trouble};
use crate::camera::{Camera, Event as CameraEvent, Recording};
use crate::clock::{Clock, Moment};
use crate::machine::{Effect, Event, Fault, Machine, Refused, State};
use crate::schedule::{Schedule, Wish};
use crate::session::{Folder, Library, Session, SpaceSettings, disk};

/// How long it may not have looked at the clock and the schedule.
const TICK: Duration = Duration::from_millis(1200);

/// Whatever happens so long after the last look is an occasion for the next one, which then costs no waking of its own:
/// every other report of the camera.
const OCCASION: Duration = Duration::from_millis(700);

/// It must come round at least this often; ending ffmpeg may take ten seconds, and a slow card more.
const BEAT: Duration = Duration::from_secs(90);

/// Errors that are kept to be shown.
const ERRORS: usize = 10;

/// What the task works with.
pub struct Parts {
    /// The camera.
    pub camera: Camera,
    /// The sessions.
    pub library: Library,
    /// When to record without being asked.
    pub schedule: Schedule,
    /// How much room recordings may take.
    pub space: SpaceSettings,
    /// How long a session may become.
    pub longest: Duration,
    /// The directory of the recordings.
    pub videos: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Whether the files of a finished session may be removed.
    pub sent: Arc<dyn Fn(i64) -> bool + Send + Sync>,
    /// Takes finished sessions, again after each start, and when the clock was set.
    pub finished: Box<dyn Fn(Session) + Send + Sync>,
    /// Is told when uploads may succeed that did not before.
    pub wake_uploads: Box<dyn Fn() + Send + Sync>,
}

/// Starts the task. It ends when the service is asked to stop, once what is being recorded is ended in good order.
pub fn start(kit: &Kit, parts: Parts) -> (Control, JoinHandle<()>) {
    let (commands, received) = mpsc::channel(16);
    let disk = disk(&parts.videos).unwrap_or_default();
    let shared = Arc::new(Shared {
        status: Mutex::new(Status {
            state: State::Booting,
            since_ms: parts.clock.now_ms(),
            session: None,
            should_record: false,
            next_start_ms: None,
            faults: Vec::new(),
            camera: CameraStatus::default(),
            disk,
            processing: 0,
            sessions: 0,
            gaps: 0,
            network: false,
            errors: Vec::new(),
        }),
        live: Mutex::default(),
    });
    let backlog = Backlog::new(parts.library.clone(), parts.space.reserve_bytes);
    let now = parts.clock.moment();
    let task = Task {
        booted_ms: parts.clock.booted_ms(),
        since: (State::Booting, now.clone()),
        parts,
        kit: kit.clone(),
        heartbeat: kit.heartbeat("control", BEAT),
        shared: shared.clone(),
        commands: received,
        ticked: None,
        slow_tick: None,
        machine: Machine::default(),
        loaded: false,
        wish: None,
        known: now,
        wanted: false,
        next_start_ms: None,
        active: None,
        backlog,
        camera: CameraStatus::default(),
        last_frame: None,
        disk,
        used: 0,
        sessions: 0,
        gaps: 0,
        network: false,
        errors: VecDeque::new(),
        viewer: Viewer::new(shared.clone()),
    };
    (Control { commands, shared }, tokio::spawn(task.run()))
}

/// The session that is being recorded.
struct Active {
    folder: Folder,
    recording: Recording,
    since: Instant,
}

struct Task {
    parts: Parts,
    kit: Kit,
    heartbeat: Heartbeat,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    /// When it last looked at what it looks at often, and at what it does not.
    ticked: Option<Instant>,
    slow_tick: Option<Instant>,
    machine: Machine,
    /// What the machine does, and since when.
    since: (State, Moment),
    /// Whether the database could be read since the start.
    loaded: bool,
    wish: Option<Wish>,
    /// When this run learned of the wish.
    known: Moment,
    wanted: bool,
    /// When the schedule starts a recording next, in milliseconds since 1970.
    next_start_ms: Option<i64>,
    active: Option<Active>,
    backlog: Backlog,
    camera: CameraStatus,
    last_frame: Option<Moment>,
    disk: Disk,
    /// What the recordings take.
    used: u64,
    sessions: u64,
    gaps: u64,
    network: bool,
    errors: VecDeque<(Moment, String)>,
    viewer: Viewer,
    /// When this boot began, according to the clock.
    booted_ms: i64,
}

/// What happens.
enum Input {
    Tick,
    Command(Command),
    Camera(Option<CameraEvent>),
    Processed(i64, anyhow::Result<Outcome>),
    End,
}

impl Task {
    async fn run(mut self) {
        loop {
            self.heartbeat.beat();
            match self.next().await {
                Input::Tick => {}
                Input::Command(command) => self.command(command).await,
                Input::Camera(Some(event)) => self.camera(event).await,
                Input::Camera(None) => self.happens(Event::Long).await,
                Input::Processed(id, outcome) => self.processed(id, outcome).await,
                Input::End => break,
            }
            if self.ticked.is_none_or(|last| last.elapsed() >= OCCASION) {
                self.ticked = Some(Instant::now());
                self.tick().await;
            }
            self.publish();
        }
        // What was recorded is processed after the next start: there is no time for it now.
        self.viewer.stop();
        self.close(None).await;
        self.publish();
    }

    async fn next(&mut self) -> Input {
        let due = self.ticked.map_or_else(Instant::now, |last| last + TICK);
        let active = &mut self.active;
        let camera = async {
            match active {
                Some(active) => active.recording.event().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.kit.shutdown().requested() => Input::End,
            Some(command) = self.commands.recv() => Input::Command(command),
            event = camera => Input::Camera(event),
            (id, outcome) = self.backlog.done() => Input::Processed(id, outcome),
            () = sleep_until(due.into()) => Input::Tick,
        }
    }

    /// Tells the machine, and does what it says.
    async fn happens(&mut self, event: Event) {
        let active = self.active.as_ref().map(|active| active.folder.id());
        // What goes on in another session misses something in between.
        let follows = active.filter(|_| event == Event::Long);
        for effect in self.machine.on(event) {
            match effect {
                Effect::Open => self.open(follows).await,
                Effect::Close => {
                    // A camera that failed ends no recording.
                    let ends = |(fault, _): &(Fault, &str)| *fault != Fault::Camera;
                    let ended = self.machine.faults().find(ends);
                    let note = ended.map(|(_, why)| format!("it was ended because {why}"));
                    self.close(note).await;
                }
            }
        }
    }

    /// Something is the matter, or no longer; what is new is an error to be shown.
    async fn fault(&mut self, fault: Fault, why: Option<String>) {
        let known = self.machine.faults().find(|(known, _)| *known == fault);
        if let (None, Some(why)) = (known, &why) {
            self.trouble(why.clone());
        }
        self.happens(Event::Fault(fault, why)).await;
    }

    /// Boxed, because what follows from a fault may fail because of the card again.
    fn card_failed(
        &mut self,
        error: anyhow::Error,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let why = format!("the card cannot be used: {error:#}");
        Box::pin(self.fault(Fault::Card, Some(why)))
    }

    fn trouble(&mut self, what: String) {
        tracing::error!("{what}");
        self.errors.truncate(ERRORS - 1);
        self.errors.push_front((self.parts.clock.moment(), what));
    }

    async fn command(&mut self, command: Command) {
        let recording = self.machine.state() == State::Recording;
        let on = match command.does {
            Does::Start => true,
            Does::Stop => false,
            Does::Toggle => !recording,
        };
        let outcome = self
            .wish(
                on && !recording,
                Wish {
                    on,
                    by: command.by,
                    at: self.parts.clock.moment(),
                },
            )
            .await;
        if let Err(refused) = &outcome {
            tracing::warn!(by = ?command.by, "no recording is begun: {refused}");
        }
        if let Some(reply) = command.reply {
            let _ = reply.send(outcome);
        }
    }

    async fn wish(&mut self, begins: bool, wish: Wish) -> Result<(), Refused> {
        if begins {
            self.watch_space().await;
            self.watch_camera().await;
            if let Some(refused) = self.machine.refusal() {
                return Err(refused);
            }
        }
        tracing::info!(by = ?wish.by, on = wish.on, "somebody decided about recording");
        let kept = self.parts.library.set_wish(wish.clone()).await;
        self.known = wish.at.clone();
        self.wish = Some(wish);
        if let Err(error) = kept {
            self.card_failed(error).await;
        }
        self.want().await;
        match self.machine.refusal() {
            Some(refused) if begins => Err(refused),
            _ => Ok(()),
        }
    }

    /// Begins a session.
    async fn open(&mut self, follows: Option<i64>) {
        // A camera can be opened once.
        self.viewer.stop();
        let begun = self.parts.clock.moment();
        match self.parts.library.open(begun, follows).await {
            Ok(folder) => {
                tracing::info!(session = folder.id(), "recording");
                self.sessions += 1;
                self.gaps += u64::from(follows.is_some());
                let recording = self.parts.camera.record(folder.path());
                self.active = Some(Active {
                    folder,
                    recording,
                    since: Instant::now(),
                });
            }
            Err(error) => self.card_failed(error).await,
        }
    }

    /// Ends the session in good order.
    async fn close(&mut self, note: Option<String>) {
        let Some(active) = self.active.take() else {
            return;
        };
        self.viewer.stop();
        let id = active.folder.id();
        let lost = self.camera.problem.clone();
        for event in active.recording.stop().await {
            self.take_down(id, event).await;
        }
        self.camera.format = None;
        self.camera.fps = 0.0;
        let lost = lost.map(|why| format!("at its end nothing was recorded: {why}"));
        let notes: Vec<String> = note.into_iter().chain(lost).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        tracing::info!(session = id, "recorded");
        if let Err(error) = self.parts.library.close(id, note).await {
            // It will be found by its files at the next start.
            self.trouble(format!("session {id} cannot be ended: {error:#}"));
        }
        self.backlog.add(id);
        // Nothing follows from it: whether to record has been decided.
        let effects = self.machine.on(Event::Processing(self.backlog.len()));
        debug_assert!(effects.is_empty());
    }

    async fn camera(&mut self, event: CameraEvent) {
        let Some(id) = self.active.as_ref().map(|active| active.folder.id()) else {
            return;
        };
        match &event {
            CameraEvent::Frames { .. } => {
                self.take_down(id, event).await;
                self.happens(Event::Fault(Fault::Camera, None)).await;
            }
            CameraEvent::Lost(why) => {
                let why = why.clone();
                self.take_down(id, event).await;
                self.fault(Fault::Camera, Some(why)).await;
            }
            CameraEvent::Changed => self.happens(Event::Long).await,
            _ => self.take_down(id, event).await,
        }
    }

    /// Remembers what the camera reports.
    async fn take_down(&mut self, id: i64, event: CameraEvent) {
        match &event {
            CameraEvent::Negotiated { name, format } => {
                self.camera.name.clone_from(name);
                self.camera.format = Some(format.clone());
            }
            CameraEvent::Frames { count, fps } => {
                self.camera.frames += count;
                self.camera.fps = *fps;
                self.last_frame = Some(self.parts.clock.moment());
                self.camera.problem = None;
                return;
            }
            CameraEvent::Lost(why) => {
                self.camera.restarts += 1;
                self.camera.fps = 0.0;
                self.camera.problem = Some(why.clone());
                return;
            }
            CameraEvent::Gap { why, .. } => {
                self.gaps += 1;
                tracing::warn!(session = id, "recording again after: {why}");
            }
            CameraEvent::Begun(_) | CameraEvent::Ended { .. } | CameraEvent::Changed => {}
        }
        if let Err(error) = self.parts.library.note(id, event).await {
            self.trouble(format!(
                "session {id}: what happened cannot be written down: {error:#}"
            ));
        }
    }

    /// Processes the next session, if it is time.
    async fn process(&mut self) {
        if self.loaded {
            self.backlog.go_on();
        }
        self.happens(Event::Processing(self.backlog.len())).await;
    }

    async fn processed(&mut self, id: i64, outcome: anyhow::Result<Outcome>) {
        match outcome {
            Ok(Outcome::Finished(session)) => {
                let (duration_ms, bytes) = (session.duration_ms, session.bytes);
                tracing::info!(session = id, duration_ms, bytes, "finished");
                (self.parts.finished)(*session);
                (self.parts.wake_uploads)();
            }
            Ok(Outcome::Gone) => {}
            Ok(Outcome::Corrupted(why)) => self.trouble(format!("session {id}: {why}")),
            Err(error) => {
                // It is tried again for as long as it takes, which is to be seen in the status: an error it is once.
                let what = format!("session {id} cannot be processed yet");
                let is_known = |(_, known): &(Moment, String)| known.starts_with(&what);
                match self.errors.iter().any(is_known) {
                    true => tracing::warn!("{what}: {error:#}"),
                    false => self.trouble(format!("{what}: {error:#}")),
                }
            }
        }
        self.process().await;
    }

    /// Shows how it is.
    fn publish(&mut self) {
        let (clock, state) = (&self.parts.clock, self.machine.state());
        if self.since.0 != state {
            self.since = (state, clock.moment());
        }
        let faults = self.machine.faults();
        let errors = self.errors.iter().map(|(at, what)| Trouble {
            at_ms: clock.told(at),
            what: what.clone(),
        });
        let status = Status {
            state,
            since_ms: clock.told(&self.since.1),
            session: self.active.as_ref().map(|active| active.folder.id()),
            should_record: self.wanted,
            next_start_ms: self.next_start_ms,
            faults: faults.map(|(fault, why)| (fault, why.to_owned())).collect(),
            camera: CameraStatus {
                last_frame_ms: self.last_frame.as_ref().map(|at| clock.told(at)),
                ..self.camera.clone()
            },
            disk: self.disk,
            processing: self.backlog.len(),
            sessions: self.sessions,
            gaps: self.gaps,
            network: self.network,
            errors: errors.collect(),
        };
        *self.shared.status.lock().expect("no panic while held") = status;
    }
}

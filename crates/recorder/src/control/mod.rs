//! The one task that decides: it owns the machine, the camera and the session that is being recorded.
//!
//! Everybody else has a [`Control`]: buttons and HTTP ask it to start and to stop, LEDs, page, metrics and heartbeat read
//! its status from memory, without waiting for it.

mod backlog;
mod network;
mod task;
mod viewer;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::machine::{By, Fault, Refused, State};
pub use crate::session::Disk;
pub use task::{Parts, start};

/// How long pictures are made after somebody asked for one.
const LOOKED: Duration = Duration::from_secs(10);

/// A picture that is older than this is not live.
const FRESH: Duration = Duration::from_secs(5);

/// A handle to the task; clones reach the same one.
#[derive(Debug, Clone)]
pub struct Control {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

/// How the recorder is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
    /// The session that is being recorded.
    pub session: Option<i64>,
    /// Whether it should be recording, by the schedule or because somebody wants it.
    pub should_record: bool,
    /// When the schedule starts a recording next, in milliseconds since 1970.
    pub next_start_ms: Option<i64>,
    /// What is the matter.
    pub faults: Vec<(Fault, String)>,
    /// The camera.
    pub camera: CameraStatus,
    /// The file system of the recordings.
    pub disk: Disk,
    /// How many sessions are waiting to be joined and checked, or are at the moment.
    pub processing: usize,
    /// How many sessions were begun since the service started.
    pub sessions: u64,
    /// How many gaps they have.
    pub gaps: u64,
    /// Whether there is a network.
    pub network: bool,
    /// The last errors, the newest first.
    pub errors: Vec<Trouble>,
}

/// How the camera is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CameraStatus {
    /// Its name.
    pub name: String,
    /// How its pictures are recorded, such as `h264 1920x1080, 30/s, copied`.
    pub format: Option<String>,
    /// How many frames came in the last seconds, per second.
    pub fps: f64,
    /// How many frames came since the service started.
    pub frames: u64,
    /// When the last one came, in milliseconds since 1970.
    pub last_frame_ms: Option<i64>,
    /// How often it had to be started again since the service started.
    pub restarts: u64,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub what: String,
}

impl Status {
    /// Whether pictures are being recorded at this moment.
    pub fn is_recording(&self) -> bool {
        self.session.is_some() && self.camera.problem.is_none()
    }
}

#[derive(Debug)]
struct Shared {
    status: Mutex<Status>,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    picture: Option<(Instant, Bytes)>,
    asked: Option<Instant>,
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// A recording.
    Start,
    /// No recording.
    Stop,
    /// The opposite of what is the case.
    Toggle,
}

#[derive(Debug)]
struct Command {
    does: Does,
    by: By,
    reply: Option<oneshot::Sender<Result<(), Refused>>>,
}

impl Control {
    /// Starts a recording. If there is one already, that goes on.
    pub async fn start(&self, by: By) -> Result<(), Refused> {
        self.ask(Does::Start, by).await
    }

    /// Stops the recording, if there is one.
    pub async fn stop(&self, by: By) -> Result<(), Refused> {
        self.ask(Does::Stop, by).await
    }

    /// Somebody pressed a button. Does not wait: the LEDs tell what came of it.
    pub fn press(&self, does: Does) {
        let (by, reply) = (By::Button, None);
        if self.commands.try_send(Command { does, by, reply }).is_err() {
            tracing::warn!("a button was pressed in vain: the recorder is busy or ending");
        }
    }

    /// How the recorder is. Never waits.
    pub fn status(&self) -> Status {
        let status = self.shared.status.lock().expect("no panic while held");
        status.clone()
    }

    /// The newest picture, a JPEG, if it is not old. Pictures are made only while somebody asks for them: the first call may
    /// find none.
    pub fn live(&self) -> Option<Bytes> {
        let mut live = self.shared.live.lock().expect("no panic while held");
        live.asked = Some(Instant::now());
        let fresh = live.picture.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, picture)| picture.clone())
    }

    async fn ask(&self, does: Does, by: By) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        let sent = self.commands.send(Command { does, by, reply }).await;
        sent.map_err(|_| Refused::Ending)?;
        answer.await.map_err(|_| Refused::Ending)?
    }
}

impl Shared {
    /// Whether somebody looks at live pictures; when nobody does, the last one is forgotten.
    fn is_looked_at(&self) -> bool {
        let mut live = self.live.lock().expect("no panic while held");
        let looked = live.asked.is_some_and(|asked| asked.elapsed() < LOOKED);
        if !looked {
            live.picture = None;
        }
        looked
    }

    fn show(&self, picture: Bytes) {
        let mut live = self.live.lock().expect("no panic while held");
        live.picture = Some((Instant::now(), picture));
    }
}

//! The one task that decides: it owns the machine, the camera and the session that is being recorded.
//!
//! Everybody else has a [`Control`]: buttons and HTTP ask it to start and to stop, lamps, page, metrics and heartbeat read
//! its status from memory, without waiting for it.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::machine::{By, Fault, Refused, State};

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

/// The file system of the recordings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What is free for the recorder.
    pub free_bytes: u64,
    /// Its size.
    pub total_bytes: u64,
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
    picture: Option<Bytes>,
    asked: Option<Instant>,
}

#[derive(Debug)]
enum Command {
    Start(By, oneshot::Sender<Result<(), Refused>>),
    Stop(By, oneshot::Sender<Result<(), Refused>>),
}

impl Control {
    /// Starts a recording. If there is one already, that goes on.
    pub async fn start(&self, by: By) -> Result<(), Refused> {
        self.ask(|reply| Command::Start(by, reply)).await
    }

    /// Stops the recording, if there is one.
    pub async fn stop(&self, by: By) -> Result<(), Refused> {
        self.ask(|reply| Command::Stop(by, reply)).await
    }

    /// How the recorder is. Never waits.
    pub fn status(&self) -> Status {
        let status = self.shared.status.lock().expect("no panic while held");
        status.clone()
    }

    /// The newest picture, a JPEG. Pictures are made only while somebody asks for them: the first call may find none.
    pub fn live(&self) -> Option<Bytes> {
        let mut live = self.shared.live.lock().expect("no panic while held");
        live.asked = Some(Instant::now());
        live.picture.clone()
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), Refused>>) -> Command,
    ) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Refused::Ending)?;
        answer.await.map_err(|_| Refused::Ending)?
    }
}

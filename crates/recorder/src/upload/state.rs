//! What the thread of the uploads and their handle share, and what others see of it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::config::Kind;
use super::pace::Pace;
use super::video::{Status, Video};

/// The upload that is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The session.
    pub session: i64,
    /// The name of its file.
    pub name: String,
    /// How many bytes of it are sent.
    pub sent: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// The state of all uploads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Where uploads go.
    pub target: Kind,
    /// How many videos are still to be uploaded, the one that is being uploaded included.
    pub queue_size: u64,
    /// How many bytes of them no target has acknowledged yet.
    pub queue_bytes: u64,
    /// The one that is being uploaded.
    pub uploading: Option<Progress>,
    /// The status of each session that was ever added.
    pub statuses: BTreeMap<i64, Status>,
    /// The share of successful ones among the uploads that ended within a day; none if none ended.
    pub success_rate: Option<f64>,
    /// When an upload was last complete, in milliseconds since 1970.
    pub last_completed_ms: Option<i64>,
    /// How many bytes were sent since the start, those that had to be sent again included.
    pub sent_bytes_total: u64,
    /// Why nothing is uploaded at the moment, although videos wait.
    pub problem: Option<String>,
}

/// What the thread and the handle share.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something has changed for the thread.
    pub changed: Condvar,
    /// How many bytes were sent.
    pub sent: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

/// What changes.
#[derive(Default)]
pub(super) struct State {
    /// What the queue has on the card.
    pub snapshot: Snapshot,
    /// The running upload, and its position.
    pub running: Option<(Video, Arc<Pace>)>,
    /// What is not in the queue yet.
    pub added: Vec<Video>,
    /// What failed is to be tried at once.
    pub is_woken: bool,
    /// The thread has something to look at.
    pub is_new: bool,
    /// The handle is gone.
    pub is_ended: bool,
}

impl Shared {
    /// The state, for a moment.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}

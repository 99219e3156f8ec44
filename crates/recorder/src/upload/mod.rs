//! Uploads of finished recordings: resumable, checked, within a bandwidth and the hours of the day.
//!
//! One thread takes one video after the other from a queue that survives power cuts. Before a video is sent, its file is
//! compared with what was recorded; afterwards the target has to say that it has all of it. Nothing is ever dropped:
//! what fails is tried again later, with growing pauses, for as long as it takes. The thread shares only memory with the
//! rest of the recorder, so that no target and no network delays a recording.
//!
//! A target is one file: `s3`, `tus`, `put` or `youtube`.

pub mod config;
mod hours;
mod pace;
mod place;
mod put;
mod queue;
mod s3;
mod state;
mod target;
mod trouble;
mod tus;
mod verify;
mod video;
mod worker;
mod youtube;

use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kit::Kit;

pub use config::Settings;
pub(crate) use queue::SCHEMA;
pub use state::{Progress, Snapshot};
pub use video::{Status, Video};

use crate::clock::Clock;
use state::Shared;

/// The handle to the uploads; they end soon after it is dropped.
#[derive(Debug)]
pub struct Uploads {
    shared: Option<Arc<Shared>>,
}

impl Uploads {
    /// Starts uploading what is in the queue, which is a table of the recorder's `database`.
    pub fn start(
        kit: &Kit,
        settings: Settings,
        database: &Path,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        Uploads::start_with(kit, settings, database, clock, Duration::from_secs(1))
    }

    /// Starts with another length of a second in pauses; tests shorten it.
    pub fn start_with(
        kit: &Kit,
        settings: Settings,
        database: &Path,
        clock: Clock,
        second: Duration,
    ) -> anyhow::Result<Self> {
        if settings.target == config::Kind::None {
            return Ok(Uploads { shared: None });
        }
        let shared = Arc::<Shared>::default();
        worker::start(kit, settings, database, (clock, second), shared.clone())?;
        Ok(Uploads {
            shared: Some(shared),
        })
    }

    /// Adds a video to the queue. One that was added before is only given its title and time anew. It is on the card a moment
    /// later: what was added in the moment before a power cut has to be added again, as all finished sessions are at each
    /// start.
    pub fn add(&self, video: Video) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        let snapshot = &mut state.snapshot;
        // The queue decides whether it is new; meanwhile it counts as waiting.
        if let Entry::Vacant(status) = snapshot.statuses.entry(video.session) {
            status.insert(Status::Pending);
            snapshot.queue_size += 1;
            snapshot.queue_bytes += video.bytes;
        }
        state.added.push(video);
        state.is_new = true;
        shared.changed.notify_all();
    }

    /// Tries at once what waits only because the target could not be used, such as when the network is back. A time that
    /// the target named is kept, and a video that it does not take waits for its own time.
    pub fn wake(&self) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        (state.is_woken, state.is_new) = (true, true);
        shared.changed.notify_all();
    }

    /// Whether a session does not have to be uploaded any more: it is, or there is no target.
    pub fn is_sent(&self, session: i64) -> bool {
        let Some(shared) = &self.shared else {
            return true;
        };
        let state = shared.lock();
        state.snapshot.statuses.get(&session) == Some(&Status::Completed)
    }

    /// The state of all uploads, from memory.
    pub fn snapshot(&self) -> Snapshot {
        let Some(shared) = &self.shared else {
            return Snapshot::default();
        };
        let state = shared.lock();
        let uploading = state.running.as_ref();
        Snapshot {
            uploading: uploading.map(|(video, pace)| Progress {
                session: video.session,
                name: video.name(),
                sent: pace.position(),
                bytes: video.bytes,
            }),
            sent_bytes_total: shared.sent.load(Relaxed),
            ..state.snapshot.clone()
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.lock().is_ended = true;
            shared.changed.notify_all();
        }
    }
}

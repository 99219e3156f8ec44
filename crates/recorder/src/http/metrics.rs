//! The recorder's metrics, by the names that those who run such systems know.

use std::sync::Arc;
use std::time::Duration;

use kit::{Kit, Table};

use super::Sources;
use crate::machine::{Fault, State};
use crate::upload::Status;

/// A heart that has not beaten for this long does not beat.
const STALE: Duration = Duration::from_secs(30);

/// Adds the service's metrics to the kit's. All of them are there from the start. A time is 0 if there was none yet: a rule
/// has to leave that out (`x > 0`) where it asks how long ago something was.
pub fn register(kit: &Kit, sources: &Arc<Sources>) {
    let sources = sources.clone();
    kit.register_metrics(move |table| tell(&sources, table));
}

fn tell(sources: &Sources, table: &mut Table) {
    let (status, uploads) = (sources.control.status(), sources.uploads.snapshot());
    let tally = sources.library.tally();
    // A heart that has never beaten has not done so since the start.
    let (age, uptime) = (sources.heartbeat.age(), sources.kit.uptime());
    let (disk, camera) = (status.disk, &status.camera);
    let used = disk.total_bytes.saturating_sub(disk.free_bytes) as f64 / disk.total_bytes as f64;
    let states = State::ALL.map(|state| ([("state", state.word())], state == status.state));
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let with = |wanted: fn(&Status) -> bool| {
        uploads.statuses.values().filter(|s| wanted(s)).count() as f64
    };
    let videos = [
        (
            "pending",
            with(|s| matches!(s, Status::Pending | Status::Uploading)),
        ),
        ("completed", with(|s| matches!(s, Status::Completed))),
        ("failed", with(|s| matches!(s, Status::Failed { .. }))),
        ("corrupted", with(|s| matches!(s, Status::Corrupted { .. }))),
    ];
    let faulty = |fault| status.faults.iter().any(|(found, _)| *found == fault);
    kit::metrics! { table;
        gauge "recorder_up", "Whether every loop of the recorder does its work" => age.is_some_and(|age| age < STALE);
        gauge "recorder_heartbeat_age_seconds", "How long ago every loop was last seen at work" => age.unwrap_or(uptime).as_secs_f64();
        gauge "recorder_uptime_seconds", "How long the service has been running" => uptime.as_secs_f64();
        gauges "recorder_state", "What the recorder does" => states;
        gauge "recorder_recording_active", "Whether there is a recording" => status.is_recording();
        gauge "recorder_should_record", "Whether there should be a recording" => status.should_record;
        gauge "recorder_camera_up", "Whether there is a usable camera" => camera.problem.is_none();
        gauge "recorder_camera_stalled", "Whether the camera should deliver pictures and does not"
            => status.session.is_some() && faulty(Fault::Camera);
        gauge "recorder_last_frame_timestamp_seconds", "When the camera delivered its last picture, 0 if never"
            => camera.last_frame_ms.map_or(0.0, seconds);
        gauge "recorder_disk_free_bytes", "Space that is free for recordings" => disk.free_bytes as f64;
        gauge "recorder_disk_usage_ratio", "Used part of the disk" => Some(used).filter(|used| used.is_finite());
        gauge "recorder_join_queue_size", "Recordings that wait to be joined and checked, or are at the moment" => tally.processing as f64;
        gauge "recorder_join_queue_age_seconds", "How long the one that waits longest has waited" => tally.longest.as_secs_f64();
        gauge "recorder_corrupted_sessions", "Recordings of which there is no video; only their owner deletes them" => tally.corrupted as f64;
        gauge "recorder_upload_queue_size", "Recordings that wait to be uploaded" => uploads.queue_size as f64;
        gauge "recorder_queue_bytes", "Bytes that wait to be uploaded" => uploads.queue_bytes as f64;
        counter "recorder_uploaded_bytes", "Bytes that were sent" => uploads.sent_bytes_total;
        gauges "recorder_videos_total", "Recordings, by the state of their upload" => videos.map(|(status, count)| ([("status", status)], count));
        gauge "recorder_upload_success_rate", "Share of the uploads of the last day that succeeded" => uploads.success_rate.unwrap_or(f64::NAN);
        gauge "recorder_last_upload_timestamp_seconds", "When an upload was completed last, 0 if never"
            => uploads.last_completed_ms.map_or(0.0, seconds);
        counter "recorder_sessions", "Recordings that were begun" => status.sessions;
        counter "recorder_gaps", "Interruptions of recordings" => status.gaps;
        counter "recorder_frames", "Pictures that the camera delivered" => camera.frames;
        counter "recorder_camera_restarts", "How often the camera was started again" => camera.restarts;
    }
}

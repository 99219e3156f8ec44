//! The heartbeat file: a sign of life each second, for tools that watch files.
//!
//! It is written only while every loop of the service does its work, so that it grows stale when any of them is stuck. It is
//! renamed into place, so that nobody reads half of it; it need not survive a cut, as it is about the present.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::{Actor, Component, Kit, clock};
use serde::Serialize;

use crate::control::Control;
use crate::upload::Uploads;

const SECOND: Duration = Duration::from_secs(1);
/// A file system that takes longer than this for a few bytes is as good as stuck.
const PERIOD: Duration = Duration::from_secs(20);

/// What the file says; tools know it by these names.
#[derive(Debug, Clone, Serialize)]
pub struct Beat {
    /// Now, as RFC 3339 in UTC.
    pub timestamp: String,
    /// How long the service has been running.
    pub uptime_seconds: f64,
    /// What the recorder does.
    pub state: &'static str,
    /// Whether there is a recording at the moment.
    pub recording_active: bool,
    /// How many recordings wait to be uploaded.
    pub upload_queue_size: u64,
    /// The file that is being uploaded.
    pub currently_uploading: Option<String>,
    /// The process.
    pub pid: u32,
}

/// Where the file is: in the directory that systemd made for what a running service leaves; none without one.
pub fn path() -> Option<PathBuf> {
    let directory = std::env::var_os("RUNTIME_DIRECTORY")?;
    Some(PathBuf::from(directory).join("heartbeat.json"))
}

/// What there is to say at the moment.
pub fn beat(kit: &Kit, control: &Control, uploads: &Uploads) -> Beat {
    let (status, uploads) = (control.status(), uploads.snapshot());
    Beat {
        timestamp: clock::rfc3339(clock::now_ms()),
        uptime_seconds: kit.uptime().as_secs_f64(),
        state: status.state.word(),
        recording_active: status.is_recording(),
        upload_queue_size: uploads.queue_size,
        currently_uploading: uploads.uploading.map(|progress| progress.name),
        pid: std::process::id(),
    }
}

/// The handle to the heartbeat; clones are of the same one.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<Mutex<Option<Instant>>>);

impl Heartbeat {
    /// Starts to write `path` each second, with what `beat` returns. Without a path the heart beats all the same.
    pub fn start(
        kit: &Kit,
        path: Option<PathBuf>,
        beat: impl Fn() -> Beat + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (heartbeat, watched) = (Heartbeat::default(), kit.clone());
        let last = heartbeat.clone();
        kit.worker("heartbeat", PERIOD, move |component| Writer {
            path,
            component,
            kit: watched,
            beat,
            last,
        })?;
        Ok(heartbeat)
    }

    /// How long ago the heart beat last.
    pub fn age(&self) -> Option<Duration> {
        let last = self.0.lock().expect("no panic while held");
        last.map(|last| last.elapsed())
    }
}

struct Writer<F> {
    path: Option<PathBuf>,
    component: Component,
    kit: Kit,
    beat: F,
    last: Heartbeat,
}

impl<F: Fn() -> Beat + Send + 'static> Actor for Writer<F> {
    fn turn(&mut self) -> Duration {
        let begun = Instant::now();
        if self.kit.late().is_empty() {
            let written = match &self.path {
                Some(path) => write(path, &(self.beat)())
                    .map_err(|error| format!("{}: {error}", path.display())),
                None => Ok(()),
            };
            match written {
                Ok(()) => {
                    self.component.ok();
                    *self.last.0.lock().expect("no panic while held") = Some(begun);
                }
                Err(problem) => self.component.degraded(problem),
            }
        }
        SECOND.saturating_sub(begun.elapsed())
    }

    fn stop(self) -> anyhow::Result<()> {
        // A service that was stopped has no heart that beats.
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }
}

fn write(path: &Path, beat: &Beat) -> io::Result<()> {
    let temporary = path.with_extension("json.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644);
    let mut text = serde_json::to_vec(beat)?;
    text.push(b'\n');
    options.open(&temporary)?.write_all(&text)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_fields_that_tools_know_and_is_never_half_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heartbeat.json");
        let mut beat = Beat {
            timestamp: "2026-11-30T00:00:00Z".into(),
            uptime_seconds: 12.5,
            state: "recording",
            recording_active: true,
            upload_queue_size: 2,
            currently_uploading: Some("2026-11-29.mp4".into()),
            pid: 7,
        };
        write(&path, &beat).unwrap();
        let before = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            before,
            "{\"timestamp\":\"2026-11-30T00:00:00Z\",\"uptime_seconds\":12.5,\"state\":\"recording\",\
             \"recording_active\":true,\"upload_queue_size\":2,\"currently_uploading\":\"2026-11-29.mp4\",\"pid\":7}\n"
        );
        // Whoever has it open goes on reading the old one.
        let mut open = std::fs::File::open(&path).unwrap();
        beat.currently_uploading = None;
        write(&path, &beat).unwrap();
        assert_eq!(io::read_to_string(&mut open).unwrap(), before);
        let after = std::fs::read_to_string(&path).unwrap();
        assert!(after.contains("\"currently_uploading\":null"));
        let names = std::fs::read_dir(directory.path()).unwrap();
        assert_eq!(names.count(), 1);
    }
}

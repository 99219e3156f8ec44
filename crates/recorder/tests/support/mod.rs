//! A recorder whose camera is made up by ffmpeg, and ways to be unkind to it.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub use kit::testing::{Running, eventually, merge, nobody};
use recorder::clock::Clock;
use recorder::config::Config;
use recorder::control::{Control, Status};
use recorder::machine::{By, Refused};
use recorder::session::{Library, Probed, Session, SessionState};
use recorder::{World, run_in};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Fails at once, with the remedy, where the tests cannot work.
pub fn needs_ffmpeg() {
    for program in ["ffmpeg", "ffprobe", "setpriv"] {
        let found = Command::new(program).arg("-h").output();
        assert!(
            found.is_ok(),
            "{program} is missing; hint: apt-get install --no-install-recommends ffmpeg util-linux, as ./lichen test does"
        );
    }
}

/// A small test picture, and no limits of space.
pub fn settings(directory: &Path) -> Value {
    json!({
        "data": { "directory": directory },
        "camera": {
            "source": { "lavfi": "testsrc2=size=320x180:rate=20" },
            "encode": { "threads": 1, "preset": "ultrafast" },
        },
        "space": { "min_free_bytes": 0, "reserve_bytes": 0 },
    })
}

/// A running recorder.
pub struct Recorder {
    pub directory: TempDir,
    pub control: Control,
    pub library: Library,
    pub clock: Clock,
    pub service: Running,
    runtime: tokio::runtime::Runtime,
}

impl Recorder {
    pub fn start(changes: Value) -> Self {
        Recorder::start_in(tempfile::tempdir().unwrap(), changes)
    }

    pub fn start_in(directory: TempDir, changes: Value) -> Self {
        needs_ffmpeg();
        let mut all = settings(directory.path());
        if !changes["camera"]["source"].is_null() {
            // It has one source or the other.
            all["camera"]["source"] = Value::Null;
        }
        merge(&mut all, changes);
        let config: Config = serde_json::from_value(all).unwrap();
        let (tell, told) = mpsc::channel();
        let clock = Clock::new();
        let world = World {
            clock: clock.clone(),
            told: Some(tell),
        };
        let service = Running::start("recorder", config, None, |config, kit| {
            run_in(world, config, kit)
        });
        let (control, library) = told.recv().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        Recorder {
            directory,
            control,
            library,
            clock,
            service,
            runtime,
        }
    }

    pub fn begin(&self) -> Result<(), Refused> {
        // It is still starting at first.
        eventually("it has booted", || {
            let outcome = self.runtime.block_on(self.control.start(By::Http));
            (outcome != Err(Refused::Booting)).then_some(outcome)
        })
    }

    pub fn end(&self) {
        let stopped = self.runtime.block_on(self.control.stop(By::Http));
        stopped.unwrap();
    }

    pub fn status(&self) -> Status {
        self.control.status()
    }

    /// Waits until the status is as wanted.
    pub fn until(&self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        eventually(what, || Some(self.status()).filter(&is))
    }

    /// Waits for so many more frames.
    pub fn films(&self, frames: u64) {
        let wanted = self.status().camera.frames + frames;
        self.until("frames come", |status| status.camera.frames >= wanted);
    }

    /// All sessions, the newest first.
    pub fn sessions(&self) -> Vec<Session> {
        let listed = self.library.list(i64::MIN, i64::MAX, 1000);
        self.runtime.block_on(listed).unwrap()
    }

    /// The same, unless they cannot be read at the moment.
    pub fn sessions_if_readable(&self) -> Option<Vec<Session>> {
        let listed = self.library.list(i64::MIN, i64::MAX, 1000);
        self.runtime.block_on(listed).ok()
    }

    pub fn session(&self, id: i64) -> Session {
        self.runtime
            .block_on(self.library.get(id))
            .unwrap()
            .unwrap()
    }

    /// Waits until a session is processed.
    pub fn processed(&self, id: i64) -> Session {
        let over = [SessionState::Finished, SessionState::Corrupted];
        eventually("the session is processed", || {
            Some(self.session(id)).filter(|session| over.contains(&session.state))
        })
    }

    /// Waits until a session is finished; returns it, and what ffprobe says of its video.
    pub fn finished(&self, id: i64) -> (Session, Probed) {
        let session = self.processed(id);
        assert_eq!(session.state, SessionState::Finished, "{session:?}");
        let video = session.path.clone().unwrap();
        let probed = probed(&video);
        assert!(probed.frames > 0 && probed.backward == 0, "{probed:?}");
        (session, probed)
    }

    /// The process that records.
    pub fn ffmpeg(&self) -> Pid {
        eventually("ffmpeg runs", || ffmpeg_in(self.directory.path()))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.ffmpeg(), signal).unwrap();
    }

    /// Stops the service; returns its directory.
    pub fn stop(self) -> TempDir {
        self.service.stop();
        self.directory
    }
}

/// What ffprobe says of a video.
pub fn probed(video: &Path) -> Probed {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(recorder::session::probe(video)).unwrap()
}

/// The ffmpeg that writes a part in a directory.
pub fn ffmpeg_in(directory: &Path) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let place = directory.to_str().unwrap();
    let mut found = processes.filter_map(|process| {
        let words = std::fs::read(process.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words);
        let records = words.starts_with("ffmpeg\0") && words.contains("-progress");
        let id = process.file_name().to_str()?.parse().ok()?;
        (records && words.contains(place)).then(|| Pid::from_raw(id))?
    });
    found.next()
}

/// A second of H.264 that stands for what a camera delivers.
pub fn camera_file(directory: &Path) -> PathBuf {
    needs_ffmpeg();
    let file = directory.join("camera.mp4");
    let source = "testsrc2=size=320x180:rate=20:duration=1";
    let made = Command::new("ffmpeg")
        .args([
            "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264",
        ])
        .args([
            "-preset",
            "ultrafast",
            "-g",
            "10",
            "-pix_fmt",
            "yuv420p",
            "-y",
        ])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    file
}

/// How long something takes to happen.
pub fn time(happens: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    happens();
    begun.elapsed()
}

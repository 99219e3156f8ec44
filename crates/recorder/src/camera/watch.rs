//! Watches one run of ffmpeg: frames have to come, the file has to grow and to reach the disk.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::watch as signal;

use super::cannot_start;
use super::ffmpeg::{self, FRAGMENT, REPORTS};
use super::sync::{Syncing, sync};

/// How long ffmpeg may take to end in good order.
const GRACE: Duration = Duration::from_secs(5);

/// How long a killed process may take to go; one that hangs in a driver is left behind.
const DEATH: Duration = Duration::from_secs(5);

/// The last lines that ffmpeg said.
const LINES: usize = 4;

/// How long to wait for frames.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For each one, and for the file to grow.
    pub frame: Duration,
    /// For the first one.
    pub first_frame: Duration,
}

/// How recording a part ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked to.
    Stopped,
    /// For this reason.
    Failed(String),
    /// Before it began: the camera delivers something else now.
    Changed,
}

/// New frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// How many.
    pub new_frames: u64,
    /// How much has been recorded of the part.
    pub length_ms: Option<i64>,
    /// Frames per second.
    pub fps: f64,
}

/// A running ffmpeg.
#[derive(Debug)]
pub struct Watched {
    child: Child,
    group: Option<Pid>,
    reports: Lines<BufReader<ChildStdout>>,
    said: Arc<Mutex<VecDeque<String>>>,
    part: PathBuf,
    limits: Limits,
    _syncing: Syncing,
    frames: u64,
    frame_at: Instant,
    size: u64,
    grew_at: Instant,
}

/// Starts ffmpeg, which writes the part.
pub fn start(words: &[OsString], part: &Path, limits: Limits) -> Result<Watched, String> {
    let syncing = Syncing::start(part)
        .map_err(|error| format!("cannot watch over {}: {error}", part.display()))?;
    let mut command = ffmpeg::command("ffmpeg");
    let started = command.args(words).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| cannot_start(&error))?;
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    let said = Arc::default();
    tokio::spawn(listen(stderr, Arc::clone(&said)));
    let now = Instant::now();
    Ok(Watched {
        group: child.id().and_then(|id| Pid::from_raw(id as i32)),
        child,
        reports: BufReader::new(stdout).lines(),
        said,
        part: part.into(),
        limits,
        _syncing: syncing,
        frames: 0,
        frame_at: now,
        size: 0,
        grew_at: now,
    })
}

impl Watched {
    /// Waits for new frames, or for the end.
    pub async fn next(&mut self, stopped: &mut signal::Receiver<bool>) -> Result<Progress, Ended> {
        let (mut frames, mut fps, mut length_ms) = (self.frames, 0.0, None);
        loop {
            let [frame_due, growth_due] = self.deadlines();
            let due = frame_due.min(growth_due);
            // Reports come before the clock, so that a delay of this process is not taken for one of the camera.
            tokio::select! {
                biased;
                () = given(stopped) => return Err(self.stop().await),
                report = self.reports.next_line() => {
                    let Ok(Some(line)) = report else {
                        return Err(self.ended().await);
                    };
                    let (name, value) = line.split_once('=').unwrap_or((&line, ""));
                    let value = value.trim();
                    match name {
                        "frame" => frames = value.parse().unwrap_or(frames),
                        "fps" => fps = value.parse().unwrap_or(0.0),
                        "out_time_us" => length_ms = value.parse().ok().map(|us: i64| us / 1000),
                        // The last line of a report.
                        "progress" => {
                            self.look();
                            if frames > self.frames {
                                let now = Instant::now();
                                if self.frames == 0 {
                                    // Until then there was nothing to write but the head.
                                    self.grew_at = now;
                                }
                                let new_frames = frames - self.frames;
                                (self.frames, self.frame_at) = (frames, now);
                                return Ok(Progress { new_frames, length_ms, fps });
                            }
                        }
                        _ => {}
                    }
                }
                () = tokio::time::sleep_until(due.into()) => if let Some(why) = self.overdue() {
                    self.kill().await;
                    self.finish().await;
                    return Err(Ended::Failed(why));
                }
            }
        }
    }

    /// Looks whether the file has grown.
    fn look(&mut self) {
        let size = std::fs::metadata(&self.part).map_or(0, |part| part.len());
        if size != self.size {
            (self.size, self.grew_at) = (size, Instant::now());
        }
    }

    /// How long to wait for a frame, and for the file to grow.
    fn limits(&self) -> [Duration; 2] {
        let limit = match self.frames {
            0 => self.limits.first_frame,
            _ => self.limits.frame,
        };
        // Frames reach the file a fragment later.
        [limit, limit + 2 * FRAGMENT]
    }

    /// When each is overdue.
    fn deadlines(&self) -> [Instant; 2] {
        let [frame, growth] = self.limits();
        // The frame of which a report tells may have come right after the report before. But the next report needs its time.
        let frame = frame.saturating_sub(REPORTS).max(2 * REPORTS);
        [self.frame_at + frame, self.grew_at + growth]
    }

    /// What did not come in time.
    fn overdue(&mut self) -> Option<String> {
        self.look();
        let now = Instant::now();
        let ([frame, growth], [frame_due, growth_due]) = (self.limits(), self.deadlines());
        if now >= frame_due {
            return Some(format!("no frame came for {} s", frame.as_secs_f64()));
        }
        let why = || format!("the file did not grow for {} s", growth.as_secs_f64());
        (now >= growth_due).then(why)
    }

    /// Ends it in good order.
    async fn stop(&mut self) -> Ended {
        if let Some(process) = self.group {
            let _ = kill_process(process, Signal::INT);
        }
        // It would wait for ever if nobody took its reports.
        let reports = &mut self.reports;
        let drained = async { while let Ok(Some(_)) = reports.next_line().await {} };
        let ended = async {
            drained.await;
            self.child.wait().await
        };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("ffmpeg does not end when it is asked to, and is killed");
            self.kill().await;
        }
        self.finish().await;
        Ended::Stopped
    }

    /// Why it ended by itself.
    async fn ended(&mut self) -> Ended {
        let status = tokio::time::timeout(DEATH, self.child.wait()).await;
        if status.is_err() {
            self.kill().await;
        }
        self.finish().await;
        let said = self.said.lock().expect("no panic while held");
        let words = said.iter().cloned().collect::<Vec<_>>().join("; ");
        let how = match status {
            Ok(Ok(status)) => format!("ffmpeg ended with {status}"),
            _ => "ffmpeg closed its output".into(),
        };
        Ended::Failed(match words.is_empty() {
            true => how,
            false => format!("{how}: {words}"),
        })
    }

    /// Kills it and whatever it started.
    async fn kill(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if tokio::time::timeout(DEATH, self.child.wait())
            .await
            .is_err()
        {
            tracing::error!("ffmpeg hangs in a driver and cannot be killed; it is left behind");
        }
    }

    /// Syncs what was written last.
    async fn finish(&mut self) {
        let part = self.part.clone();
        let _ = tokio::task::spawn_blocking(move || sync(&part)).await;
    }
}

/// Waits until the signal is given.
async fn given(signal: &mut signal::Receiver<bool>) {
    let _ = signal.wait_for(|given| *given).await;
}

/// Keeps the last lines that ffmpeg says.
async fn listen(stderr: ChildStderr, said: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::debug!("ffmpeg: {line}");
        let mut said = said.lock().expect("no panic while held");
        if said.len() == LINES {
            said.pop_front();
        }
        said.push_back(line);
    }
}

//! Watches one run of ffmpeg: frames have to come, the file has to grow and to reach the disk.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::watch as signal;
use tokio::task::JoinHandle;

use super::ffmpeg;

/// How often the file is looked at and, if it has grown, synced. With the length of a fragment this is what a cut can lose.
const SYNC: Duration = Duration::from_millis(100);

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
    syncing: JoinHandle<()>,
    frames: u64,
    frame_at: Instant,
    size: u64,
    grew_at: Instant,
}

/// Starts ffmpeg, which writes the part.
pub fn start(words: &[OsString], part: &Path, limits: Limits) -> io::Result<Watched> {
    let mut command = ffmpeg::command("ffmpeg");
    let mut child = command.args(words).stdout(Stdio::piped()).spawn()?;
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
        syncing: tokio::spawn(keep_synced(part.to_owned())),
        frames: 0,
        frame_at: now,
        size: 0,
        grew_at: now,
    })
}

impl Watched {
    /// Waits for new frames, or for the end.
    pub async fn next(&mut self, stopped: &mut signal::Receiver<bool>) -> Result<Progress, Ended> {
        let mut ticks = tokio::time::interval(SYNC);
        let (mut frames, mut fps, mut length_ms) = (self.frames, 0.0, None);
        loop {
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
                        "progress" if frames > self.frames => {
                            let new_frames = frames - self.frames;
                            (self.frames, self.frame_at) = (frames, Instant::now());
                            return Ok(Progress { new_frames, length_ms, fps });
                        }
                        _ => {}
                    }
                }
                _ = ticks.tick() => if let Some(why) = self.overdue() {
                    self.kill().await;
                    self.finish().await;
                    return Err(Ended::Failed(why));
                }
            }
        }
    }

    /// What did not come in time.
    fn overdue(&mut self) -> Option<String> {
        let size = std::fs::metadata(&self.part).map_or(0, |part| part.len());
        if size != self.size {
            (self.size, self.grew_at) = (size, Instant::now());
        }
        let limit = match self.frames {
            0 => self.limits.first_frame,
            _ => self.limits.frame,
        };
        // The next look would be too late.
        let late = |since: Instant, limit: Duration| since.elapsed() + SYNC > limit;
        if late(self.frame_at, limit) {
            return Some(format!("no frame came for {} s", limit.as_secs_f64()));
        }
        // Frames reach the file a fragment later.
        let limit = limit + 2 * ffmpeg::FRAGMENT;
        let why = || format!("the file did not grow for {} s", limit.as_secs_f64());
        late(self.grew_at, limit).then(why)
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
        self.syncing.abort();
        let part = self.part.clone();
        let _ = tokio::task::spawn_blocking(move || sync(&part)).await;
    }
}

/// Waits until the signal is given.
async fn given(signal: &mut signal::Receiver<bool>) {
    let _ = signal.wait_for(|given| *given).await;
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.syncing.abort();
    }
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

/// Syncs the file whenever it has grown. A card that is slow to sync delays nothing else.
async fn keep_synced(part: PathBuf) {
    let mut synced = 0;
    loop {
        tokio::time::sleep(SYNC).await;
        let size = std::fs::metadata(&part).map_or(0, |part| part.len());
        if size == synced {
            continue;
        }
        let (file, new) = (part.clone(), synced == 0);
        let done = tokio::task::spawn_blocking(move || match new {
            true => sync(&file),
            false => std::fs::File::open(&file)?.sync_data(),
        });
        match done.await {
            Ok(Ok(())) => synced = size,
            Ok(Err(error)) => tracing::warn!("cannot sync {}: {error}", part.display()),
            Err(_) => return,
        }
    }
}

/// Syncs a file, and the folder that names it.
fn sync(path: &Path) -> io::Result<()> {
    std::fs::File::open(path)?.sync_all()?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

//! The camera: found, asked what it offers, recorded by ffmpeg, and tried again for ever when it fails.

mod ffmpeg;
pub mod format;
pub mod live;
mod supervisor;
mod sync;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::within;
use serde::Deserialize;
use tokio::sync::{mpsc, watch as signal};

use crate::clock::{Clock, Moment};
pub use ffmpeg::{Input, command};
use format::{Choice, Size, Wanted};
use supervisor::Supervisor;
use watch::Limits;

/// How long a camera may take to tell its formats.
const ANSWER: Duration = Duration::from_secs(10);

/// The camera, and how it is recorded.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraSettings {
    /// Where the pictures come from.
    pub source: Source,
    /// The size of the pictures; if the camera does not have it, the next smaller one is taken.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// Which of the camera's formats is taken.
    pub format: Wanted,
    /// How pictures are encoded that cannot be copied.
    pub encode: EncodeSettings,
    /// Whether the time is drawn into the pictures, which have to be encoded then.
    pub time: bool,
    /// The ALSA device of the sound, such as `hw:CARD=C920` [default: no sound].
    pub sound: Option<String>,
    /// When no frame comes for this long, the camera is started again.
    pub frame_deadline_seconds: f64,
    /// How long the first frame may take.
    pub first_frame_seconds: f64,
}

/// Where the pictures come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The first camera in /dev/v4l/by-id or by-path.
    Auto,
    /// A camera, by a path that does not change, such as those in /dev/v4l/by-id.
    Device(PathBuf),
    /// A test picture that ffmpeg makes up, such as `testsrc2=size=640x360:rate=15`.
    Lavfi(String),
    /// A file that stands for a camera, over and over; its video is copied.
    File(PathBuf),
}

/// How pictures are encoded that cannot be copied.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeSettings {
    /// Whether also what could be copied is encoded, to make it smaller or playable in browsers.
    pub always: bool,
    /// Threads of the encoder [default: half of the processors].
    pub threads: Option<usize>,
    /// The quality, as x264's constant rate factor: lower is better and larger.
    pub quality: u32,
    /// x264's preset: how much processor time is spent to make the video smaller.
    pub preset: String,
}

impl Default for CameraSettings {
    fn default() -> Self {
        CameraSettings {
            source: Source::Auto,
            size: Size {
                width: 1920,
                height: 1080,
            },
            fps: 30,
            format: Wanted::Auto,
            encode: EncodeSettings::default(),
            time: false,
            sound: None,
            frame_deadline_seconds: 5.0,
            first_frame_seconds: 15.0,
        }
    }
}

impl Default for EncodeSettings {
    fn default() -> Self {
        EncodeSettings {
            always: false,
            threads: None,
            quality: 23,
            preset: "superfast".into(),
        }
    }
}

impl EncodeSettings {
    fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        self.threads.unwrap_or((processors / 2).max(1))
    }
}

impl CameraSettings {
    /// Whether also what could be copied is encoded.
    fn encodes(&self) -> bool {
        self.encode.always || self.time
    }

    /// The first invalid setting, named by its field.
    pub fn check(&self) -> Result<(), String> {
        if let Source::Device(path) = &self.source
            && !path.is_absolute()
        {
            return Err("source.device: must be a path such as /dev/v4l/by-id/…".into());
        }
        within([
            ("fps", f64::from(self.fps), 1.0..=240.0),
            ("encode.quality", f64::from(self.encode.quality), 0.0..=51.0),
            (
                "encode.threads",
                self.encode.threads.unwrap_or(1) as f64,
                1.0..=64.0,
            ),
            (
                "frame_deadline_seconds",
                self.frame_deadline_seconds,
                1.0..=60.0,
            ),
            ("first_frame_seconds", self.first_frame_seconds, 1.0..=300.0),
        ])
    }

    fn limits(&self) -> Limits {
        Limits {
            frame: Duration::from_secs_f64(self.frame_deadline_seconds),
            first_frame: Duration::from_secs_f64(self.first_frame_seconds),
        }
    }
}

/// A camera that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    input: Input,
    /// What is taken of it, if it has no choice.
    choice: Option<Choice>,
}

/// What a recording reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The camera answered; this is how it is recorded.
    Negotiated {
        /// The camera.
        name: String,
        /// The format.
        format: String,
    },
    /// The first frame of the session came at this moment.
    Begun(Moment),
    /// So many frames came since the last report; the rate is per second.
    Frames {
        /// How many.
        count: u64,
        /// ffmpeg's rate.
        fps: f64,
    },
    /// Nothing is recorded any more, for this reason; it is being tried again.
    Lost(String),
    /// Frames come again, after this gap.
    Gap {
        /// When the last frame came, in milliseconds since boot.
        from_up_ms: i64,
        /// When the next one came.
        to_up_ms: i64,
        /// Why there were none in between.
        why: String,
    },
    /// The session has ended; its last frame came at this time, in milliseconds since boot.
    Ended {
        /// When.
        at_up_ms: i64,
    },
    /// The camera is another one or delivers another format, which needs a session of its own.
    Changed,
}

/// The camera.
#[derive(Debug, Clone)]
pub struct Camera {
    settings: CameraSettings,
    clock: Clock,
    devices: PathBuf,
}

/// A recording in progress.
#[derive(Debug)]
pub struct Recording {
    stop: signal::Sender<bool>,
    part: signal::Receiver<Option<PathBuf>>,
    events: mpsc::UnboundedReceiver<Event>,
    task: tokio::task::JoinHandle<()>,
}

impl Recording {
    /// The next report; none once the recording has ended by itself.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The part that is being written.
    pub fn part(&self) -> signal::Receiver<Option<PathBuf>> {
        self.part.clone()
    }

    /// Ends it in good order, and returns the last reports.
    pub async fn stop(mut self) -> Vec<Event> {
        self.stop.send_replace(true);
        let mut last = Vec::new();
        while let Some(event) = self.events.recv().await {
            last.push(event);
        }
        let _ = self.task.await;
        last
    }
}

impl Camera {
    /// A camera with these settings.
    pub fn new(settings: CameraSettings, clock: Clock) -> Self {
        Camera {
            settings,
            clock,
            devices: "/dev/v4l".into(),
        }
    }

    /// Finds the camera, without opening it.
    pub fn find(&self) -> Result<Found, String> {
        let path = match &self.settings.source {
            Source::Auto => first_in(&self.devices)?,
            Source::Device(path) if path.exists() => path.clone(),
            Source::Device(path) => {
                return Err(format!("no camera: there is no {}", path.display()));
            }
            source => {
                let (input, choice) = ffmpeg::made_up(source).expect("it is no device");
                if let Input::File(path) = &input
                    && !path.exists()
                {
                    return Err(format!("no camera: there is no {}", path.display()));
                }
                let name = match &input {
                    Input::File(path) => path.display().to_string(),
                    _ => "test picture".into(),
                };
                return Ok(Found {
                    name,
                    input,
                    choice: Some(choice),
                });
            }
        };
        Ok(Found {
            name: name(&path),
            input: Input::Device(path),
            choice: None,
        })
    }

    /// Asks the camera what it offers, and chooses.
    pub async fn negotiate(&self, found: &Found) -> Result<Choice, String> {
        let device = match (&found.choice, &found.input) {
            (Some(choice), _) => {
                let copy = choice.copy && !self.settings.encodes();
                return Ok(Choice {
                    copy,
                    ..choice.clone()
                });
            }
            (None, Input::Device(device)) => device,
            (None, _) => unreachable!("only devices have a choice"),
        };
        let listed = command("ffmpeg")
            .args(ffmpeg::list_formats(device))
            .output();
        let output = match tokio::time::timeout(ANSWER, listed).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(cannot_start(&error)),
            Err(_) => return Err(format!("{}: it does not answer", found.name)),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let offers = format::offers(&said);
        if offers.is_empty() {
            // Not the formats are the problem, but opening it: busy, pulled out, no camera at all.
            let last = said.lines().rfind(|line| !line.trim().is_empty());
            let why = last.unwrap_or("it offers no format at all").trim();
            let why = why.strip_prefix(&found.name).unwrap_or(why);
            let why = why.trim_start_matches([':', ' ']);
            return Err(format!("{}: {why}", found.name));
        }
        format::choose(&offers, &self.settings)
            .map_err(|problem| format!("{}: {problem}", found.name))
    }

    /// Records into parts in `folder` until it is stopped.
    pub fn record(&self, folder: &Path) -> Recording {
        let (stop, stopped) = signal::channel(false);
        let (part, parts) = signal::channel(None);
        // Unbounded, so that a card on which nothing can be written down for a while does not delay watching: there are two
        // reports a second.
        let (report, events) = mpsc::unbounded_channel();
        let supervisor = Supervisor::new(self.clone(), folder, stopped, part, report);
        Recording {
            stop,
            part: parts,
            events,
            task: tokio::spawn(supervisor.run()),
        }
    }

    /// The command that makes live pictures of the camera while it is not being recorded.
    pub async fn preview(&self) -> Result<tokio::process::Command, String> {
        let found = self.find()?;
        let choice = self.negotiate(&found).await?;
        let mut command = command("ffmpeg");
        command.args(ffmpeg::live_of(&found.input, &choice));
        Ok(command)
    }
}

fn cannot_start(error: &std::io::Error) -> String {
    format!("cannot start ffmpeg by setpriv: {error}; are ffmpeg and util-linux installed?")
}

/// The first camera in `by-id` or, if it has no serial number, in `by-path`.
fn first_in(devices: &Path) -> Result<PathBuf, String> {
    for folder in ["by-id", "by-path"] {
        let entries = std::fs::read_dir(devices.join(folder))
            .into_iter()
            .flatten();
        let paths = entries.flatten().map(|entry| entry.path());
        // Index 0 has the pictures; what follows are the camera's descriptions of them.
        let cameras = paths.filter(|path| path.to_string_lossy().ends_with("-video-index0"));
        if let Some(first) = cameras.min() {
            return Ok(first);
        }
    }
    Err("no camera: none is plugged in".into())
}

/// What the kernel calls the device.
fn name(path: &Path) -> String {
    let device = std::fs::canonicalize(path).ok();
    let node = device.as_deref().and_then(Path::file_name);
    let told = node.and_then(|node| {
        let at = Path::new("/sys/class/video4linux").join(node).join("name");
        std::fs::read_to_string(at).ok()
    });
    let told = told.map(|told| told.trim().to_owned());
    told.filter(|told| !told.is_empty())
        .unwrap_or_else(|| path.display().to_string())
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_found_by_a_path_that_does_not_change() {
        let devices = tempfile::tempdir().unwrap();
        let at = |name: &str| devices.path().join(name);
        let refused = "no camera: none is plugged in";
        assert_eq!(first_in(devices.path()).unwrap_err(), refused);
        for folder in ["by-path", "by-id"] {
            std::fs::create_dir(at(folder)).unwrap();
            for index in [1, 0] {
                let camera = format!("{folder}/usb-cam-video-index{index}");
                std::fs::write(at(&camera), "").unwrap();
                let first = format!("{folder}/usb-cam-video-index0");
                if index == 0 {
                    assert_eq!(first_in(devices.path()).unwrap(), at(&first));
                }
            }
        }
    }
}

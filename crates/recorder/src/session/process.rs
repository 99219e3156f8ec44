//! After the stop: parts become one video, and only when that is known to be good are they removed.
//!
//! Each step can be repeated: a cut at any moment leaves either the parts, or a video that is checked again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::folder::Folder;
use super::recover::{Parts, parts};
use super::space::{bytes, disk};
use super::store::Made;
use super::tool::{self, ToolError, low_priority, patience};

/// The width of thumbnails.
const THUMBNAIL: &str = "scale=320:-2";

/// Why there is no video.
#[derive(Debug)]
pub enum Failure {
    /// There never will be.
    Corrupted(String),
    /// There will be one once this is over.
    Later(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Later(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Later(error.into())
    }
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Refused(why) => Failure::Corrupted(why),
            ToolError::Failed(_) => Failure::Later(error.into()),
        }
    }
}

/// What ffprobe says of a video.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Probed {
    /// Its frames.
    pub frames: u64,
    /// How long it plays.
    pub duration_ms: i64,
    /// How many frames do not come after the one before.
    pub backward: u64,
}

/// Makes the video of a session that began at this time. At least `reserve` bytes stay free.
pub async fn process(folder: &Folder, started_at_ms: i64, reserve: u64) -> Result<Made, Failure> {
    let taken = folder.clone();
    let found = blocking(move || Ok(parts(&taken)?)).await?;
    let mut notes = found.notes.clone();
    // A video that is there already was made before a cut, which may have come while its parts were being removed: it is not
    // made anew of what is left of them.
    let (video, probed) = match made(folder, &found).await? {
        Some(made) => made,
        None if found.files.is_empty() => return Err(Failure::Corrupted(nothing(&notes))),
        None => {
            let video = folder.video();
            let video = video.unwrap_or_else(|| folder.video_to_be(started_at_ms));
            join(folder, &found, &video, reserve).await?;
            let probed = probe(&video).await?;
            if let Some(problem) = wrong(&probed, &found) {
                return Err(Failure::Corrupted(problem));
            }
            (video, probed)
        }
    };
    let (hashed, size) = (video.clone(), std::fs::metadata(&video)?.len());
    let sha256 = blocking(move || hash(&hashed)).await?;
    if let Err(error) = thumbnail(&video, &folder.thumbnail(), probed.duration_ms).await {
        notes.push(format!("there is no picture of it: {error}"));
    }
    Ok(Made {
        bytes: size,
        duration_ms: probed.duration_ms,
        sha256,
        notes,
    })
}

/// The video that was made before, if it has all that the parts have.
async fn made(folder: &Folder, parts: &Parts) -> Result<Option<(PathBuf, Probed)>, Failure> {
    let Some(video) = folder.video() else {
        return Ok(None);
    };
    match probe(&video).await {
        Ok(probed) => {
            let is_whole = probed.plays() && probed.frames >= parts.frames;
            Ok(is_whole.then_some((video, probed)))
        }
        Err(ToolError::Refused(why)) if parts.files.is_empty() => {
            let why = format!("its video cannot be read: {why}");
            Err(Failure::Corrupted(why))
        }
        Err(ToolError::Refused(why)) => {
            tracing::warn!("the video is made anew of its parts: {why}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes the parts of a finished session.
pub fn remove_parts(folder: &Folder) -> io::Result<()> {
    for part in folder.parts()? {
        std::fs::remove_file(part)?;
    }
    Ok(())
}

impl Probed {
    /// Whether it has frames, one after the other.
    fn plays(&self) -> bool {
        self.frames > 0 && self.backward == 0
    }
}

/// Why there is no video.
fn nothing(notes: &[String]) -> String {
    match notes.is_empty() {
        true => "nothing was recorded".into(),
        false => format!("nothing of it can be used: {}", notes.join("; ")),
    }
}

/// Why the video is not what was recorded.
fn wrong(probed: &Probed, parts: &Parts) -> Option<String> {
    let (frames, recorded, backward) = (probed.frames, parts.frames, probed.backward);
    if frames != recorded {
        return Some(format!("the video has {frames} of {recorded} frames"));
    }
    (!probed.plays()).then(|| format!("{backward} frames of the video run backwards in time"))
}

/// Joins the parts without encoding them anew.
async fn join(folder: &Folder, parts: &Parts, video: &Path, reserve: u64) -> Result<(), Failure> {
    let (list, new) = (folder.path().join("parts.txt"), folder.copy());
    // What a cut or a full disk left of an earlier attempt takes the room that this one needs.
    forget(&new)?;
    let free = disk(folder.path())?.free_bytes;
    if free < parts.bytes + reserve {
        // A single part plays as it is; only seeking in it is slow.
        if let [only] = &*parts.files {
            tracing::warn!("too little room for a copy: the recording stays as it was written");
            durable::rename(only, video)?;
            return Ok(());
        }
        let (needed, free) = (bytes(parts.bytes + reserve), bytes(free));
        let why = format!("joining the parts needs {needed} of room, and {free} are free");
        return Err(Failure::Later(anyhow::anyhow!(why)));
    }
    let mut lines = String::from("ffconcat version 1.0\n");
    for part in &parts.files {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        lines.push_str(&format!("file {name}\n"));
    }
    write(&list, lines.as_bytes())?;
    let mut joining = low_priority("ffmpeg");
    joining.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    joining
        .args(["-f", "concat", "-safe", "0", "-i"])
        .arg(&list);
    joining.args(["-map", "0", "-c", "copy", "-f", "mp4"]);
    joining.args(["-movflags", "+faststart", "-y"]).arg(&new);
    if let Err(error) = finish("ffmpeg", joining, patience(parts.bytes)).await {
        forget(&new)?;
        return Err(match error {
            // Whoever else filled the disk meanwhile may be the reason.
            ToolError::Refused(why) if disk(folder.path())?.free_bytes >= reserve => {
                Failure::Corrupted(format!("the parts cannot be joined: {why}"))
            }
            error => Failure::Later(anyhow::anyhow!("the parts cannot be joined: {error}")),
        });
    }
    let video = video.to_owned();
    blocking(move || {
        File::open(&new)?.sync_all()?;
        durable::rename(&new, &video)?;
        Ok(forget(&list)?)
    })
    .await?;
    Ok(())
}

/// Removes a file, unless it is gone already.
fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads all frames of a video.
pub async fn probe(video: &Path) -> Result<Probed, ToolError> {
    let bytes = std::fs::metadata(video).map_or(0, |file| file.len());
    let mut probing = low_priority("ffprobe");
    probing.args(["-v", "error", "-select_streams", "v:0"]);
    probing.args(["-show_entries", "packet=dts:format=duration"]);
    probing.args(["-of", "csv"]).arg(video);
    tool::run("ffprobe", probing, patience(bytes), read).await
}

async fn read(stdout: impl AsyncRead + Unpin) -> io::Result<Probed> {
    let mut lines = BufReader::new(stdout).lines();
    let (mut probed, mut last) = (Probed::default(), i64::MIN);
    while let Some(line) = lines.next_line().await? {
        let mut fields = line.split(',');
        match (fields.next(), fields.next()) {
            (Some("packet"), Some(dts)) => {
                probed.frames += 1;
                if let Ok(dts) = dts.parse::<i64>() {
                    probed.backward += u64::from(dts <= last);
                    last = dts;
                }
            }
            (Some("format"), Some(seconds)) => {
                let seconds: f64 = seconds.parse().unwrap_or(0.0);
                probed.duration_ms = (seconds * 1000.0) as i64;
            }
            _ => {}
        }
    }
    Ok(probed)
}

/// Makes a picture of a tenth into the video, but not too late: that is not the beginning, when nothing happens.
async fn thumbnail(video: &Path, picture: &Path, duration_ms: i64) -> Result<(), ToolError> {
    let seconds = (duration_ms as f64 / 10_000.0).min(30.0);
    let mut making = low_priority("ffmpeg");
    making.args(["-hide_banner", "-nostdin", "-loglevel", "error"]);
    making
        .args(["-ss", &format!("{seconds:.3}"), "-i"])
        .arg(video);
    making.args(["-frames:v", "1", "-vf", THUMBNAIL, "-threads", "1"]);
    making
        .args(["-f", "image2", "-update", "1", "-y"])
        .arg(picture);
    finish("ffmpeg", making, patience(0)).await
}

/// Runs a program that writes nothing to its output.
async fn finish(
    program: &str,
    command: tokio::process::Command,
    patience: std::time::Duration,
) -> Result<(), ToolError> {
    let takes = async |mut stdout: tokio::process::ChildStdout| {
        stdout.read_to_end(&mut Vec::new()).await.map(drop)
    };
    tool::run(program, command, patience, takes).await
}

async fn blocking<V: Send + 'static>(
    does: impl FnOnce() -> anyhow::Result<V> + Send + 'static,
) -> anyhow::Result<V> {
    tokio::task::spawn_blocking(does).await?
}

/// The SHA-256 of a file, in hexadecimal digits.
fn hash(path: &Path) -> anyhow::Result<String> {
    let (mut file, mut chunk) = (File::open(path)?, vec![0; 256 << 10]);
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            count => hash.update(&chunk[..count]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options.write(true).create(true).truncate(true).open(path)?;
    file.write_all(content)
}

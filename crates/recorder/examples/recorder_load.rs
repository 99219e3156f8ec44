//! What recording costs beside a plain ffmpeg and, where it is installed, beside motion; what a kill costs; and how fast
//! uploads are beside curl. In JSON.
//!
//! `cargo run --release -p recorder --example recorder_load -- [SECONDS] [KILLS]`

#![expect(
    clippy::disallowed_methods,
    reason = "what a comparison writes need not survive a cut"
)]

#[path = "recorder_load/kills.rs"]
mod kills;
#[path = "recorder_load/streams.rs"]
mod streams;
#[path = "recorder_load/upload.rs"]
mod upload;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use recorder::config::Config;
use serde_json::json;

/// The picture of the camera.
const PICTURE: &str = "testsrc2=size=1280x720:rate=30";

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(upload::SINK) {
        return upload::sink();
    }
    kit::load::main(
        [60, 50],
        |[seconds, kills]| {
            let directory = tempfile::tempdir()?;
            let duration = Duration::from_secs(seconds as u64);
            // motion does not begin a file anew without losing pictures.
            camera(directory.path(), duration + streams::START * 6)?;
            Ok(json!({
                "seconds": seconds,
                "copy": streams::measure("copy", directory.path(), duration)?,
                "encode": streams::measure("encode", directory.path(), duration)?,
                "kills": kills::measure(directory.path(), kills)?,
                "upload": upload::measure()?,
            }))
        },
        |arguments| {
            let [way, directory] = arguments else {
                anyhow::bail!("serve WAY DIRECTORY");
            };
            let config = config(way, Path::new(directory))?;
            kit::load::serve("recorder", config, recorder::run)
        },
    )
}

/// The file that stands for a camera with an encoder of its own.
fn camera_file(directory: &Path) -> PathBuf {
    directory.join("camera.mp4")
}

fn camera(directory: &Path, length: Duration) -> Result<()> {
    let picture = format!("{PICTURE}:duration={}", length.as_secs());
    let made = ffmpeg()
        .args(["-f", "lavfi", "-i", &picture])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M"])
        .args(["-g", "30", "-pix_fmt", "yuv420p", "-y"])
        .arg(camera_file(directory))
        .status()
        .context("cannot start ffmpeg\nhint: apt-get install --no-install-recommends ffmpeg")?;
    ensure!(made.success(), "ffmpeg makes no file");
    Ok(())
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-loglevel", "error"])
        .stdin(Stdio::null());
    command
}

/// A recorder that always records what the camera delivers: as it is, or encoded anew.
fn config(way: &str, directory: &Path) -> Result<Config> {
    Ok(serde_json::from_value(json!({
        "data": { "directory": directory.join(way) },
        "camera": {
            "source": { "file": camera_file(directory) },
            "encode": { "threads": 1, "always": way == "encode" },
        },
        "schedule": { "always": true },
        "space": { "min_free_bytes": 0, "reserve_bytes": 0 },
    }))?)
}

//! ffmpeg's command lines.
//!
//! ffmpeg writes the file itself: what is copied does not pass through this process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::format::Choice;
use super::{CameraSettings, Source};

/// The length of a fragment in the file. What is not yet a complete fragment is lost by a cut, and so is what is not yet
/// synced (see [`super::sync`]); together that must stay below a second.
pub const FRAGMENT: Duration = Duration::from_millis(500);

/// How often ffmpeg reports its progress.
pub const REPORTS: Duration = Duration::from_millis(500);

/// Draws the local time into the upper left corner.
const TIME: &str = r"drawtext=text='%{localtime\:%Y-%m-%d %H\\\:%M\\\:%S}':x=8:y=8:fontsize=h/24:fontcolor=white:box=1:boxcolor=black@0.5";

/// The width of live pictures at most.
const LIVE_WIDTH: u32 = 640;

/// What ffmpeg reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A camera.
    Device(PathBuf),
    /// A test picture, in ffmpeg's words.
    Lavfi(String),
    /// A file, over and over, as fast as it was recorded.
    File(PathBuf),
}

/// An ffmpeg that dies with this process, however this process dies: a recorder that was killed and started again would
/// find the camera busy.
pub fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", program])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn quiet(level: &str) -> Vec<OsString> {
    let words = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", level];
    words.map(OsString::from).into()
}

fn input(input: &Input, choice: &Choice) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
    match input {
        Input::Device(path) => {
            add(&["-f", "v4l2", "-thread_queue_size", "64"]);
            if let Some(format) = &choice.input {
                add(&["-input_format", format]);
            }
            if let Some(size) = choice.size {
                add(&["-video_size", &size.to_string()]);
            }
            if let Some(fps) = choice.fps {
                add(&["-framerate", &fps.to_string()]);
            }
            words.extend(["-i".into(), path.into()]);
        }
        Input::Lavfi(graph) => add(&["-re", "-f", "lavfi", "-i", graph]),
        Input::File(path) => {
            add(&["-re", "-stream_loop", "-1", "-fflags", "+genpts"]);
            words.extend(["-i".into(), path.into()]);
        }
    }
    words
}

/// Lists the formats of a camera.
pub fn list_formats(device: &Path) -> Vec<OsString> {
    let mut words = quiet("info");
    words.extend(["-f", "v4l2", "-list_formats", "all", "-i"].map(OsString::from));
    words.push(device.into());
    words
}

/// Records into a part, and reports progress on stdout.
pub fn record(
    from: &Input,
    choice: &Choice,
    settings: &CameraSettings,
    part: &Path,
) -> Vec<OsString> {
    let mut words = quiet("warning");
    let reports = REPORTS.as_secs_f64().to_string();
    words.extend(["-stats_period", &reports, "-progress", "pipe:1"].map(OsString::from));
    words.extend(input(from, choice));
    let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
    if let Some(sound) = &settings.sound {
        add(&["-f", "alsa", "-thread_queue_size", "1024", "-i", sound]);
        add(&["-map", "0:v:0", "-map", "1:a:0"]);
        add(&["-c:a", "aac", "-b:a", "128k"]);
    } else {
        add(&["-map", "0:v:0"]);
    }
    match choice.copy {
        true => add(&["-c:v", "copy"]),
        false => {
            let encode = &settings.encode;
            let threads = encode.threads().to_string();
            let quality = encode.quality.to_string();
            // Without zero latency the encoder would hold back a second and more, which a cut loses.
            add(&["-c:v", "libx264", "-preset", &encode.preset]);
            add(&["-tune", "zerolatency", "-crf", &quality]);
            add(&["-threads", &threads, "-filter_threads", "1"]);
            add(&["-pix_fmt", "yuv420p"]);
            if settings.time {
                add(&["-vf", TIME]);
            }
            add(&["-force_key_frames", "expr:gte(t,n_forced)"]);
        }
    }
    let fragment = FRAGMENT.as_micros().to_string();
    add(&["-f", "mp4", "-movflags", "+empty_moov+default_base_moof"]);
    add(&["-frag_duration", &fragment, "-flush_packets", "1", "-y"]);
    words.push(part.into());
    words
}

/// Makes live pictures of what comes in on stdin, a fragmented MP4.
pub fn live_of_stdin() -> Vec<OsString> {
    let mut words = quiet("error");
    // Only whole pictures are decoded, which costs least.
    let read = "-probesize 100000 -analyzeduration 0 -skip_frame nokey";
    words.extend(read.split(' ').map(OsString::from));
    words.extend(["-f", "mp4", "-i", "pipe:0"].map(OsString::from));
    words.extend(live_output());
    words
}

/// Makes live pictures of a camera that is not being recorded.
pub fn live_of(from: &Input, choice: &Choice) -> Vec<OsString> {
    let mut words = quiet("error");
    words.extend(input(from, choice));
    words.extend(live_output());
    words
}

/// At most two pictures a second on stdout, each preceded by its length.
fn live_output() -> Vec<OsString> {
    let filter = format!(
        "select='isnan(prev_selected_t)+gte(t-prev_selected_t,0.49)',scale=w='min({LIVE_WIDTH},iw)':h=-2"
    );
    let words = ["-an", "-vf", &filter, "-fps_mode", "passthrough"];
    let threads = ["-threads", "1", "-filter_threads", "1"];
    let more = ["-c:v", "mjpeg", "-q:v", "6", "-flush_packets", "1"];
    let output = ["-f", "mpjpeg", "pipe:1"];
    let all = words.into_iter().chain(threads).chain(more).chain(output);
    all.map(OsString::from).collect()
}

/// What to read for a source that needs no search.
pub fn made_up(source: &Source) -> Option<(Input, Choice)> {
    let choice = |copy| Choice {
        input: None,
        size: None,
        fps: None,
        copy,
    };
    match source {
        Source::Lavfi(graph) => Some((Input::Lavfi(graph.clone()), choice(false))),
        Source::File(path) => Some((Input::File(path.clone()), choice(true))),
        Source::Auto | Source::Device(_) => None,
    }
}

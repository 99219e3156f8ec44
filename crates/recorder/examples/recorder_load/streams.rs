//! The recorder, a plain ffmpeg that writes segments, and motion: all record the same file at the same time, so that
//! whatever else the machine does disturbs them alike.
//!
//! motion looks for motion in each picture, which is its purpose, so it decodes also what it only copies. It is told to
//! take everything for motion. What it encodes, it encodes with x264's preset `ultrafast`, the others with `superfast`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kit::load::Measured;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{camera_file, ffmpeg};

/// How long all of them run before they are measured.
pub const START: Duration = Duration::from_secs(5);

/// What the processes of a program use.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    cpu_seconds: f64,
    resident_bytes: u64,
}

/// Measures what it costs to copy a stream, or to encode it anew.
pub fn measure(way: &str, directory: &Path, duration: Duration) -> Result<Value> {
    let place = directory.to_str().context("the directory has no name")?;
    let service = Measured::start(&[way, place], "/health/ready")?;
    let idle = service.usage().resident_bytes;
    let plain = Program::start("plain_ffmpeg", way, directory, plain)?;
    let motion = match Command::new("motion").arg("-h").output() {
        Ok(_) => Some(Program::start("motion", way, directory, motion)?),
        Err(_) => None,
    };
    let begun = Instant::now();
    let recording = loop {
        match recording_in(&directory.join(way)) {
            Some(process) if begun.elapsed() > START => break process,
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
        ensure!(begun.elapsed() < 4 * START, "nothing is recorded");
    };
    let itself = parent_of(recording)?;
    let ids = [
        Some(itself),
        Some(recording),
        Some(plain.child.id()),
        motion.as_ref().map(|motion| motion.child.id()),
    ];
    // The kernel writes for the others whenever it likes, in threads of its own.
    let syncing = || used(itself, |thread| thread == "sync");
    let used = || {
        let each = ids.map(|id| id.map_or(Ok(Used::default()), |id| used(id, |_| true)));
        each.into_iter().chain([syncing()])
    };
    let before: Vec<_> = used().collect();
    std::thread::sleep(duration);
    let mut costs = Vec::new();
    for (before, after) in before.into_iter().zip(used()) {
        let (before, after) = (before?, after?);
        let share = (after.cpu_seconds - before.cpu_seconds) / duration.as_secs_f64();
        costs.push((share * 100.0, after.resident_bytes));
    }
    drop(service);
    let written = [
        Some(frames_per_second(&directory.join(way).join("videos/1"))?),
        Some(plain.end()?),
        motion.map(Program::end).transpose()?,
    ];
    let [own, its_ffmpeg, plain, motion, syncing] = costs[..] else {
        unreachable!("there are five");
    };
    let program = |(percent, resident): (f64, u64), fps: Option<f64>| {
        fps.map(|fps| {
            json!({
                "processor_percent": rounded(percent, 3),
                "frames_per_second": rounded(fps, 1),
                "resident_bytes": resident,
            })
        })
    };
    let whole = (own.0 + its_ffmpeg.0, own.1 + its_ffmpeg.1);
    // By what they have written: who drops pictures has less to do.
    let each = |cost: (f64, u64), fps: Option<f64>| fps.map(|fps| cost.0 / fps);
    let ratio = |of: Option<f64>, to: Option<f64>| Some(rounded(of? / to?, 3));
    let (ours, plains) = (each(whole, written[0]), each(plain, written[1]));
    let unsynced = each((whole.0 - syncing.0, whole.1), written[0]);
    Ok(json!({
        "recorder": program(whole, written[0]),
        "of_which_itself": { "processor_percent": rounded(own.0, 3), "resident_bytes": own.1, "resident_bytes_idle": idle },
        "of_which_it_syncs": { "processor_percent": rounded(syncing.0, 3) },
        "plain_ffmpeg": program(plain, written[1]),
        "motion": program(motion, written[2]).unwrap_or_else(|| json!("not installed")),
        "processor_per_frame": {
            "its_ffmpeg_to_plain_ffmpeg": ratio(each(its_ffmpeg, written[0]), plains),
            "recorder_to_plain_ffmpeg": ratio(ours, plains),
            "recorder_without_syncing_to_plain_ffmpeg": ratio(unsynced, plains),
            "recorder_to_motion": ratio(ours, each(motion, written[2])),
        },
    }))
}

fn rounded(number: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (number * unit).round() / unit
}

/// A program that records into a folder of its own.
struct Program {
    child: Child,
    folder: PathBuf,
}

impl Program {
    fn start(
        name: &str,
        way: &str,
        directory: &Path,
        command: fn(&str, &Path, &Path) -> Result<Command>,
    ) -> Result<Self> {
        let folder = directory.join(format!("{name}-{way}"));
        std::fs::create_dir(&folder)?;
        let mut command = command(way, &camera_file(directory), &folder)?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Program { child, folder })
    }

    /// Ends it in good order; returns how many pictures it has written for each second.
    fn end(mut self) -> Result<f64> {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::TERM)?;
        self.child.wait()?;
        let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        frames_per_second(&self.folder).with_context(log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same stream, into segments of a minute.
fn plain(way: &str, camera: &Path, folder: &Path) -> Result<Command> {
    let mut command = ffmpeg();
    command
        .args(["-re", "-stream_loop", "-1", "-fflags", "+genpts", "-i"])
        .arg(camera);
    match way {
        "copy" => command.args(["-c", "copy"]),
        _ => command
            .args(["-c:v", "libx264", "-preset", "superfast", "-threads", "1"])
            .args(["-tune", "zerolatency", "-crf", "23", "-pix_fmt", "yuv420p"]),
    };
    command
        .args(["-f", "segment", "-segment_time", "60", "-y"])
        .arg(folder.join("%d.mp4"));
    Ok(command)
}

/// The same with motion.
fn motion(way: &str, camera: &Path, folder: &Path) -> Result<Command> {
    let passes = if way == "copy" { "on" } else { "off" };
    let settings = format!(
        "daemon off\nnetcam_url file://{}\nwidth 1280\nheight 720\nframerate 30\nemulate_motion on\n\
         picture_output off\nmovie_output on\nmovie_codec mp4\nmovie_passthrough {passes}\nmovie_max_time 60\n\
         webcontrol_port 0\nstream_port 0\ntext_left\ntext_right\ntarget_dir {}\nmovie_filename %v\n",
        camera.display(),
        folder.display()
    );
    let file = folder.join("motion.conf");
    std::fs::write(&file, settings)?;
    let mut command = Command::new("motion");
    command.arg("-n").arg("-c").arg(file);
    Ok(command)
}

/// How many pictures the videos in a folder have for each second that they last.
fn frames_per_second(folder: &Path) -> Result<f64> {
    let (mut frames, mut seconds) = (0.0, 0.0);
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "mp4") {
            continue;
        }
        let probed = Command::new("ffprobe")
            .args(["-v", "error", "-of", "json", "-select_streams", "v:0"])
            .args(["-show_entries", "packet=pts_time,duration_time"])
            .arg(&path)
            .output()
            .context("cannot start ffprobe")?;
        let said: Value = serde_json::from_slice(&probed.stdout)?;
        let packets = said["packets"].as_array().context("no packets")?;
        let number = |packet: &Value, name: &str| packet[name].as_str()?.parse::<f64>().ok();
        let times = || {
            packets
                .iter()
                .filter_map(|packet| number(packet, "pts_time"))
        };
        let first = times().fold(f64::INFINITY, f64::min);
        let last = times().fold(0.0, f64::max);
        if packets.len() > 1 {
            frames += (packets.len() - 1) as f64;
            seconds += last - first;
        }
    }
    ensure!(
        seconds > 0.0,
        "nothing was written into {}",
        folder.display()
    );
    Ok(frames / seconds)
}

/// The ffmpeg that writes a part in a directory.
fn recording_in(directory: &Path) -> Option<u32> {
    let place = directory.to_str()?;
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut found = processes.filter_map(|process| {
        let words = std::fs::read(process.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words);
        let records = words.starts_with("ffmpeg\0") && words.contains(place);
        (records && words.contains("-progress"))
            .then(|| process.file_name().to_str()?.parse().ok())?
    });
    found.next()
}

/// Who has started a process: the recorder, of its ffmpeg.
fn parent_of(process: u32) -> Result<u32> {
    Ok(status(process, "PPid:")? as u32)
}

/// A number that the kernel tells of a process.
fn status(process: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let found = status.lines().find_map(|line| line.strip_prefix(name));
    let number = found.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("no {name}"))?.parse()?)
}

/// What the threads with such names use. The processor time is to the nanosecond: that of ticks is too coarse for what
/// copying costs.
fn used(process: u32, of: fn(&str) -> bool) -> Result<Used> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.path();
        if !of(std::fs::read_to_string(thread.join("comm"))?.trim()) {
            continue;
        }
        let told = std::fs::read_to_string(thread.join("schedstat"))?;
        let first = told.split_whitespace().next();
        nanoseconds += first.context("no processor time")?.parse::<u64>()?;
    }
    Ok(Used {
        cpu_seconds: nanoseconds as f64 / 1e9,
        resident_bytes: status(process, "VmRSS:")? * 1024,
    })
}

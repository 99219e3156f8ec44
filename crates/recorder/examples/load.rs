//! What recording costs, beside a plain ffmpeg that writes the same stream into segments; in JSON.
//!
//! `cargo run --release -p recorder --example load -- [SECONDS]`
//!
//! Both run at the same time, so that whatever else the machine does disturbs both alike.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kit::load::Measured;
use recorder::config::Config;
use serde_json::{Value, json};

/// What both record: a file that stands for a camera with an encoder, or a test picture that has to be encoded.
const CAMERA: &str = "testsrc2=size=1280x720:rate=30";

/// How long both run before they are measured.
const START: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, way, directory] = &*arguments
        && first == "serve"
    {
        return serve(way, Path::new(directory));
    }
    let seconds = arguments.first().map_or(Ok(30), |text| text.parse())?;
    let directory = tempfile::tempdir()?;
    let camera = directory.path().join("camera.mp4");
    let made = ffmpeg(&["-f", "lavfi", "-i", &format!("{CAMERA}:duration=10")])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M"])
        .args(["-g", "30", "-pix_fmt", "yuv420p", "-y"])
        .arg(&camera)
        .status()
        .context("cannot start ffmpeg")?;
    ensure!(made.success(), "ffmpeg makes no file");
    let mut report = json!({ "seconds": seconds });
    for way in ["copy", "encode"] {
        report[way] = measure(way, directory.path(), Duration::from_secs(seconds))?;
    }
    println!("{report:#}");
    Ok(())
}

fn ffmpeg(words: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-loglevel", "error"])
        .args(words)
        .stdin(Stdio::null());
    command
}

fn config(way: &str, directory: &Path) -> Result<Config> {
    let source = match way {
        "copy" => json!({ "file": directory.join("camera.mp4") }),
        _ => json!({ "lavfi": CAMERA }),
    };
    Ok(serde_json::from_value(json!({
        "data": { "directory": directory.join(way) },
        "camera": { "source": source, "encode": { "threads": 1 } },
        "schedule": { "always": true },
        "space": { "min_free_bytes": 0, "reserve_bytes": 0 },
    }))?)
}

fn serve(way: &str, directory: &Path) -> Result<()> {
    let config = config(way, directory)?;
    kit::load::serve("recorder", config, recorder::run)
}

/// The same stream, into segments of a minute.
fn plain(way: &str, directory: &Path) -> Result<Child> {
    let camera = directory.join("camera.mp4");
    let mut command = match way {
        "copy" => {
            let mut command = ffmpeg(&["-re", "-stream_loop", "-1", "-fflags", "+genpts", "-i"]);
            command.arg(camera).args(["-c", "copy"]);
            command
        }
        _ => {
            let mut command = ffmpeg(&["-re", "-f", "lavfi", "-i", CAMERA]);
            command.args(["-c:v", "libx264", "-preset", "superfast", "-threads", "1"]);
            command.args(["-tune", "zerolatency", "-crf", "23", "-pix_fmt", "yuv420p"]);
            command
        }
    };
    command.args(["-f", "segment", "-segment_time", "60", "-y"]);
    let segments = directory.join("plain-%d.mp4");
    Ok(command.arg(segments).spawn()?)
}

fn measure(way: &str, directory: &Path, duration: Duration) -> Result<Value> {
    let place = directory.to_str().context("the directory has no name")?;
    let mut plain = plain(way, directory)?;
    let measured = (|| {
        let service = Measured::start_with(&[way, place], "/health/ready")?;
        let idle = service.resident_bytes()?;
        let begun = Instant::now();
        let recording = loop {
            match recording_in(&directory.join(way)) {
                Some(process) if begun.elapsed() > START => break process,
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
            ensure!(begun.elapsed() < 4 * START, "nothing is recorded");
        };
        let used = || -> Result<[f64; 3]> {
            let own = service.cpu_seconds()?;
            Ok([own, cpu_seconds(recording)?, cpu_seconds(plain.id())?])
        };
        let before = used()?;
        std::thread::sleep(duration);
        let after = used()?;
        let percent = |index: usize| {
            let share = (after[index] - before[index]) / duration.as_secs_f64();
            (share * 10_000.0).round() / 100.0
        };
        Ok(json!({
            "resident_bytes_at_start": idle,
            "resident_bytes_recording": service.resident_bytes()?,
            "processor_percent": {
                "recorder": percent(0), "its_ffmpeg": percent(1), "plain_ffmpeg": percent(2),
            },
        }))
    })();
    plain.kill()?;
    plain.wait()?;
    measured
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

/// The processor time of a process to the nanosecond: that of ticks is too coarse for what copying costs.
fn cpu_seconds(process: u32) -> Result<f64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let told = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = told.split_whitespace().next();
        sum += first.context("no processor time")?.parse::<u64>()?;
    }
    Ok(sum as f64 / 1e9)
}

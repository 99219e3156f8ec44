//! Uploads a file over HTTP PUT, and does the same with curl; the server, in a process of its own, throws everything away.
//!
//! What the recorder takes includes that it compares the file with its SHA-256 before it sends it, writes its progress to
//! the card after each part, and asks for the size afterwards; how long the SHA-256 alone takes is measured as well.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kit::{Credentials, HttpSettings, Kit, ProcessUsage, Service};
use recorder::clock::Clock;
use recorder::session::create_database;
use recorder::upload::{Settings, Status, Uploads, Video};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const BYTES: u64 = 512 << 20;
/// How often each uploads, in turn: a machine is not as fast in one minute as in the next.
const ROUNDS: i64 = 5;

/// The argument with which this program is the server.
pub const SINK: &str = "sink";

/// Uploads in turn, and compares.
pub fn measure() -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("video.mp4");
    let mut content = vec![0; BYTES as usize];
    fastrand::Rng::with_seed(1).fill(&mut content);
    std::fs::write(&path, &content)?;
    let began = Instant::now();
    let sum = Sha256::digest(&content);
    let sum_seconds = began.elapsed().as_secs_f64();
    drop(content);
    let sha256: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();

    let sink = Sink::start()?;
    let (mut ours, mut sent, mut cpu, mut curls) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        // Another name each time: what is uploaded is not uploaded again.
        let name = folder.path().join(format!("{round}.mp4"));
        std::fs::hard_link(&path, &name)?;
        let before = ProcessUsage::now().cpu_seconds;
        let (whole, sending) = recorder(&sink, folder.path(), &name, round, &sha256)?;
        cpu.push(ProcessUsage::now().cpu_seconds - before);
        ours.push(whole);
        sent.push(sending);
        curls.push(curl(&sink, &name)?);
    }
    let rate = |seconds: f64| (BYTES as f64 / 1e6 / seconds).round();
    Ok(json!({
        "bytes": BYTES,
        "recorder_mb_per_second": rate(median(&mut ours)),
        "recorder_sending_mb_per_second": rate(median(&mut sent)),
        "recorder_cpu_seconds": (median(&mut cpu) * 100.0).round() / 100.0,
        "curl_mb_per_second": rate(median(&mut curls)),
        "sha256_mb_per_second": rate(sum_seconds),
    }))
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// How long an upload takes, in seconds: all of it, and from its first byte.
fn recorder(
    sink: &Sink,
    folder: &Path,
    path: &Path,
    session: i64,
    sha256: &str,
) -> anyhow::Result<(f64, f64)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let service = Service {
        name: "recorder",
        version: "bench",
    };
    let credentials = Credentials::in_directory("recorder", None);
    let kit = Kit::new(service, HttpSettings::default(), credentials, listener);
    let database = create_database(folder)?;
    let settings: Value = json!({ "target": "put", "put": { "url": sink.url() } });
    let settings: Settings = serde_json::from_value(settings)?;
    let uploads = Uploads::start(&kit, settings, &database, Clock::new())?;
    let (began, mut first) = (Instant::now(), None);
    uploads.add(Video {
        session,
        path: path.to_owned(),
        bytes: BYTES,
        sha256: sha256.to_owned(),
        title: "Upload".into(),
        recorded_at_ms: 0,
        duration_ms: 0,
    });
    loop {
        let snapshot = uploads.snapshot();
        match &snapshot.statuses[&session] {
            Status::Completed => break,
            Status::Pending | Status::Uploading => {}
            other => anyhow::bail!("{other:?}"),
        }
        if first.is_none() && snapshot.uploading.is_some_and(|progress| progress.sent > 0) {
            first = Some(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let first = first.context("it was faster than could be seen")?;
    Ok((began.elapsed().as_secs_f64(), first.elapsed().as_secs_f64()))
}

fn curl(sink: &Sink, path: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    let status = Command::new("curl")
        .args(["--silent", "--fail", "--upload-file"])
        .arg(path)
        .arg(format!("{}/curl.mp4", sink.url()))
        .status()
        .context("cannot start curl")?;
    ensure!(status.success(), "curl: {status}");
    Ok(began.elapsed().as_secs_f64())
}

/// The server's process.
struct Sink {
    child: Child,
    port: u16,
}

impl Sink {
    fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(SINK)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        let said = child.stdout.take().context("its output is piped")?;
        BufReader::new(said).read_line(&mut port)?;
        Ok(Sink {
            child,
            port: port.trim().parse()?,
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that throws away what is put, and says that it has it.
pub fn sink() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || {
            // A client that hangs up ends its own connection only.
            let _ = swallow(stream);
        });
    }
    Ok(())
}

fn swallow(stream: TcpStream) -> anyhow::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut stream = BufReader::with_capacity(128 << 10, stream);
    loop {
        let (mut lines, mut length, mut last) = (Vec::new(), 0, None);
        loop {
            let mut line = String::new();
            ensure!(stream.read_line(&mut line)? > 0, "the client has hung up");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
            if let Some((_, range)) = line.split_once("content-range: bytes ") {
                let (_, range) = range.split_once('-').context("a range")?;
                let (end, total) = range.split_once('/').context("a length")?;
                let (end, total): (u64, u64) = (end.parse()?, total.parse()?);
                last = Some(end).filter(|end| end + 1 < total);
            }
            if line.starts_with("expect:") {
                answers.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            lines.push(line);
        }
        if lines[0].starts_with("head ") {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BYTES}\r\n\r\n");
            answers.write_all(head.as_bytes())?;
            continue;
        }
        std::io::copy(&mut (&mut stream).take(length), &mut std::io::sink())?;
        let answer = match last {
            Some(last) => {
                format!("HTTP/1.1 308 More\r\nrange: bytes=0-{last}\r\ncontent-length: 0\r\n\r\n")
            }
            None => "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        answers.write_all(answer.as_bytes())?;
    }
}

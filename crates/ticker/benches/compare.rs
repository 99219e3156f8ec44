//! Races `ticker run` against `writer.py` on the same feed, each alone on one core, the feed on another.
//!
//! `cargo bench -p ticker --bench compare -- PYTHON`, where PYTHON has websockets, pyarrow, orjson and uvloop.

#![expect(
    clippy::disallowed_methods,
    reason = "what a comparison writes need not survive a cut"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use fake_exchange::{Feed, Format, Session, kept};
use serde_json::{Value, json};

const SYMBOLS: [&str; 8] = [
    "AAAUSD", "BBBUSD", "CCCUSD", "DDDUSD", "EEEUSD", "FFFUSD", "GGGUSD", "HHHUSD",
];
// The feed makes them all beforehand: 170 bytes each.
const FOR_TICKER: u64 = 6_000_000;
// Enough for its start to count for nothing.
const FOR_PYTHON: u64 = 2_000_000;
/// How often both run, in turn: a machine is not as fast in one minute as in the next.
const ROUNDS: usize = 3;
/// Longest that a race may last.
const LONGEST: Duration = Duration::from_secs(600);

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let python = match args.first().map(String::as_str) {
        Some("feed") => return feed(args[1].parse()?, args[2].parse()?),
        python => python,
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(run("ticker", ticker()?));
        if let Some(python) = python {
            theirs.push(run("python", python_writer(python)?));
        }
    }
    let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
    let mut ratios: Vec<f64> = ratios.collect();
    let [ours, theirs, ratio] = [&mut ours, &mut theirs, &mut ratios].map(|of| median(of));
    let result = json!({ "ticker": ours, "python": theirs, "ratio": ratio, "ratios": ratios });
    println!("{result:#}");
    Ok(())
}

/// Tells what a run came to: messages per second of one core.
fn run(who: &str, result: Value) -> f64 {
    println!("{who}: {result}");
    result["per_core_second"].as_f64().unwrap_or_default()
}

/// The one in the middle, of those that there are.
fn median(of: &mut [f64]) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied()
}

/// The feed, in a process of its own so that it can be on a core of its own. Ends with its standard input.
fn feed(port: u16, limit: u64) -> anyhow::Result<()> {
    let session = Session {
        rate: 0.0,
        limit,
        ..Session::of(Format::Binance, &SYMBOLS)
    };
    let _feed = Feed::on(port, session)?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn on_core(core: u32, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

fn start_feed(limit: u64) -> anyhow::Result<(Running, u16)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let mut command = on_core(1, &std::env::current_exe()?);
    command
        .args(["feed", &port.to_string(), &limit.to_string()])
        .stdin(Stdio::piped());
    let feed = Running(command.spawn()?);
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        anyhow::ensure!(Instant::now() < deadline, "the feed does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((feed, port))
}

fn result(messages: u64, wall: f64, cpu: f64, resident: f64) -> Value {
    json!({
        "messages": messages,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "per_core_second": (messages as f64 / cpu).round(),
        "per_wall_second": (messages as f64 / wall).round(),
        "resident_mib": (resident / 104857.6).round() / 10.0,
    })
}

fn ticker() -> anyhow::Result<Value> {
    let (_feed, port) = start_feed(FOR_TICKER)?;
    let directory = tempfile::tempdir()?;
    let http = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let config = json!({
        "http": { "address": "127.0.0.1", "port": http },
        "data": { "directory": directory.path() },
        "sources": [{ "name": "exchange", "kind": "binance", "url": format!("ws://127.0.0.1:{port}"),
                      "channels": ["trade"], "symbols": SYMBOLS }],
    });
    let file = directory.path().join("config.json");
    std::fs::write(&file, config.to_string())?;
    let began = Instant::now();
    let mut command = on_core(0, Path::new(env!("CARGO_BIN_EXE_ticker")));
    command
        .args(["run", "--config"])
        .arg(&file)
        .stderr(Stdio::null());
    let program = Running(command.spawn()?);
    let mut highest = 0.0;
    let (wall, cpu) = loop {
        anyhow::ensure!(began.elapsed() < LONGEST, "it takes too long");
        std::thread::sleep(Duration::from_millis(50));
        let Ok(mut answer) = ureq::get(format!("http://127.0.0.1:{http}/api/status")).call() else {
            continue;
        };
        let status: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        highest = f64::max(
            highest,
            status["resident_bytes"].as_f64().unwrap_or_default(),
        );
        if status["flushed"] == FOR_TICKER {
            let mut health =
                ureq::get(format!("http://127.0.0.1:{http}/health/detailed")).call()?;
            let health: Value = serde_json::from_str(&health.body_mut().read_to_string()?)?;
            let cpu = health["process"]["cpu_seconds"].as_f64();
            break (
                began.elapsed().as_secs_f64(),
                cpu.context("no processor time")?,
            );
        }
    };
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&program.0),
        rustix::process::Signal::TERM,
    )?;
    let mut program = program;
    program.0.wait()?;
    let kept = kept(&directory.path().join("raw/ready"), "trade_id")?;
    anyhow::ensure!(
        kept.records() == FOR_TICKER && kept.repeated() == 0,
        "not all was kept"
    );
    Ok(result(FOR_TICKER, wall, cpu, highest))
}

fn python_writer(python: &str) -> anyhow::Result<Value> {
    let (_feed, port) = start_feed(FOR_PYTHON)?;
    let directory = tempfile::tempdir()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/writer.py");
    let began = Instant::now();
    let mut command = on_core(0, Path::new(python));
    let address = format!("ws://127.0.0.1:{port}/stream");
    command
        .arg(script)
        .arg(address)
        .arg(directory.path())
        .arg(FOR_PYTHON.to_string());
    let output = command.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "writer.py: {}", output.status);
    let wall = began.elapsed().as_secs_f64();
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let number = |name: &str| said[name].as_f64().unwrap_or_default();
    Ok(result(
        FOR_PYTHON,
        wall,
        number("cpu_seconds"),
        number("resident_bytes"),
    ))
}

//! How fast the service answers, how much memory it takes, how soon a reading is told; in JSON.
//!
//! `cargo run --release -p climate --example load -- [CONNECTIONS] [REQUESTS]`
//!
//! The service runs in a process of its own, so that its memory is its own, with a sensor whose readings
//! say when they were taken.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use appliance::{Credentials, Kit, Soc};
use climate::World;
use climate::config::Config;
use climate::sensor::{Measurement, Sensor, SensorError};
use serde_json::{Value, json};

/// A reading's pressure is the microsecond it was taken in, in hundredths, within this many.
const WRAP: u64 = 1_000_000_000;
const INTERVAL_SECONDS: f64 = 0.05;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return serve();
    }
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (connections, requests): (usize, usize) = (number(0, 8)?, number(1, 40_000)?);
    let service = Service::start()?;
    let idle = service.resident_bytes()?;
    let delays = sensor_to_api(service.address, 100)?;
    let alone = load(service.address, 1, requests / 4)?;
    let together = load(service.address, connections, requests)?;
    let report = json!({
        "sensor_to_api_us": spread(delays),
        "one_connection": alone,
        "many_connections": together,
        "resident_bytes_idle": idle,
        "resident_bytes_after": service.resident_bytes()?,
    });
    println!("{report:#}");
    Ok(())
}

/// The measured service, in a process of its own.
struct Service {
    process: Child,
    address: SocketAddr,
}

impl Service {
    fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .with_context(|| format!("the service said `{line}`"))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Connection::open(address)?.get("/api/reading")?.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "the service did not get ready");
        }
        Ok(Service { process, address })
    }

    fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        Ok(line
            .split_whitespace()
            .nth(1)
            .context("no value")?
            .parse::<u64>()?
            * 1024)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve() -> Result<()> {
    let state = tempfile::tempdir()?;
    let mut config = Config::default();
    config.sensor.interval_seconds = INTERVAL_SECONDS;
    config.history.directory = Some(state.path().into());
    let world = World {
        sensor: Some(Box::new(Stopwatch)),
        soc: Soc::at("/nonexistent"),
        ..World::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let credentials = Credentials::in_directory("climate", None);
        let kit = Kit::new("climate", config.http.clone(), credentials, listener);
        climate::run_in(world, config, kit).await
    })
}

struct Stopwatch;

impl Sensor for Stopwatch {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        Ok(Measurement {
            temperature: Some(22.0),
            humidity: Some(50.0),
            pressure: Some(microsecond() as f64 / 100.0),
            faults: Vec::new(),
        })
    }
}

fn microsecond() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64 % WRAP)
}

/// From the moment of measuring until someone who keeps asking is told.
fn sensor_to_api(address: SocketAddr, count: usize) -> Result<Vec<u64>> {
    let mut connection = Connection::open(address)?;
    let (mut delays, mut last) = (Vec::new(), None);
    while delays.len() < count {
        let Some(body) = connection.get("/api/reading")? else {
            continue;
        };
        let body: Value = serde_json::from_str(&body)?;
        let taken = (body["pressure_hpa"].as_f64().context("no reading")? * 100.0).round() as u64;
        if last.replace(taken).is_some_and(|last| last != taken) {
            delays.push((microsecond() + WRAP - taken) % WRAP);
        }
    }
    Ok(delays)
}

fn load(address: SocketAddr, connections: usize, requests: usize) -> Result<Value> {
    let each = requests / connections;
    let started = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            std::thread::spawn(move || -> Result<Vec<u64>> {
                let mut connection = Connection::open(address)?;
                let mut took = Vec::with_capacity(each);
                for _ in 0..each {
                    let sent = Instant::now();
                    connection.get("/api/reading")?.context("no reading")?;
                    took.push(sent.elapsed().as_micros() as u64);
                }
                Ok(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for worker in workers {
        took.extend(
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??,
        );
    }
    let per_second = (took.len() as f64 / started.elapsed().as_secs_f64()).round();
    Ok(
        json!({ "connections": connections, "requests": took.len(), "per_second": per_second, "latency_us": spread(took) }),
    )
}

fn spread(mut values: Vec<u64>) -> Value {
    values.sort_unstable();
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share) as usize);
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

/// A kept-alive connection.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// The body, if the answer is 200.
    fn get(&mut self, path: &str) -> Result<Option<String>> {
        self.0
            .get_mut()
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
        let (mut good, mut length, mut line) = (false, 0, String::new());
        loop {
            line.clear();
            anyhow::ensure!(
                self.0.read_line(&mut line)? > 0,
                "the connection was closed"
            );
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                None if line.starts_with("HTTP/1.1 ") => good = line.starts_with("HTTP/1.1 200"),
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(good.then(|| String::from_utf8(body)).transpose()?)
    }
}

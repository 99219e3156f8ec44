//! Measures how fast a service answers and how much memory it uses, for its example `NAME_load`.
//!
//! The service runs in a separate process, so that its memory can be measured: the example starts itself again with the
//! argument `serve`.

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{Configuration, Kit, ProcessUsage, testing};

/// The `main` of an example. It prints what `measure` finds out, which gets the numbers of the command line or, for
/// those that are missing, of `usual`. In the process that [`Measured::start`] starts, it calls `serve` instead.
pub fn main<const N: usize>(
    usual: [usize; N],
    measure: impl FnOnce([usize; N]) -> Result<Value>,
    serve: impl FnOnce(&[String]) -> Result<()>,
) -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, others @ ..] = arguments.as_slice()
        && first == SERVE
    {
        return serve(others);
    }
    let mut numbers = usual;
    for (number, text) in numbers.iter_mut().zip(&arguments) {
        *number = text.parse().with_context(|| format!("`{text}`"))?;
    }
    println!("{:#}", measure(numbers)?);
    Ok(())
}

const SERVE: &str = "serve";

/// Runs the service on port 0 and prints its address on stdout; the counterpart of [`Measured::start`].
pub fn serve<C, F, Fut>(service: &'static str, config: C, run: F) -> Result<()>
where
    C: Configuration,
    F: FnOnce(C, Kit) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    testing::on_a_free_port(service, config, None, run, |address, _| {
        println!("{address}");
    })
}

/// The measured service, in a separate process.
#[derive(Debug)]
pub struct Measured {
    process: Child,
    /// Its address.
    pub address: SocketAddr,
}

impl Measured {
    /// Starts this program again to serve with these arguments, and waits until `path` is answered with 200.
    pub fn start(arguments: &[&str], path: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(SERVE)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .with_context(|| format!("cannot parse the service's line `{line}`"))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while Connection::open(address)?.get(path)?.is_none() {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the service did not become ready in time"
            );
        }
        Ok(Measured { process, address })
    }

    /// The resources that it uses now.
    pub fn usage(&self) -> ProcessUsage {
        ProcessUsage::of(self.process.id())
    }

    /// Requests `path` repeatedly on several connections at once; returns the result as JSON.
    pub fn load(&self, path: &'static str, connections: usize, requests: usize) -> Result<Value> {
        let (address, each) = (self.address, requests / connections);
        let started = Instant::now();
        let workers: Vec<_> = (0..connections)
            .map(|_| {
                std::thread::spawn(move || -> Result<Vec<u64>> {
                    let mut connection = Connection::open(address)?;
                    let mut took = Vec::with_capacity(each);
                    for _ in 0..each {
                        let sent = Instant::now();
                        connection
                            .get(path)?
                            .with_context(|| format!("{path}: not 200"))?;
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
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Median, 99th percentile and maximum, as JSON.
pub fn spread(mut values: Vec<u64>) -> Value {
    values.sort_unstable();
    let at = |share: f64| values.get((values.len().saturating_sub(1) as f64 * share) as usize);
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

/// A kept-alive connection.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Requests `path`; returns the body if the status is 200.
    pub fn get(&mut self, path: &str) -> Result<Option<String>> {
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

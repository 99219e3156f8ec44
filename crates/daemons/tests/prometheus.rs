//! Prometheus starts again whatever ends it, and serves all that is not damaged.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use daemons::{Cut, Device, Disk, Recording, Server, Up, get, now, tracer};
use rustix::process::Signal;
use testbed::{Context, Result, ensure, figures, wait_until};

const SERIES: usize = 40;
/// On this page a block has six seconds, instead of two hours on a device; a segment of the log ends with each, and is synced then.
/// What is older than two blocks and a half is on the disk.
const OLDEST_LOST: Duration = Duration::from_secs(15);

/// What is scraped: a number that every scrape increases, in many series.
struct Target {
    address: SocketAddr,
    scrapes: Arc<Mutex<Vec<u64>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (scrapes, over) = (
            Arc::<Mutex<Vec<u64>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (counted, ended) = (scrapes.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream;
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let number = {
                    let mut scrapes = counted.lock().unwrap();
                    scrapes.push(now());
                    scrapes.len()
                };
                let mut answer = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n".to_owned();
                for series in 0..SERIES {
                    answer += &format!("load{{series=\"{series}\"}} {number}\n");
                }
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Ok(Target {
            address,
            scrapes,
            over,
            thread: Some(thread),
        })
    }

    fn count(&self) -> usize {
        self.scrapes.lock().unwrap().len()
    }

    fn reaches(&self, enough: usize) -> Result<()> {
        wait_until("so many scrapes", Duration::from_secs(120), || {
            let count = self.count();
            ensure!(count >= enough, "{count} of {enough}");
            Ok(())
        })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A Prometheus on a port of its own.
struct Prometheus {
    device: Device,
    address: SocketAddr,
}

impl Prometheus {
    fn new(target: Option<SocketAddr>) -> Result<Self> {
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let address = free()?;
        let target = target.map_or_else(free, Ok)?;
        let instead = [
            ("127.0.0.1:9090", address.to_string()),
            ("127.0.0.1:9100", target.to_string()),
        ];
        let device = Device::new("prometheus", &instead)?;
        Ok(Prometheus { device, address })
    }

    fn up(&self) -> Result<Up<()>> {
        self.device.up(|| get(self.address, "/-/ready").map(drop))
    }

    fn numbers(&self) -> Result<BTreeSet<u64>> {
        numbers(self.address)
    }

    fn data(&self) -> PathBuf {
        self.device.data().join("data")
    }
}

/// The numbers that one of the series has had.
fn numbers(at: SocketAddr) -> Result<BTreeSet<u64>> {
    let last = SERIES - 1;
    let query = format!("/api/v1/query?query=load%7Bseries=%22{last}%22%7D%5B1h%5D");
    let answer: serde_json::Value = serde_json::from_str(&get(at, &query)?)?;
    let series = answer["data"]["result"].as_array().context("no result")?;
    let values = series
        .iter()
        .filter_map(|series| series["values"].as_array());
    let numbers = values.flatten().map(|pair| {
        let number = pair[1].as_str().and_then(|value| value.parse().ok());
        number.context("no number")
    });
    numbers.collect()
}

fn kills(count: usize) -> Result<()> {
    let target = Target::start()?;
    let prometheus = Prometheus::new(Some(target.address))?;
    let mut seen = BTreeSet::new();
    for _ in 0..count {
        let up = prometheus.up()?;
        ensure!(up.said.is_empty(), "a start failed: {:?}", up.said);
        target.reaches(target.count() + fastrand::usize(1..20))?;
        let there = prometheus.numbers()?;
        ensure!(
            there.is_superset(&seen),
            "lost: {:?}",
            seen.difference(&there)
        );
        seen = there;
        up.server.kill()?;
    }
    let _up = prometheus.up()?;
    ensure!(
        prometheus.numbers()?.is_superset(&seen),
        "the last kill cost something"
    );
    figures(format!(
        "Prometheus: {count} kills under load: all started, none of {} scrapes lost that it had shown",
        seen.len()
    ));
    Ok(())
}

fn cuts(scrapes: usize, count: usize, seed: u64, devices: usize) -> Result<()> {
    let target = Target::start()?;
    let prometheus = Prometheus::new(Some(target.address))?;
    prometheus.up()?.server.stop(Signal::TERM)?;
    let before = Disk::of(&prometheus.device.data())?;
    let mut server = prometheus.device.start(&tracer("load"))?;
    server.ready(|| get(prometheus.address, "/-/ready").map(drop))?;
    target.reaches(scrapes)?;
    let shown = prometheus.numbers()?;
    let blocks = blocks(&prometheus.data())?.len();
    server.stop(Signal::TERM)?;
    let times = target.scrapes.lock().unwrap().clone();
    drop(target);
    let recording = Recording::new(&prometheus.device, before, "load")?;
    ensure!(blocks > 0, "no block was written");

    let cuts = recording.cuts(count, seed);
    let (mended, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut addresses = std::collections::HashMap::new();
    let mut others = Vec::new();
    for _ in 0..devices {
        let Prometheus { device, address } = Prometheus::new(None)?;
        addresses.insert(device.data(), address);
        others.push(device);
    }
    recording.replay(&cuts, others, |device, cut: &Cut| {
        let address = addresses[&device.data()];
        let up = device.up(|| get(address, "/-/ready").map(drop))?;
        if !up.said.is_empty() {
            mended.fetch_add(1, Ordering::Relaxed);
            ensure!(
                up.said.iter().any(|line| line.starts_with("<3>")),
                "mended in silence: {:?}",
                up.said
            );
        }
        let there = numbers(address)?;
        let was: Vec<(u64, u64)> = shown
            .iter()
            .map(|number| (*number, times[*number as usize - 1]))
            .filter(|(_, at)| *at < cut.at)
            .collect();
        let end = was.last().map_or(0, |(_, at)| *at);
        for (number, at) in was
            .into_iter()
            .filter(|(number, _)| !there.contains(number))
        {
            let age = Duration::from_micros(end - at);
            most.fetch_max(age.as_millis() as u64, Ordering::Relaxed);
            ensure!(
                age < OLDEST_LOST,
                "scrape {number} is lost, {} s before the cut",
                age.as_secs_f32()
            );
        }
        up.server.kill()?;
        Ok(())
    })?;
    figures(format!(
        "Prometheus: {count} cuts at {} boundaries of {} scrapes and {blocks} blocks, seed {seed}: all started; put aside after {} of them; \
         the oldest scrape that was lost was {} ms old",
        recording.calls(),
        shown.len(),
        mended.into_inner(),
        most.into_inner()
    ));
    Ok(())
}

fn blocks(data: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.join("meta.json").exists() {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

#[test]
fn a_cut_at_any_write_is_started_from() -> Result<()> {
    cuts(500, 20, fastrand::u64(..10_000), 1)
}

#[test]
#[ignore = "takes many minutes: 500 cuts"]
fn five_hundred_cuts_are_started_from() -> Result<()> {
    cuts(1200, 500, fastrand::u64(..10_000), 2)
}

#[test]
fn a_kill_costs_no_scrape_that_was_shown() -> Result<()> {
    kills(8)
}

#[test]
#[ignore = "takes some minutes: a hundred kills"]
fn a_hundred_kills_cost_no_scrape_that_was_shown() -> Result<()> {
    kills(100)
}

/// A Prometheus with some blocks, which is running.
fn with_blocks() -> Result<(Target, Prometheus, Server)> {
    let target = Target::start()?;
    let prometheus = Prometheus::new(Some(target.address))?;
    let first = prometheus.up()?;
    wait_until("three blocks", Duration::from_secs(120), || {
        let count = blocks(&prometheus.data())?.len();
        ensure!(count >= 3, "{count}");
        Ok(())
    })?;
    Ok((target, prometheus, first.server))
}

/// How much is put aside.
fn aside(prometheus: &Prometheus) -> Result<usize> {
    Ok(fs::read_dir(prometheus.device.data().join("damaged"))?.count())
}

/// Damages what `damage` finds in the data of a Prometheus with some blocks, and looks that it starts, tells of it and serves the rest.
fn damaged(named: &str, damage: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let (_target, prometheus, server) = with_blocks()?;
    let before = prometheus.numbers()?;
    server.stop(Signal::TERM)?;
    damage(&prometheus.data())?;
    let up = prometheus.up()?;
    let told = up.said.iter().filter(|line| line.starts_with("<3>"));
    ensure!(
        told.clone().count() == 1 && told.clone().all(|line| line.contains(named)),
        "{:?}",
        up.said
    );
    ensure!(aside(&prometheus)? == 1, "nothing is kept");
    let after = prometheus.numbers()?;
    ensure!(
        after.intersection(&before).count() * 4 > before.len(),
        "{} of {} are left",
        after.len(),
        before.len()
    );
    Ok(())
}

fn overwrite(file: &Path, at: u64, length: usize) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(file)?;
    Ok(file.write_all_at(&vec![0xff; length], at)?)
}

#[test]
fn a_damaged_block_is_put_aside_and_the_rest_is_served() -> Result<()> {
    damaged("is damaged: it was put aside", |data| {
        overwrite(&blocks(data)?[0].join("index"), 0, 8)
    })
}

#[test]
fn what_is_put_aside_stays_when_more_is() -> Result<()> {
    let (_target, prometheus, mut server) = with_blocks()?;
    for count in 1..=2 {
        server.stop(Signal::TERM)?;
        overwrite(&blocks(&prometheus.data())?[0].join("index"), 0, 8)?;
        server = prometheus.up()?.server;
        ensure!(aside(&prometheus)? == count, "{count} should be kept");
    }
    server.kill()?;
    Ok(())
}

#[test]
fn damaged_chunks_of_the_newest_figures_are_put_aside_and_the_rest_is_served() -> Result<()> {
    damaged("chunks_head is damaged", |data| {
        Ok(fs::write(data.join("chunks_head/000001"), [0xff_u8; 64])?)
    })
}

#[test]
fn a_log_with_a_gap_is_put_aside_and_the_rest_is_served() -> Result<()> {
    damaged("wal is damaged", |data| {
        let mut segments: Vec<PathBuf> = fs::read_dir(data.join("wal"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        segments.retain(|path| path.is_file());
        segments.sort();
        ensure!(segments.len() > 2, "the log has no middle: {segments:?}");
        Ok(fs::remove_file(&segments[1])?)
    })
}

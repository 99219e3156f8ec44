//! Servers that speak Redis's protocol keep what their pages promise, whatever ends them, and start again by themselves.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use daemons::{Cut, Device, Disk, Recording, Redis, Up, now, tracer};
use rustix::process::Signal;
use testbed::{Result, bail, ensure, figures, wait_until};

const CLIENTS: usize = 3;
/// A file is rewritten, or everything saved, after so many answers.
const KEEP_EVERY: usize = 150;

/// What a page promises of an acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// It is there after a cut.
    Always,
    /// It is there after a cut or a kill that comes two seconds later.
    TwoSeconds,
    /// It is there if everything was saved since.
    Saved,
}

struct Kind {
    unit: &'static str,
    promise: Promise,
    /// What makes the server write its files anew.
    keep: &'static [&'static str],
    /// Questions between two writes, so that those of some seconds are not too many.
    pause: usize,
}

const ALWAYS: Kind = Kind {
    unit: "redis-always",
    promise: Promise::Always,
    keep: &["BGREWRITEAOF"],
    pause: 0,
};
const EVERY_SECOND: Kind = Kind {
    unit: "redis-everysec",
    promise: Promise::TwoSeconds,
    keep: &["BGREWRITEAOF"],
    pause: 40,
};
const CACHE: Kind = Kind {
    unit: "redis-cache",
    promise: Promise::Saved,
    keep: &["SAVE"],
    pause: 0,
};

/// Writes that were acknowledged, of each client in order, and when.
#[derive(Debug, Default)]
struct Acknowledged {
    writes: [Vec<u64>; CLIENTS],
    /// When it was asked to save everything, and when it had done so.
    saved: Vec<(u64, u64)>,
}

impl Acknowledged {
    fn count(&self) -> usize {
        self.writes.iter().map(Vec::len).sum()
    }

    /// How many of a client's writes have to be there after a cut at `until`.
    fn promised(&self, client: usize, promise: Promise, until: u64) -> usize {
        let before = match promise {
            Promise::Always => until,
            Promise::TwoSeconds => until.saturating_sub(2_000_000),
            Promise::Saved => {
                let saved = self.saved.iter().filter(|(_, done)| *done < until);
                saved.map(|(asked, _)| *asked).max().unwrap_or(0)
            }
        };
        self.writes[client]
            .iter()
            .filter(|at| **at < before)
            .count()
    }
}

fn up(device: &Device) -> Result<Up<Redis>> {
    device.up(|| {
        let mut client = Redis::connect(&device.runtime())?;
        client.call(&["PING"])?;
        Ok(client)
    })
}

/// Writes from several connections, and makes the server write its files anew, until `enough` or until they are cut off.
fn load(device: &Device, kind: &Kind, all: &Mutex<Acknowledged>, enough: impl Fn() -> bool + Sync) {
    let (all, enough) = (&all, &enough);
    let client = move |client: usize| -> Result<()> {
        let mut connection = Redis::connect(&device.runtime())?;
        let mut number = all.lock().unwrap().writes[client].len();
        while !enough() {
            let value = format!("{number}:{}", "z".repeat(number * 31 % 700));
            connection.call(&["SET", &format!("{client}:{number}"), &value])?;
            all.lock().unwrap().writes[client].push(now());
            number += 1;
            for _ in 0..kind.pause {
                connection.call(&["PING"])?;
            }
        }
        Ok(())
    };
    let keeper = move || -> Result<()> {
        let mut connection = Redis::connect(&device.runtime())?;
        let mut kept = 0;
        while !enough() {
            if all.lock().unwrap().count() / KEEP_EVERY == kept {
                connection.call(&["PING"])?;
                continue;
            }
            kept = all.lock().unwrap().count() / KEEP_EVERY;
            let asked = now();
            // One that is under way is not begun again.
            if connection.call(kind.keep).is_ok() {
                all.lock().unwrap().saved.push((asked, now()));
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || client(number));
        }
        scope.spawn(keeper);
    });
}

fn judge(up: &mut Redis, kind: &Kind, all: &Acknowledged, until: u64) -> Result<()> {
    for client in 0..CLIENTS {
        let promised = all.promised(client, kind.promise, until);
        let names: Vec<String> = (0..promised)
            .map(|number| format!("{client}:{number}"))
            .collect();
        for (chunk, names) in names.chunks(500).enumerate() {
            let words: Vec<&str> = ["MGET"]
                .into_iter()
                .chain(names.iter().map(String::as_str))
                .collect();
            let values = up.call(&words)?;
            let values = values.as_array().map_or(&[][..], Vec::as_slice);
            for (number, value) in values.iter().enumerate() {
                let number = chunk * 500 + number;
                let wanted = format!("{number}:{}", "z".repeat(number * 31 % 700));
                ensure!(
                    value.as_str() == Some(wanted.as_str()),
                    "of {promised} writes of client {client} that it has to have, the one with number {number} is {value}"
                );
            }
        }
    }
    up.call(&["SET", "again", "yes"])?;
    Ok(())
}

fn cuts(kind: &Kind, writes: usize, count: usize, seed: u64, devices: usize) -> Result<()> {
    let device = Device::new(kind.unit, &[])?;
    up(&device)?.server.stop(Signal::TERM)?;
    let before = Disk::of(&device.data())?;
    let mut server = device.start(&tracer("load"))?;
    server.ready(|| Redis::connect(&device.runtime())?.call(&["PING"]))?;
    let all = Mutex::<Acknowledged>::default();
    load(&device, kind, &all, || {
        all.lock().unwrap().count() >= writes
    });
    server.stop(Signal::TERM)?;
    let recording = Recording::new(&device, before, "load")?;
    let all = all.into_inner().unwrap();
    ensure!(
        all.count() >= writes && !all.saved.is_empty(),
        "the load stopped early"
    );

    let cuts = recording.cuts(count, seed);
    let mended = AtomicU64::new(0);
    let devices = (0..devices)
        .map(|_| Device::new(kind.unit, &[]))
        .collect::<Result<Vec<_>>>()?;
    recording.replay(&cuts, devices, |device, cut: &Cut| {
        let mut up = up(device)?;
        if !up.said.is_empty() {
            mended.fetch_add(1, Ordering::Relaxed);
            // A file before the last one that ends early it cuts back itself, and then ends.
            let told = ["<3>", "the truncated file is not the last file"];
            let told = |line: &String| told.iter().any(|words| line.contains(words));
            ensure!(up.said.iter().any(told), "mended in silence: {:?}", up.said);
        }
        judge(&mut up.value, kind, &all, cut.at)?;
        up.server.kill()?;
        Ok(())
    })?;
    figures(format!(
        "{}: {count} cuts at {} boundaries of {} acknowledged writes, seed {seed}: all started, nothing lost that was promised; \
         files cut back or put aside after {} of them",
        kind.unit,
        recording.calls(),
        all.count(),
        mended.into_inner()
    ));
    Ok(())
}

fn kills(kind: &Kind, count: usize) -> Result<()> {
    let device = Device::new(kind.unit, &[])?;
    let all = Mutex::<Acknowledged>::default();
    // What a kill finds written is there; while the disk is busy, one that syncs every second waits before it writes.
    let look = |up: &mut Up<Redis>, killed: u64| -> Result<()> {
        ensure!(up.said.is_empty(), "a start failed: {:?}", up.said);
        judge(&mut up.value, kind, &all.lock().unwrap(), killed)
    };
    let mut killed = 0;
    for _ in 0..count {
        let mut up = up(&device)?;
        look(&mut up, killed)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            scope.spawn(|| load(&device, kind, &all, || over.load(Ordering::Relaxed)));
            // The moment is any.
            let enough = all.lock().unwrap().count() + fastrand::usize(1..400);
            let counted = wait_until("so many writes", Duration::from_secs(60), || {
                let count = all.lock().unwrap().count();
                ensure!(count >= enough, "{count} of {enough}");
                Ok(())
            });
            killed = now();
            let dead = up.server.kill();
            over.store(true, Ordering::Relaxed);
            counted?;
            dead?;
            Ok(())
        })?;
    }
    look(&mut up(&device)?, killed)?;
    figures(format!(
        "{}: {count} kills under load: all started, of {} acknowledged writes none lost that was promised",
        kind.unit,
        all.lock().unwrap().count()
    ));
    Ok(())
}

#[test]
fn a_cut_at_any_write_costs_no_write_that_was_acknowledged() -> Result<()> {
    cuts(&ALWAYS, 600, 30, fastrand::u64(..10_000), 1)
}

#[test]
fn a_cut_costs_two_seconds_at_most_where_it_syncs_every_second() -> Result<()> {
    cuts(&EVERY_SECOND, 3000, 30, fastrand::u64(..10_000), 1)
}

#[test]
fn a_cut_leaves_a_cache_what_was_saved() -> Result<()> {
    cuts(&CACHE, 600, 30, fastrand::u64(..10_000), 1)
}

#[test]
#[ignore = "takes some minutes: 600 cuts"]
fn six_hundred_cuts_cost_nothing_that_is_promised() -> Result<()> {
    cuts(&ALWAYS, 3000, 300, fastrand::u64(..10_000), 2)?;
    cuts(&EVERY_SECOND, 6000, 200, fastrand::u64(..10_000), 2)?;
    cuts(&CACHE, 3000, 100, fastrand::u64(..10_000), 2)
}

#[test]
fn a_kill_costs_no_write_that_was_acknowledged() -> Result<()> {
    kills(&ALWAYS, 8)
}

#[test]
#[ignore = "takes some minutes: a hundred kills"]
fn a_hundred_kills_cost_no_write_that_was_acknowledged() -> Result<()> {
    kills(&ALWAYS, 60)?;
    kills(&EVERY_SECOND, 60)
}

/// The only file whose name ends so, below a folder.
fn file(folder: &Path, end: &str) -> Result<std::path::PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            return Ok(path);
        }
    }
    bail!("no {end} in {}", folder.display())
}

#[test]
fn damage_in_the_middle_is_cut_back_loudly_and_what_was_before_it_is_served() -> Result<()> {
    let device = Device::new(ALWAYS.unit, &[])?;
    let all = Mutex::<Acknowledged>::default();
    let first = up(&device)?;
    load(
        &device,
        &Kind {
            keep: &["PING"],
            ..ALWAYS
        },
        &all,
        || all.lock().unwrap().count() >= 200,
    );
    first.server.stop(Signal::TERM)?;
    let log = file(&device.data().join("appendonlydir"), ".incr.aof")?;
    let mut content = fs::read(&log)?;
    let middle = content.len() / 2;
    // More than one value has.
    content[middle..middle + 2048].fill(0xff);
    fs::write(&log, content)?;
    let mut up = up(&device)?;
    ensure!(
        up.said
            .iter()
            .any(|line| line.starts_with("<3>appendonlydir is damaged: it was cut back")),
        "{:?}",
        up.said
    );
    ensure!(
        file(
            &device.data().join("damaged"),
            &format!(".from-{}", fs::metadata(&log)?.len())
        )
        .is_ok(),
        "nothing is kept"
    );
    let left = up.value.call(&["DBSIZE"])?.as_u64().unwrap_or(0);
    ensure!((20..200).contains(&left), "{left} of 200 are left");
    Ok(())
}

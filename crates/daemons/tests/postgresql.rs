//! PostgreSQL keeps every commit that it has acknowledged, whatever ends it, and starts again by itself.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use daemons::{Cut, Device, Disk, Postgres, Recording, Up, now, tracer};
use rustix::process::Signal;
use testbed::{Result, ensure, figures, wait_until};

const CLIENTS: u64 = 3;
const BULK_ROWS: u64 = 500;

/// What a client was told, and when.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Rows of each client, numbered from 0 on: when each was committed.
    rows: BTreeMap<u64, Vec<u64>>,
    /// Tables that were filled in the transaction that made them, numbered from 0 on.
    tables: Vec<u64>,
}

impl Acknowledged {
    fn count(&self) -> usize {
        self.rows.values().map(Vec::len).sum::<usize>() + self.tables.len()
    }
}

fn device() -> Result<Device> {
    Device::new("postgresql", &[])
}

fn up(device: &Device) -> Result<Up<Postgres>> {
    device.up(|| Postgres::connect(&device.runtime()))
}

/// A device whose cluster has the tables that the load wants.
fn prepared() -> Result<Device> {
    let device = device()?;
    let mut up = up(&device)?;
    for statement in [
        "CREATE TABLE rows (client int, number int, filler text, PRIMARY KEY (client, number))",
        "CREATE TABLE counters (client int PRIMARY KEY, number int)",
        "INSERT INTO counters SELECT client, -1 FROM generate_series(0, 9) client",
    ] {
        up.value.query(statement)?;
    }
    up.server.stop(Signal::INT)?;
    Ok(device)
}

/// Writes from several sessions, and makes the server do what it does seldom, until `enough` or until they are cut off.
fn load(device: &Device, all: &Mutex<Acknowledged>, enough: impl Fn() -> bool + Sync) {
    let enough = &enough;
    let client = move |client: u64| -> Result<()> {
        let mut session = Postgres::connect(&device.runtime())?;
        let mut number = all.lock().unwrap().rows.get(&client).map_or(0, Vec::len);
        // The last one may have been committed without having been acknowledged.
        session.query(&format!(
            "BEGIN; DELETE FROM rows WHERE client = {client} AND number >= {number}; \
             UPDATE counters SET number = {number} - 1 WHERE client = {client}; COMMIT"
        ))?;
        while !enough() {
            let filler = "x".repeat(number * 37 % 900);
            session.query(&format!(
                "BEGIN; INSERT INTO rows VALUES ({client}, {number}, '{filler}'); \
                 UPDATE counters SET number = {number} WHERE client = {client}; COMMIT"
            ))?;
            let mut all = all.lock().unwrap();
            all.rows.entry(client).or_default().push(now());
            number += 1;
        }
        Ok(())
    };
    let keeper = move || -> Result<()> {
        let mut session = Postgres::connect(&device.runtime())?;
        let mut table = all.lock().unwrap().tables.len();
        while !enough() {
            session.query("CHECKPOINT")?;
            session.query(&format!("DROP TABLE IF EXISTS bulk_{table}"))?;
            session.query(&format!(
                "CREATE TABLE bulk_{table} AS SELECT n, repeat('y', 100) FROM generate_series(1, {BULK_ROWS}) n"
            ))?;
            all.lock().unwrap().tables.push(now());
            session.query("VACUUM counters")?;
            // A file of its log is made, once; afterwards those that there are begin anew.
            if table == 0 {
                session.query("SELECT pg_switch_wal()")?;
            }
            table += 1;
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

/// Looks that all is there that was acknowledged before `until`, and that what is there is whole.
fn judge(session: &mut Postgres, acknowledged: &Acknowledged, until: u64) -> Result<()> {
    for (client, rows) in &acknowledged.rows {
        let told = rows.iter().filter(|at| **at < until).count();
        let count = session.value(&format!(
            "SELECT count(*) FROM rows WHERE client = {client} AND number < {told} \
             AND length(filler) = number * 37 % 900"
        ))?;
        ensure!(
            count == told.to_string(),
            "client {client} was told of {told} rows, and {count} are there"
        );
        let counter: i64 = session
            .value(&format!(
                "SELECT number FROM counters WHERE client = {client}"
            ))?
            .parse()?;
        ensure!(
            counter >= told as i64 - 1,
            "the counter of client {client} is {counter} and was {told}"
        );
        let last = session.value(&format!(
            "SELECT coalesce(max(number), -1) FROM rows WHERE client = {client}"
        ))?;
        ensure!(
            last == counter.to_string(),
            "half a transaction is there: {last} beside {counter}"
        );
    }
    for (number, _) in acknowledged
        .tables
        .iter()
        .enumerate()
        .filter(|(_, at)| **at < until)
    {
        let count = session.value(&format!("SELECT count(*) FROM bulk_{number}"))?;
        ensure!(
            count == BULK_ROWS.to_string(),
            "table {number} has {count} rows"
        );
    }
    // It takes writes again.
    session.query("UPDATE counters SET number = number")?;
    Ok(())
}

/// A load under strace; so many commits. What was acknowledged, and what was written.
fn recorded(commits: usize) -> Result<(Recording, Acknowledged)> {
    let device = prepared()?;
    let before = Disk::of(&device.data())?;
    let mut server = device.start(&tracer("load"))?;
    server.ready(|| Postgres::connect(&device.runtime()))?;
    let acknowledged = Mutex::default();
    let enough = || {
        let acknowledged: &Mutex<Acknowledged> = &acknowledged;
        acknowledged.lock().unwrap().count() >= commits
    };
    load(&device, &acknowledged, enough);
    server.stop(Signal::INT)?;
    let recording = Recording::new(&device, before, "load")?;
    let acknowledged = acknowledged.into_inner().unwrap();
    ensure!(acknowledged.count() >= commits, "the load stopped early");
    Ok((recording, acknowledged))
}

fn cuts(commits: usize, count: usize, seed: u64, devices: usize) -> Result<()> {
    let (recording, acknowledged) = recorded(commits)?;
    let cuts = recording.cuts(count, seed);
    let restarts = AtomicU64::new(0);
    let devices = (0..devices).map(|_| device()).collect::<Result<Vec<_>>>()?;
    recording.replay(&cuts, devices, |device, cut: &Cut| {
        let mut up = up(device)?;
        restarts.fetch_add(up.said.len() as u64, Ordering::Relaxed);
        judge(&mut up.value, &acknowledged, cut.at)?;
        up.server.kill()?;
        Ok(())
    })?;
    figures(format!(
        "PostgreSQL: {count} cuts at {} boundaries of {} acknowledged commits, seed {seed}: all started, none lost; {} starts failed",
        recording.calls(),
        acknowledged.count(),
        restarts.into_inner()
    ));
    Ok(())
}

fn kills(count: u64) -> Result<()> {
    let device = prepared()?;
    let acknowledged = Mutex::default();
    for _ in 0..count {
        let mut up = up(&device)?;
        ensure!(up.said.is_empty(), "a start failed: {:?}", up.said);
        judge(&mut up.value, &acknowledged.lock().unwrap(), u64::MAX)?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| -> Result<()> {
            scope.spawn(|| load(&device, &acknowledged, || over.load(Ordering::Relaxed)));
            // The moment is any.
            let before = acknowledged.lock().unwrap().count();
            let enough = before + fastrand::usize(1..40);
            let counted = wait_until("so many commits", Duration::from_secs(60), || {
                let count = acknowledged.lock().unwrap().count();
                ensure!(count >= enough, "{count} of {enough}");
                Ok(())
            });
            let killed = up.server.kill();
            over.store(true, Ordering::Relaxed);
            counted?;
            killed?;
            Ok(())
        })?;
    }
    let mut up = up(&device)?;
    let acknowledged = acknowledged.into_inner().unwrap();
    judge(&mut up.value, &acknowledged, u64::MAX)?;
    figures(format!(
        "PostgreSQL: {count} kills under load: all started, none of {} acknowledged commits lost",
        acknowledged.count()
    ));
    Ok(())
}

/// Cuts while the cluster is made, at the very first start.
fn first_boots(count: usize, seed: u64, devices: usize) -> Result<()> {
    let first = device()?;
    let before = Disk::of(&first.data())?;
    let mut server = first.start(&tracer("first"))?;
    server.ready(|| Postgres::connect(&first.runtime()))?;
    server.stop(Signal::INT)?;
    let recording = Recording::new(&first, before, "first")?;
    let cuts = recording.cuts(count, seed);
    let devices = (0..devices).map(|_| device()).collect::<Result<Vec<_>>>()?;
    recording.replay(&cuts, devices, |device, _| {
        let mut up = up(device)?;
        up.value.query("CREATE TABLE it_writes ()")?;
        up.server.kill()?;
        Ok(())
    })?;
    figures(format!(
        "PostgreSQL: {count} cuts at {} boundaries of a first boot, seed {seed}: all started",
        recording.calls()
    ));
    Ok(())
}

#[test]
#[ignore = "takes some minutes: 60 cuts, after each of which a cluster may be made"]
fn a_first_boot_that_is_cut_short_begins_again() -> Result<()> {
    first_boots(60, fastrand::u64(..10_000), 2)
}

#[test]
fn a_cut_at_any_write_costs_no_commit_that_was_acknowledged() -> Result<()> {
    cuts(150, 24, fastrand::u64(..10_000), 1)
}

#[test]
#[ignore = "takes many minutes: 600 cuts"]
fn six_hundred_cuts_cost_no_commit_that_was_acknowledged() -> Result<()> {
    cuts(1500, 600, fastrand::u64(..10_000), 2)
}

#[test]
fn a_kill_costs_no_commit_that_was_acknowledged() -> Result<()> {
    kills(8)
}

#[test]
#[ignore = "takes some minutes: a hundred kills"]
fn a_hundred_kills_cost_no_commit_that_was_acknowledged() -> Result<()> {
    kills(100)
}

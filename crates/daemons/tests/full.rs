//! A full DATA: servers refuse to write, stay up, have all that they had acknowledged, and write again when there is room.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use daemons::{Device, Postgres, Redis, STARTED, Server, get};
use testbed::{Context, Result, bail, ensure, wait_until};

/// The file system, most of which other data fill.
const ROOM: u64 = 260 << 20;

/// What fills the file system of a server.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(device: &Device, server: &Server) -> Result<Self> {
        Self::at(server.there(&device.data_there())?.join("ballast"))
    }

    fn at(path: PathBuf) -> Result<Self> {
        let mut file = File::create(&path)?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![1; size];
            while file.write_all(&block).is_ok() {}
        }
        Ok(Ballast(path))
    }

    fn remove(self) -> Result<()> {
        Ok(fs::remove_file(self.0)?)
    }
}

fn starts(server: &Server) -> usize {
    let lines = server.lines();
    lines.iter().filter(|line| line.contains(STARTED)).count()
}

/// Writes until it is refused; says how often it was not.
fn refused(mut write: impl FnMut() -> Result<()>) -> Result<u64> {
    for number in 0..100_000 {
        if write().is_err() {
            return Ok(number);
        }
    }
    bail!("a full disk was written to 100,000 times")
}

#[test]
fn postgresql_refuses_is_there_and_writes_again() -> Result<()> {
    let device = Device::new("postgresql", &[])?;
    let mut server = device.start_small(ROOM, Some("postgresql-room"))?;
    let connect = || Postgres::connect(&device.runtime());
    let mut session = server.ready(connect)?.context("it ended")?;
    session.query("CREATE TABLE rows (number serial, filler text)")?;
    session.query("CREATE TABLE one AS SELECT 0 AS number, '' AS filler")?;
    let insert = "INSERT INTO rows (filler) SELECT repeat('x', 500) FROM generate_series(1, 20)";
    session.query(insert)?;
    let ballast = Ballast::fill(&device, &server)?;
    let written = 1 + refused(|| session.query(insert).map(drop))?;
    ensure!(starts(&server) == 1, "it ended: {:?}", server.lines());
    // What needs no more room in a table is written until the log has none; then even a start needs room.
    let update = "UPDATE one SET number = number + 1, \
        filler = (SELECT string_agg(md5(random()::text), NULL) FROM generate_series(1, 60))";
    // Others are faster to take what it then gives away.
    let data = server.there(&device.data_there())?;
    let whole = fs::metadata(data.join("reserve"))?.len();
    let taker = thread::spawn(move || {
        wait_until("given away", Duration::from_secs(60), || {
            let left = fs::metadata(data.join("reserve")).map_or(0, |file| file.len());
            ensure!(left < whole, "nothing is");
            Ok(())
        })?;
        Ballast::at(data.join("taken"))
    });
    let updates = refused(|| session.query(update).map(drop))?;
    let taken = taker.join().expect("it does not panic")?;
    let mut session = server.ready(connect)?.context("it ended")?;
    let rows = session.value("SELECT count(*) FROM rows")?;
    ensure!(
        rows == (written * 20).to_string(),
        "{written} times 20 rows were acknowledged, and {rows} are there"
    );
    let number: u64 = session.value("SELECT number FROM one")?.parse()?;
    ensure!(
        (updates..=updates + 1).contains(&number),
        "{updates} updates were acknowledged, and {number} are there"
    );
    let refusal = session
        .query(insert)
        .err()
        .context("it took a write without room for it")?;
    ensure!(format!("{refusal:#}").contains("read-only"), "{refusal:#}");
    let before = starts(&server);
    ballast.remove()?;
    taken.remove()?;
    wait_until("a write", Duration::from_secs(60), || session.query(insert))?;
    ensure!(
        starts(&server) == before,
        "it ended again: {:?}",
        server.lines()
    );
    Ok(())
}

/// Fills the file system of a server of this unit, and looks that it refuses to write. Says how often it was started until it wrote again.
fn redis(unit: &str) -> Result<usize> {
    let device = Device::new(unit, &[])?;
    let mut server = device.start_small(ROOM, None)?;
    let connect = || {
        let mut client = Redis::connect(&device.runtime())?;
        // A ping it would refuse, too.
        client.call(&["DBSIZE"])?;
        Ok(client)
    };
    let mut client = server.ready(connect)?.context("it ended")?;
    let mut number = 0;
    let value = "x".repeat(5000);
    let mut set = |client: &mut Redis| -> Result<()> {
        client.call(&["SET", &number.to_string(), &value])?;
        number += 1;
        Ok(())
    };
    set(&mut client)?;
    let ballast = Ballast::fill(&device, &server)?;
    refused(|| set(&mut client))?;
    let mut client = server.ready(connect)?.context("it ended")?;
    ensure!(
        set(&mut client).is_err(),
        "it took a write without room for it"
    );
    ballast.remove()?;
    wait_until("a write", Duration::from_secs(60), || {
        let mut client = connect()?;
        set(&mut client)
    })?;
    let mut client = connect()?;
    let count = client.call(&["DBSIZE"])?;
    ensure!(
        count.as_u64() >= Some(number),
        "{count} of {number} are there"
    );
    Ok(starts(&server))
}

#[test]
fn a_server_with_an_append_only_file_refuses_stays_up_and_writes_again() -> Result<()> {
    ensure!(redis("redis-everysec")? == 1, "it ended");
    Ok(())
}

/// Damages an append-only file of 150 MB so far from its begin, on a file system that has no room for a copy of it. Says how many of the
/// keys, each written once, are there afterwards, and what was put aside.
fn damaged(share: f64) -> Result<(u64, Vec<String>)> {
    let device = Device::new("redis-everysec", &[])?;
    let mut server = device.start_small(ROOM, None)?;
    let connect = || {
        let mut client = Redis::connect(&device.runtime())?;
        client.call(&["DBSIZE"])?;
        Ok(client)
    };
    let mut client = server.ready(connect)?.context("it ended")?;
    client.call(&["CONFIG", "SET", "auto-aof-rewrite-percentage", "0"])?;
    let filler = "x".repeat(500_000);
    for number in 0..300 {
        client.call(&["SET", &format!("key {number}"), "here"])?;
        client.call(&["SET", "filler", &filler])?;
    }
    let data = server.there(&device.data_there())?;
    let log = fs::read_dir(data.join("appendonlydir"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .context("no append-only file")?;
    let length = fs::metadata(&log)?.len();
    let file = File::options().write(true).open(&log)?;
    file.write_all_at(&vec![0xff; 600_000], (length as f64 * share) as u64)?;
    drop(file);
    // It ends, and the next start finds the damage.
    let _ = client.call(&["SHUTDOWN", "NOSAVE"]);
    wait_until("its end", Duration::from_secs(60), || {
        ensure!(starts(&server) > 1, "it goes on");
        Ok(())
    })?;
    let mut client = server.ready(connect)?.context("it ended")?;
    let keys = client.call(&["DBSIZE"])?.as_u64().context("no number")?;
    let aside = fs::read_dir(data.join("damaged"))?;
    let aside = aside.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok((keys, aside.collect::<Result<_>>()?))
}

#[test]
fn a_large_file_that_is_damaged_is_cut_back_without_a_copy_of_it() -> Result<()> {
    let (keys, aside) = damaged(0.9)?;
    ensure!((250..300).contains(&keys), "{keys} of 301 are there");
    ensure!(
        aside.len() == 1 && aside[0].contains(".incr.aof.from-"),
        "{aside:?}"
    );
    Ok(())
}

#[test]
fn where_not_even_the_end_of_it_has_room_all_of_it_is_put_aside() -> Result<()> {
    let (keys, aside) = damaged(0.1)?;
    ensure!(keys == 0, "{keys} are there");
    ensure!(aside == ["1-appendonlydir"], "{aside:?}");
    Ok(())
}

#[test]
fn one_that_always_syncs_is_started_again_until_there_is_room() -> Result<()> {
    let starts = redis("redis-always")?;
    ensure!(starts > 1, "it stays up: say so in the option");
    Ok(())
}

#[test]
fn a_cache_goes_on_without_being_saved() -> Result<()> {
    let device = Device::new("redis-cache", &[])?;
    let mut server = device.start_small(ROOM, None)?;
    let connect = || Redis::connect(&device.runtime());
    let mut client = server.ready(connect)?.context("it ended")?;
    for number in 0..1000 {
        client.call(&["SET", &number.to_string(), &"x".repeat(5000)])?;
    }
    let ballast = Ballast::fill(&device, &server)?;
    ensure!(client.call(&["SAVE"]).is_err(), "it saved without room");
    client.call(&["SET", "more", "yes"])?;
    ballast.remove()?;
    client.call(&["SAVE"])?;
    ensure!(starts(&server) == 1, "it ended");
    Ok(())
}

#[test]
fn prometheus_stays_up_and_takes_figures_again() -> Result<()> {
    let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
    // It scrapes itself.
    let address = free()?;
    let instead = [
        ("127.0.0.1:9090", address.to_string()),
        ("127.0.0.1:9100", address.to_string()),
    ];
    let device = Device::new("prometheus", &instead)?;
    let mut server = device.start_small(ROOM, None)?;
    server
        .ready(|| get(address, "/-/ready"))?
        .context("it ended")?;
    let samples = || -> Result<u64> {
        let answer = get(address, "/api/v1/query?query=count_over_time(up%5B1h%5D)")?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let value = answer["data"]["result"][0]["value"][1].as_str();
        value.context("no figure")?.parse().context("not a number")
    };
    let more = |what: &str, than: u64| {
        wait_until(what, Duration::from_secs(60), || {
            let now = samples()?;
            ensure!(now > than, "{now}");
            Ok(now)
        })
    };
    let before = more("figures", 20)?;
    let ballast = Ballast::fill(&device, &server)?;
    wait_until("a hundred scrapes in vain", Duration::from_secs(60), || {
        get(address, "/-/healthy")?;
        let lines = server.lines();
        let complaints = lines.iter().filter(|line| line.contains("no space left"));
        let complaints = complaints.count();
        ensure!(complaints >= 100, "{complaints}");
        // It notes each question, which needs room, too.
        samples()
    })?;
    let full = samples()?;
    ensure!(full >= before, "{full} of {before} are left");
    ballast.remove()?;
    more("further figures", full)?;
    ensure!(starts(&server) == 1, "it ended: {:?}", server.lines());
    Ok(())
}

//! What the planner costs, beside the same endpoints in FastAPI with gunicorn and four workers of uvicorn, on the same database and in
//! the same run: latencies, requests a second, processor time and memory; directly, and with nginx in front. In JSON.
//!
//! `cargo run --release -p rack --example rack_load -- [SECONDS] [ROUNDS] [CONNECTIONS]`
//!
//! PostgreSQL, Valkey and nginx are Debian's, as their modules set them up for a device; nginx has no limits of what one address may ask
//! for. Each load takes SECONDS and is put on both in turn, ROUNDS times, in the other order each time; told are medians. Before that, both
//! have to give the same answers. FastAPI and what it needs are installed into the target folder, with pip.

#![expect(
    clippy::disallowed_methods,
    reason = "what a comparison writes need not survive a cut"
)]

#[path = "rack_load/client.rs"]
mod client;
#[path = "rack_load/compare.rs"]
mod compare;
#[path = "rack_load/fastapi.rs"]
mod fastapi;
#[path = "rack_load/generator.rs"]
mod generator;
#[path = "rack_load/report.rs"]
mod report;
#[path = "rack_load/usage.rs"]
mod usage;
#[path = "rack_load/world.rs"]
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use daemons::Web;
use kit::load::Measured;
use rack::config::Config;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};

use client::{Client, Mix};
use fastapi::FastApi;
use generator::{Load, Pace};
use report::{Cell, Report};
use usage::Usage;
use world::World;

/// Connections of people who have the page open.
const MANY: usize = 4_000;
/// Requests a second that come whatever becomes of those before: what a planner is to bear, and what both bear.
const RATE: f64 = 2_000.0;
const LOW_RATE: f64 = 300.0;
/// Each load is put on for so long before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Files that this process and the servers have open at most.
const FILES: u64 = 2 * MANY as u64 + 1_000;

fn main() -> Result<()> {
    kit::load::main([5, 3, 100], measure, |arguments| {
        let [config] = arguments else {
            anyhow::bail!("serve CONFIG");
        };
        let config: Config = serde_json::from_str(config)?;
        kit::load::serve("rack", config, rack::run)
    })
}

/// One of the two that are compared.
struct Side {
    name: &'static str,
    /// Where it is itself.
    direct: SocketAddr,
    /// Where nginx is that is in front of it.
    fronted: SocketAddr,
}

impl Side {
    fn new(name: &'static str, direct: SocketAddr, web: &Web) -> Self {
        let fronted = local(web.http);
        Side {
            name,
            direct,
            fronted,
        }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn measure([seconds, rounds, connections]: [usize; 3]) -> Result<Value> {
    many_files()?;
    let world = World::start()?;
    ensure!(
        connections <= world.movers.len(),
        "at most {} connections: each moves a device of its own",
        world.movers.len()
    );
    let planner = Measured::start(&[&world.config().to_string()], "/health/ready")?;
    let fastapi = FastApi::start(&world)?;
    let webs = [planner.address.port(), fastapi.address.port()].map(Web::without_limits);
    let [before_planner, before_fastapi] = webs;
    let (before_planner, before_fastapi) = (before_planner?, before_fastapi?);
    let mut sides = [
        Side::new("rack", planner.address, &before_planner),
        Side::new("fastapi", fastapi.address, &before_fastapi),
    ];
    let idle = Usage::now()?;
    world.forget_cached()?;
    let compared = compare::both(&world, planner.address, fastapi.address)?;

    let loads = loads(Duration::from_secs(seconds as u64), connections);
    let mut report = Report::default();
    for _ in 0..rounds {
        for load in &loads {
            for side in &sides {
                world.forget_cached()?;
                report.add(load.name, side.name, run(&world, load, side)?);
            }
        }
        sides.reverse();
    }
    Ok(json!({
        "conditions": {
            "programs": fastapi.versions()?,
            "processors": std::thread::available_parallelism()?.get(),
            "generator": "one thread, on the same processors as the servers; it takes no compressed answers",
            "requests_that_give_the_same_on_both": compared,
            "seconds": seconds,
            "rounds": rounds,
        },
        "idle_megabytes": idle.memory(),
        "loads": report.told(),
    }))
}

/// A load, and where it is put.
struct Measurement {
    name: &'static str,
    mix: Mix,
    load: Load,
    through_nginx: bool,
}

fn loads(time: Duration, connections: usize) -> Vec<Measurement> {
    let put = |name, mix, pace, connections, through_nginx| Measurement {
        name,
        mix,
        load: Load {
            connections,
            pace,
            time,
        },
        through_nginx,
    };
    let closed = Pace::Closed;
    vec![
        put("direct_read", Mix::Read, closed, connections, false),
        put("direct_search", Mix::Search, closed, connections, false),
        put("direct_write", Mix::Write, closed, connections, false),
        put("nginx_read", Mix::Read, closed, connections, true),
        put("nginx_search", Mix::Search, closed, connections, true),
        put("nginx_write", Mix::Write, closed, connections, true),
        put(
            "nginx_low_rate",
            Mix::Read,
            Pace::Open(LOW_RATE),
            connections,
            true,
        ),
        put("nginx_rate", Mix::Read, Pace::Open(RATE), connections, true),
        put(
            "nginx_rate_many_connections",
            Mix::Read,
            Pace::Open(RATE),
            MANY,
            true,
        ),
        put(
            "direct_rate_many_connections",
            Mix::Read,
            Pace::Open(RATE),
            MANY,
            false,
        ),
    ]
}

fn run(world: &World, what: &Measurement, side: &Side) -> Result<Cell> {
    let address = match what.through_nginx {
        true => side.fronted,
        false => side.direct,
    };
    let clients = (0..what.load.connections)
        .map(|number| Client::new(what.mix, number, world))
        .collect();
    let warm_up = Load {
        time: WARM_UP,
        ..what.load
    };
    let mut connected = generator::connect(address, clients)?;
    connected.put(&warm_up)?;
    let before = Usage::now()?;
    let outcome = connected.put(&what.load)?;
    let usage = Usage::now()?.since(&before);
    ensure!(
        outcome.answered > 0,
        "{}: no answer from {}: {:?}",
        what.name,
        side.name,
        outcome.refused
    );
    Ok(Cell::new(side.name, outcome, usage))
}

/// Lets this process and the servers have as many connections as are measured.
fn many_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        most >= FILES,
        "a process may have only {most} files open\nhint: ulimit -Hn {FILES}"
    );
    limit.current = Some(most);
    Ok(setrlimit(Resource::Nofile, limit)?)
}

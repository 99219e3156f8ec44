//! Sends a device's metrics and logs away; what cannot be sent waits, within limits.
//!
//! The *scraper* puts what targets tell into the [queue], on disk; *metrics* is sent from there. *Logs* are read from the
//! journal, which is their queue. Each is a worker, so that none waits for another, and nothing is sent before the time is
//! known.

pub mod clock;
pub mod config;
pub mod labels;
pub mod logs;
mod mark;
mod metrics;
pub mod queue;
mod scrape;
pub mod send;
pub mod stats;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use http_client::{Client, Options};
use kit::{Condition, Kit};

use clock::{Boots, Clock};
use config::Config;
use queue::Queue;
use send::Receiver;
use stats::{Stats, What};

/// How often it is looked whether the time is known.
const LOOK: Duration = Duration::from_secs(1);

/// A client that follows no redirect. Of its connections there may be as many as there are targets, so their buffers are small.
fn client(timeout: Duration) -> Client {
    Client::new(&Options {
        redirects: 0,
        buffer: 16 * 1024,
        ..Options::new("lichen-courier", timeout)
    })
}

/// Runs the service until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    let clock = Clock::new(config.clock.synchronized.clone());
    run_with(clock, config, kit).await
}

/// Runs the service with this clock until it is asked to stop.
pub async fn run_with(clock: Clock, config: Config, kit: Kit) -> anyhow::Result<()> {
    let directory = config.directory();
    let directory = directory
        .context("there is no directory for the queue: set data.directory or $STATE_DIRECTORY")?;
    durable::directory(&directory, 0o700)?;
    let stats = Arc::<Stats>::default();
    let boots = Boots::open(&directory.join("boots"));
    watch_clock(&kit, &clock, &boots, &stats);
    if let Some(url) = &config.metrics.url {
        let (folder, most) = (directory.join("queue"), config.queue.max_bytes);
        let (of, counts) = (clock.clone(), stats.clone());
        // A queue of hundreds of megabytes is looked through.
        let opened =
            tokio::task::spawn_blocking(move || Queue::open(&folder, most, of, counts)).await?;
        let queue = Arc::new(Mutex::new(opened.context("the queue")?));
        let settings = &config.metrics;
        let timeout = Duration::from_secs_f64(settings.timeout_seconds);
        let tenant = settings.tenant.as_deref();
        let receiver = Receiver::new("metrics", url, tenant, timeout, kit.credentials())?;
        let dated = (clock.clone(), boots.clone());
        let sender = metrics::start(&kit, &config, receiver, queue.clone(), dated, stats.clone())?;
        // If its queue is full, it is awake.
        let told = move || _ = sender.offer(|_| {});
        scrape::start(&kit, &config, queue, clock.clone(), stats.clone(), told)?;
    }
    if let Some(url) = &config.logs.url {
        let settings = &config.logs;
        let timeout = Duration::from_secs_f64(settings.timeout_seconds);
        let tenant = settings.tenant.as_deref();
        let receiver = Receiver::new("logs", url, tenant, timeout, kit.credentials())?;
        logs::start(
            &kit,
            &config,
            receiver,
            &directory,
            (clock, boots),
            stats.clone(),
        )?;
    }
    if config.metrics.url.is_none() && config.logs.url.is_none() {
        let problem = "no receiver is configured: set metrics.url or logs.url";
        kit.component("receivers").degraded(problem);
    }
    let numbers = stats.clone();
    kit.register_metrics(move |table| numbers.tell(table));
    kit.describe(move || in_words(&stats));
    let mut routes = Router::new();
    if config.simulated {
        routes = routes.route(config::SINK, post(async || StatusCode::NO_CONTENT));
    }
    kit.serve(routes).await
}

/// Keeps when this boot began as soon as that is known.
fn watch_clock(kit: &Kit, clock: &Clock, boots: &Boots, stats: &Arc<Stats>) {
    let (clock, boots, stats) = (clock.clone(), boots.clone(), stats.clone());
    kit.check("clock", LOOK, LOOK * 10, move || {
        let learned = boots.learn(&clock);
        stats.clock_known(clock.began_ms().is_some());
        let condition = match learned {
            Ok(true) => Condition::Ok,
            Ok(false) => Condition::Degraded(
                "the time is not known yet: what is measured is kept, and nothing is sent".into(),
            ),
            Err(error) => Condition::Degraded(format!("{error:#}")),
        };
        std::future::ready(condition)
    });
}

/// What the courier is doing, in a line for those who look after the device.
fn in_words(stats: &Stats) -> String {
    let (up, targets) = stats.targets_up();
    let waiting = stats.samples_waiting();
    let late = [What::Metrics, What::Logs].map(|what| stats.behind_seconds(what));
    let late = late.into_iter().fold(0.0, f64::max);
    format!("{up} of {targets} targets up, {waiting} samples wait, {late:.0} s behind")
}

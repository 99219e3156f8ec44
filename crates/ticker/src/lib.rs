//! Market data, recorded around the clock: WebSocket feeds → Parquet files → S3.
//!
//! One task per source listens, one thread owns the files, and a bounded queue connects them. Uploading is a separate
//! process (`ticker sync`), so that problems of one do not affect the other.

mod clock;
pub mod config;
pub mod feed;
pub mod queue;
pub mod record;
pub mod stats;
pub mod status;
pub mod store;
pub mod sync;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kit::Kit;

pub use clock::{Clock, real_clock};
use config::Config;
use feed::{Feed, Shared};
use queue::Queue;
use stats::Stats;
use store::{Space, Store};

/// Runs the service until it is asked to stop.
pub async fn run(config: Config, kit: Kit) -> anyhow::Result<()> {
    let directory = config
        .directory()
        .context("there is no directory for records: set data.directory or $STATE_DIRECTORY")?;
    let clock = real_clock();
    let streams: Arc<[_]> = config.streams().into();
    let stats = Arc::new(Stats::new(&streams));
    let latch = kit.latch("salvage");
    let opened = {
        let (directory, streams, stats) = (directory.clone(), streams.clone(), stats.clone());
        let (flush, segment) = (config.flush.clone(), config.segment.clone());
        tokio::task::spawn_blocking(move || Store::open(&directory, streams, flush, segment, stats))
    };
    let (store, last) = opened
        .await?
        .with_context(|| format!("cannot use {}", directory.display()))?;
    drop(latch);
    let space = Space::new(store.place(), config.data.min_free_bytes);
    let queue = Queue::new(config.queue.clone(), stats.clone());
    writer::start(
        &kit,
        store,
        space,
        queue.clone(),
        clock.clone(),
        stats.clone(),
    )?;

    let shared = Shared {
        streams,
        queue,
        clock,
        stats: stats.clone(),
    };
    let mut feeds = tokio::task::JoinSet::new();
    let mut first = 0;
    for (index, source) in config.sources.iter().enumerate() {
        feeds.spawn(Feed::new(&kit, &shared, source, index, first, &last).run());
        first += source.channels.len() * source.symbols.len();
    }
    if config.sources.is_empty() {
        kit.component("sources")
            .degraded("no sources are configured");
    }
    let watching = tokio::spawn(watch(
        kit.clone(),
        directory.clone(),
        stats.clone(),
        Duration::from_secs(config.stats.interval_seconds),
    ));
    let numbers = stats.clone();
    kit.register_metrics(move |table| {
        numbers.tell(table);
        status::tell_sync(&directory, table);
    });
    let numbers = stats.clone();
    kit.json_metrics(move || numbers.json());
    let served = kit.serve(status::routes(stats.clone())).await;

    // The writer is a worker: when it ends, it writes the last records.
    while feeds.join_next().await.is_some() {}
    watching.abort();
    served
}

/// Logs statistics, and reports on `/health` whether `ticker sync` succeeds.
async fn watch(kit: Kit, directory: std::path::PathBuf, stats: Arc<Stats>, interval: Duration) {
    let sync = kit.component("sync");
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        stats.log();
        match sync::Report::read(&directory).and_then(|report| report.problem) {
            Some(problem) => sync.degraded(problem),
            None => sync.ok(),
        }
    }
}

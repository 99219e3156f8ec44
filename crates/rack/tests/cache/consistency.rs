//! Three processes read and change at once while the server is killed, emptied and put back: nobody gets what is older than a change
//! that had succeeded before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rack::cache::{Cache, Origin};
use testbed::{Result, ensure, figures, wait_until};

use crate::support::{Debian, Number, change, read};

/// What all of them share.
#[derive(Default)]
struct World {
    number: Arc<Number>,
    /// The highest number that a change has given back.
    known: AtomicU64,
    over: AtomicBool,
    hits: AtomicU64,
    reads: AtomicU64,
    wrong: AtomicU64,
}

async fn live(world: Arc<World>, cache: Cache) {
    while !world.over.load(Ordering::SeqCst) {
        if fastrand::u32(..40) == 0 {
            let value = change(&cache, &world.number).await;
            world.known.fetch_max(value, Ordering::SeqCst);
            continue;
        }
        let known = world.known.load(Ordering::SeqCst);
        let (value, origin) = read(&cache, &world.number).await;
        world.reads.fetch_add(1, Ordering::SeqCst);
        if value < known {
            world.wrong.fetch_add(1, Ordering::SeqCst);
        }
        if origin == Origin::Cache {
            world.hits.fetch_add(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until the cache has been of use again.
fn some_hits(world: &World) -> Result<()> {
    let enough = world.hits.load(Ordering::SeqCst) + 100;
    wait_until("hits of the cache", Duration::from_secs(120), || {
        let [hits, reads] = [&world.hits, &world.reads].map(|count| count.load(Ordering::SeqCst));
        ensure!(hits >= enough, "{hits} of {enough}, after {reads} reads");
        Ok(())
    })
}

fn trouble(world: &World, debian: &mut Debian, rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        some_hits(world)?;
        debian.call(&["FLUSHALL"])?;
        some_hits(world)?;
        debian.call(&["CLIENT", "KILL", "TYPE", "normal"])?;
        some_hits(world)?;
        debian.call(&["SAVE"])?;
        some_hits(world)?;
        // It comes back with what it had saved before the last changes.
        debian.restart()?;
    }
    some_hits(world)
}

async fn storm(rounds: usize) -> Result<()> {
    let mut debian = Debian::up()?;
    let world = Arc::<World>::default();
    let mut lives = Vec::new();
    for _ in 0..3 {
        let cache = debian.cache()?;
        for _ in 0..4 {
            lives.push(tokio::spawn(live(world.clone(), cache.clone())));
        }
    }
    let outside = world.clone();
    let troubled = tokio::task::spawn_blocking(move || {
        let ended = trouble(&outside, &mut debian, rounds);
        outside.over.store(true, Ordering::SeqCst);
        (ended, debian)
    });
    let (ended, _debian) = troubled.await?;
    for life in lives {
        life.await?;
    }
    ended?;
    let [reads, hits, wrong] =
        [&world.reads, &world.hits, &world.wrong].map(|count| count.load(Ordering::SeqCst));
    figures(format!(
        "cache: {reads} reads of three processes, {hits} hits, {} changes, {rounds} kills: {wrong} old values",
        world.known.load(Ordering::SeqCst)
    ));
    ensure!(wrong == 0, "{wrong} of {reads} reads got an old value");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_what_is_older_than_a_change_that_succeeded() -> Result<()> {
    storm(3).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: fifty kills"]
async fn nobody_gets_what_is_old_in_fifty_kills() -> Result<()> {
    storm(50).await
}

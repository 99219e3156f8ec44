//! The server is gone, or stands still, or cannot be reached by one of two processes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rack::cache::{Cache, Group, Origin, State};
use testbed::{Result, ensure, wait_until};

use crate::support::{Debian, Number, Problem, Road, Traffic, cache, change, read, settings};

/// The time limit for an answer where it matters.
const ANSWER: Duration = Duration::from_millis(300);
/// What a request waits for the server at most: three answers, and this machine may be busy.
const WAIT: Duration = Duration::from_secs(5);

async fn quick<T>(what: &str, request: impl Future<Output = T>) -> Result<T> {
    let asked = Instant::now();
    let answer = request.await;
    let took = asked.elapsed();
    ensure!(took < WAIT, "{what} took {took:?}");
    Ok(answer)
}

/// Waits until the server answers.
async fn works_again(cache: &Cache) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match cache.check().await {
            Some(Err(trouble)) => ensure!(Instant::now() < deadline, "{trouble}"),
            _ => return Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_gone_costs_time_and_comes_back_by_itself() -> Result<()> {
    let mut debian = Debian::up()?;
    let cache = debian.cache()?;
    let number = Number::new();
    read(&cache, &number).await;
    ensure!(read(&cache, &number).await == (0, Origin::Cache));
    debian.call(&["SAVE"])?;
    debian.kill()?;
    for expected in 1..=10 {
        let changed = quick("a change", change(&cache, &number)).await?;
        ensure!(changed == expected);
        let got = quick("a read", read(&cache, &number)).await?;
        ensure!(got == (expected, Origin::Made), "{got:?}");
    }
    let breaker = cache.breaker().unwrap();
    ensure!(breaker.state() == State::Open && breaker.opened() >= 1);
    ensure!(cache.untold() == 10, "{}", cache.untold());
    ensure!(cache.check().await.unwrap().is_err());
    // It comes back with what it had saved, which is older than all changes.
    debian.restart()?;
    ensure!(cache.check().await.unwrap().is_ok());
    ensure!(breaker.state() == State::Closed);
    ensure!(read(&cache, &number).await == (10, Origin::Made));
    ensure!(read(&cache, &number).await == (10, Origin::Cache));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_makes_nobody_wait_for_long() -> Result<()> {
    let debian = Debian::up()?;
    let road = Road::to(debian.socket())?;
    let mut settings = settings(&road.end());
    settings.answer_milliseconds = ANSWER.as_millis() as u64;
    let cache = Cache::open(&settings, None)?;
    let number = Number::new();
    read(&cache, &number).await;
    road.set(Traffic::Stands);
    // A hundred who come at once wait once, not one after the other.
    let all = quick(
        "a hundred reads",
        join_all((0..100).map(|_| read(&cache, &number))),
    )
    .await?;
    ensure!(all.iter().all(|(value, _)| *value == 0));
    ensure!(cache.breaker().unwrap().state() == State::Open);
    // The breaker spares all others the wait, except for its trials.
    let asked = Instant::now();
    let reads = number.reads();
    while cache.breaker().unwrap().state() == State::Open && number.reads() < reads + 50 {
        read(&cache, &number).await;
    }
    ensure!(asked.elapsed() < WAIT, "{:?}", asked.elapsed());
    quick("a change", change(&cache, &number)).await?;
    ensure!(read(&cache, &number).await == (1, Origin::Made));
    road.set(Traffic::Flows);
    works_again(&cache).await?;
    ensure!(read(&cache, &number).await.0 == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_could_not_tell_of_a_change_does_so_before_it_uses_the_cache() -> Result<()> {
    let debian = Debian::up()?;
    let road = Road::to(debian.socket())?;
    let (far, near) = (cache(&road.end())?, debian.cache()?);
    let number = Number::new();
    for cache in [&far, &near] {
        cache.check().await.unwrap().unwrap();
    }
    read(&near, &number).await;
    ensure!(read(&far, &number).await == (0, Origin::Cache));

    road.set(Traffic::Lost);
    change(&far, &number).await;
    ensure!(read(&far, &number).await == (1, Origin::Made));
    // This is the only case: it was connected all the time, and cannot know.
    ensure!(read(&near, &number).await == (0, Origin::Cache));

    road.set(Traffic::Flows);
    ensure!(far.check().await.unwrap().is_ok());
    ensure!(read(&near, &number).await == (1, Origin::Made));
    ensure!(read(&far, &number).await == (1, Origin::Cache));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_cut_off_during_a_change_leaves_nothing_old_behind() -> Result<()> {
    let debian = Debian::up()?;
    let road = Road::to(debian.socket())?;
    let (far, near) = (cache(&road.end())?, debian.cache()?);
    let number = Number::new();
    for cache in [&far, &near] {
        cache.check().await.unwrap().unwrap();
    }
    read(&near, &number).await;
    let (there, written) = (number.clone(), road.traffic());
    let write = async move {
        let value = there.write().await;
        written.send_replace(Traffic::Lost);
        value
    };
    let changed = far.change(&[Group::Plan], write).await;
    ensure!(changed == Ok::<u64, Problem>(1));
    // The group is closed: all is made, nothing is kept.
    for _ in 0..2 {
        ensure!(read(&near, &number).await == (1, Origin::Made));
    }
    let token = debian.call(&["KEYS", "rack:*:token:plan"])?;
    let token = token[0].as_str().unwrap();
    let lapses = debian.call(&["PTTL", token])?.as_i64().unwrap();
    ensure!((1..=60_000).contains(&lapses), "{lapses}");
    // It lapses, and the group has a new token.
    debian.call(&["PEXPIRE", token, "1"])?;
    wait_until("the closed group to lapse", Duration::from_secs(10), || {
        let left = debian.call(&["EXISTS", token])?;
        ensure!(left == 0, "{left}");
        Ok(())
    })?;
    ensure!(read(&near, &number).await == (1, Origin::Made));
    ensure!(read(&near, &number).await == (1, Origin::Cache));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_finished_even_if_nobody_waits_for_it() -> Result<()> {
    let debian = Debian::up()?;
    let cache = debian.cache()?;
    let number = Number::new();
    read(&cache, &number).await;
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let there = number.clone();
    let mut asked = Box::pin(cache.change(&[Group::Plan], async move {
        gone.await.expect("it is told to go on");
        there.write().await
    }));
    let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
    ensure!(asked.as_mut().poll(&mut nobody).is_pending());
    drop(asked);
    go.send(()).expect("it goes on");
    wait_until("the change", Duration::from_secs(10), || {
        let value = number.value.load(std::sync::atomic::Ordering::SeqCst);
        ensure!(value == 1, "{value}");
        Ok(())
    })?;
    ensure!(read(&cache, &number).await.0 == 1);
    Ok(())
}

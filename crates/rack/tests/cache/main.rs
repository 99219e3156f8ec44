//! The cache with Debian's server: what readers get, whatever happens to the server, to writers and to the database.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod consistency;
mod health;
mod limits;
mod outage;
mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rack::cache::{Cache, Group, LARGEST, Origin};
use testbed::{Result, ensure};

use support::{Debian, Number, Problem, change, read, secret, settings, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_made_once_and_then_found_by_all() -> Result<()> {
    let debian = Debian::up()?;
    let (here, there) = (debian.cache()?, debian.cache()?);
    // Each of the processes has taken away the tokens that others left, before the first reader comes.
    for cache in [&here, &there] {
        cache.check().await.unwrap().unwrap();
    }
    let number = Number::new();
    for got in join_all((0..100).map(|_| read(&here, &number))).await {
        ensure!(got.0 == 0, "{got:?}");
    }
    ensure!(number.reads() == 1, "it was made {} times", number.reads());
    ensure!(read(&there, &number).await == (0, Origin::Cache));

    change(&there, &number).await;
    ensure!(read(&here, &number).await == (1, Origin::Made));
    ensure!(read(&there, &number).await == (1, Origin::Cache));
    ensure!(read(&here, &number).await == (1, Origin::Cache));
    // Another group is not touched by the change.
    let kinds = || async { Ok::<_, Problem>(Bytes::from_static(b"kinds")) };
    here.get_or(Group::Kinds, "all", kinds).await.unwrap();
    change(&there, &number).await;
    let (_, origin) = here.get_or(Group::Kinds, "all", kinds).await.unwrap();
    ensure!(origin == Origin::Cache, "{origin:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_past_its_time_is_made_again() -> Result<()> {
    let debian = Debian::up()?;
    let cache = debian.cache()?;
    for (size, expected) in [(LARGEST, Origin::Cache), (LARGEST + 1, Origin::Made)] {
        let large = || async { Ok::<_, Problem>(Bytes::from(vec![7; size])) };
        let key = size.to_string();
        cache.get_or(Group::Search, &key, large).await.unwrap();
        let (value, origin) = cache.get_or(Group::Search, &key, large).await.unwrap();
        ensure!(
            (value.len(), origin) == (size, expected),
            "{size}: {origin:?}"
        );
    }
    // Time passes by the clock of the server: it is told that less of the day is left.
    let number = Number::new();
    read(&cache, &number).await;
    let key = debian.call(&["KEYS", "rack:value:*:plan:*"])?;
    let key = key[0].as_str().unwrap();
    let five_minutes = 24 * 3600 * 1000 - Group::Plan.time().as_millis() as u64;
    debian.call(&["PEXPIRE", key, &(five_minutes + 30_000).to_string()])?;
    ensure!(read(&cache, &number).await == (0, Origin::Cache));
    debian.call(&["PEXPIRE", key, &five_minutes.to_string()])?;
    ensure!(read(&cache, &number).await == (0, Origin::Made));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_values_are_given_only_while_the_database_is_gone() -> Result<()> {
    let debian = Debian::up()?;
    let cache = debian.cache()?;
    let number = Number::new();
    read(&cache, &number).await;
    change(&cache, &number).await;
    let fail = |problem| cache.get_or(Group::Plan, "number", move || async move { Err(problem) });
    let (value, origin) = fail(Problem::Gone).await.unwrap();
    ensure!((text(&value), origin) == ("0", Origin::Stale));
    ensure!(fail(Problem::NoSuchRack).await == Err(Problem::NoSuchRack));
    ensure!(read(&cache, &number).await == (1, Origin::Made));
    // A change of which nobody knows whether it was made closes the group, until it lapses.
    let write = async { Err::<u64, _>(Problem::Gone) };
    let failed = cache.change(&[Group::Plan], write).await;
    ensure!(failed == Err(Problem::Gone));
    for _ in 0..2 {
        ensure!(read(&cache, &number).await == (1, Origin::Made));
    }
    let counts = cache.counts()[Group::Plan as usize].1;
    ensure!((counts.hits, counts.stale) == (0, 1), "{counts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_said_and_a_wrong_one_is_no_cache() -> Result<()> {
    let debian = Debian::up()?;
    debian.call(&["CONFIG", "SET", "requirepass", "hush"])?;
    let number = Number::new();
    let with = |password| Cache::open(&settings(&debian.socket()), password);
    for (password, expected) in [
        (secret("hush"), Origin::Cache),
        (secret("loud"), Origin::Made),
        (None, Origin::Made),
    ] {
        let cache = with(password)?;
        read(&cache, &number).await;
        let (_, origin) = read(&cache, &number).await;
        ensure!(origin == expected, "{origin:?}");
        let told = cache.check().await.unwrap();
        ensure!(told.is_ok() == (expected == Origin::Cache), "{told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_the_server_is_known_by_its_authority() -> Result<()> {
    let debian = Debian::up()?;
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, support::pem(made.cert.der()))?;
    let port = support::tls(&made, debian.socket()).await?;
    let number = Number::new();
    for (host, trusted, is_good) in [
        ("localhost", Some(authority.clone()), true),
        ("127.0.0.1", Some(authority), false),
        ("localhost", None, false),
    ] {
        let mut settings = settings(&debian.socket());
        settings.address = format!("rediss://{host}:{port}");
        settings.authority = trusted;
        let cache = Cache::open(&settings, None)?;
        let told = cache.check().await.unwrap();
        ensure!(told.is_ok() == is_good, "{host}: {told:?}");
        read(&cache, &number).await;
    }
    ensure!(number.reads() == 3, "made {} times", number.reads());
    Ok(())
}

#[tokio::test]
async fn without_a_server_all_is_made_and_shared_by_those_who_come_at_once() {
    let disabled = rack::config::CacheSettings {
        enabled: false,
        ..Default::default()
    };
    let cache = Cache::open(&disabled, None).unwrap();
    let number = Number::new();
    let all = join_all((0..100).map(|_| read(&cache, &number))).await;
    assert!(all.iter().all(|got| *got == (0, Origin::Made)));
    assert!(number.reads() < 100, "{} of 100", number.reads());
    change(&cache, &number).await;
    assert_eq!(read(&cache, &number).await, (1, Origin::Made));
    assert!(cache.check().await.is_none() && cache.breaker().is_none());
    assert_eq!(number.value.load(Ordering::SeqCst), 1);
    assert!(
        Group::ALL
            .iter()
            .all(|group| group.time() <= Duration::from_secs(3600))
    );
}

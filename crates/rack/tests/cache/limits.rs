//! How many requests somebody may make.

use std::time::Duration;

use rack::cache::{Rate, Verdict};
use testbed::{Result, ensure};

use crate::support::Debian;

const RATE: Rate = Rate {
    requests: 10,
    per: Duration::from_secs(600),
    burst: 5,
};

fn remaining(verdict: Verdict) -> Option<u32> {
    match verdict {
        Verdict::Permitted { remaining } => Some(remaining),
        Verdict::Refused { .. } => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_count_together_and_each_alone_without_the_server() -> Result<()> {
    let mut debian = Debian::up()?;
    let limiters = [debian.cache()?.limiter(), debian.cache()?.limiter()];
    let mut left = Vec::new();
    for turn in 0..5 {
        let verdict = limiters[turn % 2].count("login", "ann", RATE).await;
        left.push(remaining(verdict));
    }
    ensure!(left == [4, 3, 2, 1, 0].map(Some), "{left:?}");
    match limiters[1].count("login", "ann", RATE).await {
        Verdict::Refused { retry_after } => {
            let minute = Duration::from_secs(50)..=Duration::from_secs(60);
            ensure!(minute.contains(&retry_after), "{retry_after:?}");
        }
        permitted => testbed::bail!("{permitted:?}"),
    }
    // Others, and what else she does, are counted apart.
    ensure!(remaining(limiters[0].count("login", "ben", RATE).await) == Some(4));
    ensure!(remaining(limiters[0].count("search", "ann", RATE).await) == Some(4));
    // Her name cannot be read from the server, and what is kept of her is gone when it is not needed any more.
    let keys = debian.call(&["KEYS", "*"])?;
    let keys: Vec<&str> = keys
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|k| k.as_str())
        .collect();
    ensure!(
        keys.len() == 3 && !keys.iter().any(|key| key.contains("ann")),
        "{keys:?}"
    );
    for key in keys {
        let left = debian.call(&["PTTL", key])?.as_i64().unwrap();
        ensure!((1..=300_000).contains(&left), "{key}: {left}");
    }

    debian.kill()?;
    for limiter in &limiters {
        for expected in [4, 3, 2, 1, 0].map(Some).into_iter().chain([None]) {
            let found = remaining(limiter.count("login", "ann", RATE).await);
            ensure!(found == expected, "{found:?} is not {expected:?}");
        }
    }
    Ok(())
}

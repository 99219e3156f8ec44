//! What `/health` and `/metrics` tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::testing::{Bare, Running, eventually};
use rack::cache::{Breaker, Group, Rules};
use rack::health::{Pool, Watched, extend};
use serde_json::{Value, json};
use testbed::{Result, ensure};

use crate::support::{Debian, Problem, cache};

const RULES: Rules = Rules {
    failures: 3,
    pause: Duration::from_secs(1),
    longest: Duration::from_secs(30),
};

/// Waits until `/health` has this at a place.
fn has(running: &Running, place: &str, expected: impl Into<Value>) -> Value {
    let expected = expected.into();
    eventually(&format!("{place} is {expected}"), || {
        let body = running.get("/health").json();
        (body.pointer(place) == Some(&expected)).then_some(body)
    })
}

#[test]
fn without_the_database_it_is_not_ready_and_without_the_cache_it_is_slower() -> Result<()> {
    let mut debian = Debian::up()?;
    let (socket, is_up) = (debian.socket(), Arc::new(AtomicBool::new(true)));
    let database = is_up.clone();
    let ping = move || {
        let is_up = database.load(Ordering::SeqCst);
        async move {
            match is_up {
                true => Ok(Duration::from_micros(1500)),
                false => Err("nobody listens".to_owned()),
            }
        }
    };
    let running = Running::start("rack", Bare::default(), None, |_, kit| async move {
        let cache = cache(&socket)?;
        for _ in 0..2 {
            let make = || async { Ok::<_, Problem>("kinds".into()) };
            let got = cache.get_or(Group::Kinds, "all", make).await;
            got.expect("they are made");
        }
        let watched = Watched {
            ping,
            pool: || Pool {
                size: 3,
                available: 2,
                waiting: 0,
                max: 30,
            },
            cache,
            breakers: vec![Breaker::new("database", RULES)],
            disk: "/".into(),
            configuration: json!({ "public_view": false }),
        };
        extend(&kit, watched);
        kit.serve(axum::Router::new()).await
    });

    let body = has(&running, "/database/latency_ms", 1.5);
    ensure!(body["database"]["pool"]["max"] == 30, "{body}");
    ensure!(body["configuration"]["public_view"] == false, "{body}");
    ensure!(body["memory"]["used_ratio"].is_f64() && body["disk"]["used_ratio"].is_f64());
    let closed = json!({ "state": "closed", "opened": 0 });
    ensure!(
        body["breakers"] == json!({ "database": closed, "cache": closed }),
        "{body}"
    );
    let body = has(&running, "/cache/hits", 1);
    ensure!(
        body["cache"]["hit_ratio"] == 0.5 && body["cache"]["enabled"] == true,
        "{body}"
    );
    let metrics = running.get("/metrics").text;
    for line in [
        "rack_cache_hits_total{group=\"kinds\"} 1",
        "rack_cache_misses_total{group=\"kinds\"} 1",
        "rack_cache_stale_total{group=\"plan\"} 0",
        "rack_database_connections{state=\"used\"} 1.0",
        "rack_database_latency_seconds 0.0015",
        "rack_breaker_state{breaker=\"cache\"} 0.0",
        "rack_breaker_opened_total{breaker=\"database\"} 0",
    ] {
        ensure!(metrics.contains(line), "no {line} in {metrics}");
    }

    is_up.store(false, Ordering::SeqCst);
    let body = has(&running, "/components/database/status", "failed");
    ensure!(
        body["components"]["database"]["reason"] == "nobody listens",
        "{body}"
    );
    ensure!(body["database"]["latency_ms"].is_null(), "{body}");
    ensure!(running.get("/health/ready").status == 503);
    is_up.store(true, Ordering::SeqCst);
    has(&running, "/components/database/status", "ok");
    ensure!(running.get("/health/ready").status == 200);

    debian.kill()?;
    has(&running, "/components/cache/status", "degraded");
    ensure!(running.get("/health/ready").status == 200);
    debian.restart()?;
    has(&running, "/components/cache/status", "ok");
    running.stop();
    Ok(())
}

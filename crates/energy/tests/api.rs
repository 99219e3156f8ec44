//! What the dashboard answers, from the cache alone.

use std::path::Path;

use energy::amber::{Channel, Kind, Level, Price, Site, Usage};
use energy::cache::Cache;
use energy::config::CACHE_FILE;
use energy::config::Config;
use energy::sync::{KEY, State};
use kit::testing::{Running, eventually};
use serde_json::Value;

fn now() -> i64 {
    kit::clock::now_ms() / 1000
}

fn price(channel: Channel, start: i64, kind: Kind, per_kwh: f64) -> Price {
    Price {
        channel,
        start,
        minutes: 30,
        kind,
        per_kwh,
        spot_per_kwh: None,
        predicted: None,
        renewables: Some(40.0),
        level: Some(Level::Low),
        spike: Default::default(),
        estimate: false,
    }
}

/// The cache that a sync left this many minutes ago.
fn synced(directory: &Path, minutes_ago: i64) -> Cache {
    let mut cache = Cache::open(&directory.join(CACHE_FILE)).unwrap();
    let this = now() / 1800 * 1800;
    cache
        .keep_prices(&[
            price(Channel::General, this - 1800, Kind::Actual, 21.0),
            price(Channel::General, this, Kind::Current, 24.5),
            price(Channel::General, this + 1800, Kind::Forecast, 30.0),
            price(Channel::FeedIn, this, Kind::Current, -6.5),
        ])
        .unwrap();
    let used = |start, channel, identifier: &str, kwh, cost| Usage {
        channel,
        identifier: identifier.into(),
        start,
        minutes: 30,
        kwh,
        cost,
        estimated: false,
    };
    let yesterday = now() - now() % 86_400 - 86_400;
    let usage: Vec<Usage> = (yesterday..yesterday + 86_400)
        .step_by(1800)
        .flat_map(|start| {
            [
                used(start, Channel::General, "E1", 0.5, 10.0),
                used(start, Channel::FeedIn, "B1", 0.25, -1.5),
            ]
        })
        .collect();
    cache.keep_usage(&usage).unwrap();
    let site = Site {
        id: "SITE".into(),
        network: "Ausgrid".into(),
        status: "active".into(),
        interval_minutes: 30,
    };
    let at = (now() - minutes_ago * 60) * 1000;
    cache.set(KEY, &State::fresh(at, site)).unwrap();
    cache
}

fn dashboard(directory: &Path) -> Running {
    let mut config = Config::default();
    config.cache.file = Some(directory.join(CACHE_FILE));
    config.display.time_zone = Some("UTC".into());
    Running::start("energy", config, None, energy::run)
}

fn health(dashboard: &Running) -> Value {
    let answer = dashboard.get("/api/health");
    assert_eq!(answer.status, 200);
    answer.json()
}

#[test]
fn fresh_prices_are_live_and_ok() {
    let directory = tempfile::tempdir().unwrap();
    synced(directory.path(), 1);
    let dashboard = dashboard(directory.path());
    let said = health(&dashboard);
    assert_eq!(
        (&said["source"], &said["status"]),
        (&"live".into(), &"ok".into()),
        "{said}"
    );
    assert!(
        (60..70).contains(&said["cache_age"].as_i64().unwrap()),
        "{said}"
    );
    let said = dashboard.get("/api/now").json();
    let general = &said["prices"]["general"];
    assert_eq!(
        (&general["per_kwh"], &general["level"]),
        (&24.5.into(), &"low".into())
    );
    assert_eq!(said["prices"]["feedIn"]["per_kwh"], -6.5);
    assert_eq!(said["time_zone"], "UTC");
    assert_eq!(dashboard.get("/health").json()["status"], "ok");
    dashboard.stop();
}

#[test]
fn old_prices_are_told_with_their_age_and_no_alarm_is_rung() {
    let directory = tempfile::tempdir().unwrap();
    synced(directory.path(), 60);
    let dashboard = dashboard(directory.path());
    let said = health(&dashboard);
    assert_eq!(
        (&said["source"], &said["status"]),
        (&"cache".into(), &"stale".into()),
        "{said}"
    );
    assert!(said["cache_age"].as_i64().unwrap() >= 3600);
    // The service itself is healthy: a network that is down must not undo an update.
    let kit = dashboard.get("/health");
    assert_eq!(kit.status, 200);
    assert_eq!(kit.json()["status"], "degraded");
    assert_eq!(
        dashboard.get("/api/now").json()["prices"]["general"]["per_kwh"],
        24.5
    );
    dashboard.stop();
}

#[test]
fn a_device_that_was_never_online_serves_its_page_and_says_that_it_knows_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let dashboard = dashboard(directory.path());
    let said = health(&dashboard);
    assert_eq!(
        (&said["cache_age"], &said["status"]),
        (&Value::Null, &"unknown".into())
    );
    for path in [
        "/",
        "/kit.css",
        "/energy.css",
        "/time.js",
        "/prices.js",
        "/chart.js",
        "/energy.js",
        "/health",
        "/metrics",
    ] {
        assert_eq!(dashboard.get(path).status, 200, "{path}");
    }
    let said = dashboard.get("/api/now").json();
    assert_eq!(said["prices"], serde_json::json!({}));
    assert_eq!(
        dashboard.get("/api/prices").json()["intervals"],
        serde_json::json!([])
    );
    dashboard.stop();
}

#[test]
fn what_the_sync_writes_is_seen_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let dashboard = dashboard(directory.path());
    assert_eq!(health(&dashboard)["status"], "unknown");
    synced(directory.path(), 0);
    eventually("the dashboard sees it", || {
        (health(&dashboard)["status"] == "ok").then_some(())
    });
    dashboard.stop();
}

#[test]
fn the_dashboard_knows_whether_the_wall_asks() {
    let directory = tempfile::tempdir().unwrap();
    synced(directory.path(), 2);
    let dashboard = dashboard(directory.path());
    let asked = || dashboard.get("/api/wall").json()["asked_seconds_ago"].clone();
    dashboard.get("/api/now").json();
    assert_eq!(asked(), Value::Null);
    let [said, same] = ["/api/now/wall", "/api/now"].map(|path| dashboard.get(path).json());
    assert_eq!(said["prices"], same["prices"]);
    assert!(
        asked().as_f64().is_some_and(|ago| ago < 60.0),
        "{}",
        asked()
    );
}

#[test]
fn days_tell_what_was_used_and_whether_that_is_all() {
    let directory = tempfile::tempdir().unwrap();
    synced(directory.path(), 0);
    let dashboard = dashboard(directory.path());
    let said = dashboard.get("/api/usage/days?days=3").json();
    let days = said["days"].as_array().unwrap();
    assert_eq!(days.len(), 1, "nothing is made up for the others: {said}");
    let day = &days[0];
    assert_eq!((&day["kwh"], &day["cost"]), (&24.0.into(), &480.0.into()));
    assert_eq!(
        (&day["fed_in_kwh"], &day["earned"]),
        (&12.0.into(), &72.0.into())
    );
    assert_eq!(
        (&day["complete"], &day["today"]),
        (&true.into(), &false.into())
    );
    assert_eq!(dashboard.get("/api/now").json()["days"], said["days"]);
    dashboard.stop();
}

#[test]
fn a_stretch_of_time_is_told_and_nonsense_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    synced(directory.path(), 0);
    let dashboard = dashboard(directory.path());
    let this = now() / 1800 * 1800;
    let said = dashboard
        .get(&format!("/api/prices?from={this}&to={}", this + 1800))
        .json();
    let channels: Vec<&Value> = said["intervals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["channel"])
        .collect();
    assert_eq!(channels, ["feedIn", "general"]);
    let said = dashboard.get("/api/usage").json();
    assert!(!said["intervals"].as_array().unwrap().is_empty());
    for (path, problem) in [
        ("/api/prices?from=soon", "from: must be seconds since 1970"),
        (
            "/api/prices?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
            "from: must be before to",
        ),
        ("/api/usage?from=0&to=9000000", "to: must be within 62 days"),
        ("/api/usage/days?days=0", "days: must be between 1 and 366"),
        ("/api/usage?since=0", "unknown field `since`"),
    ] {
        let answer = dashboard.get(path);
        assert_eq!(answer.status, 400, "{path}");
        let details = answer.json()["details"].as_str().unwrap().to_owned();
        assert!(details.contains(problem), "{path}: {details}");
    }
    dashboard.stop();
}

#[test]
fn metrics_tell_only_what_holds_now() {
    let directory = tempfile::tempdir().unwrap();
    let cache = synced(directory.path(), 1);
    let dashboard = dashboard(directory.path());
    let text = dashboard.get("/metrics").text;
    for line in [
        "energy_price_cents_per_kwh{channel=\"general\"} 24.5",
        "energy_price_cents_per_kwh{channel=\"feedIn\"} -6.5",
        "energy_renewables_percent 40.0",
        "energy_cache_readable 1.0",
        "energy_sync_up 1.0",
        "energy_sync_attempts_total 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    drop(cache);
    dashboard.stop();
    let empty = tempfile::tempdir().unwrap();
    let dashboard = self::dashboard(empty.path());
    let text = dashboard.get("/metrics").text;
    assert!(!text.contains("energy_price_cents_per_kwh{"), "{text}");
    assert!(!text.contains("energy_cache_age_seconds "), "{text}");
    dashboard.stop();
}

#[test]
fn a_cache_that_cannot_be_opened_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.cache.file = Some(directory.path().join("missing").join(CACHE_FILE));
    let dashboard = Running::start("energy", config, None, energy::run);
    assert_eq!(dashboard.get("/api/prices").status, 503);
    assert_eq!(dashboard.get("/health").json()["status"], "degraded");
    std::fs::create_dir(directory.path().join("missing")).unwrap();
    eventually("the cache can be opened", || {
        (dashboard.get("/api/prices").status == 200).then_some(())
    });
    dashboard.stop();
}

#[test]
fn a_simulated_house_has_prices_and_usage() {
    let config = Config {
        simulate: true,
        ..Config::default()
    };
    let dashboard = Running::start("energy", config, None, energy::run);
    let said = dashboard.get("/api/now").json();
    assert!(said["prices"]["general"]["per_kwh"].is_number(), "{said}");
    assert!(said["days"].as_array().unwrap().len() >= 7, "{said}");
    assert_eq!(health(&dashboard)["status"], "ok");
    dashboard.stop();
}

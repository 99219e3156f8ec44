//! What scripts and habits of the installation that this service replaces expect of it: paths, fields, variables, limits.
//! A row for each, with what is expected and what ours is.

mod support;

use std::sync::mpsc::{Receiver as Wait, channel};

use climate::World;
use climate::config::Config;
use climate::import::take;
use climate::sensor::{Measurement, Sensor, SensorError};
use kit::import::import;
use serde_json::{Value, json};
use support::*;

const MODULE: &str = include_str!("../../../modules/services/climate.nix");
const RULES: &str = include_str!("../monitoring/alerts.yml");

/// Fails with every row whose two values differ.
fn same(rows: impl IntoIterator<Item = (&'static str, Value, Value)>) {
    let differ: Vec<String> = rows
        .into_iter()
        .filter(|(_, expected, ours)| expected != ours)
        .map(|(what, expected, ours)| format!("{what}: expected {expected}, ours {ours}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The type of a field.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_i64() => "whole number",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Bool(_) => "truth",
        Value::Null => "null",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// A sensor that measures once and then hangs until the other end is dropped.
struct Hanging {
    room: Room,
    measured: bool,
    end: Wait<()>,
}

impl Sensor for Hanging {
    fn measure(&mut self) -> Result<Measurement, SensorError> {
        if std::mem::replace(&mut self.measured, true) {
            let _ = self.end.recv();
        }
        self.room.measure()
    }
}

#[test]
fn health_has_the_fields_words_and_types_that_monitors_read() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    let answer = service.get("/health");
    let health = answer.json();
    same([
        ("status of the answer", json!(200), json!(answer.status)),
        (
            "content type",
            json!("application/json"),
            json!(answer.headers["content-type"].to_str().unwrap()),
        ),
        ("status", json!("healthy"), health["status"].clone()),
        (
            "uptime_seconds",
            json!("whole number"),
            json!(kind(&health["uptime_seconds"])),
        ),
        (
            "sensor_thread_alive",
            json!(true),
            health["sensor_thread_alive"].clone(),
        ),
        (
            "timestamp",
            json!("number"),
            json!(kind(&health["timestamp"])),
        ),
    ]);
    // It counts seconds since 1970.
    let now = kit::clock::now_ms() as f64 / 1000.0;
    let age = now - health["timestamp"].as_f64().unwrap();
    assert!((-1.0..60.0).contains(&age), "{age}");
    service.stop();
}

#[test]
fn health_is_503_when_the_sensor_thread_is_not_alive() {
    let (end, wait) = channel();
    let sensor = Hanging {
        room: Room::at(21.5, 45.0),
        measured: false,
        end: wait,
    };
    let state = tempfile::tempdir().unwrap();
    let settings = json!({
        "sensor": { "interval_seconds": 0.05 },
        "history": { "directory": state.path() },
    });
    let config: Config = serde_json::from_value(settings).unwrap();
    let world = World {
        sensor: Some(Box::new(sensor)),
        ..World::default()
    };
    let service = Running::start("climate", config, None, |config, kit| {
        climate::run_in(world, config, kit)
    });
    let answer = eventually("the silence of the sensor thread is noticed", || {
        Some(service.get("/health")).filter(|answer| answer.status != 200)
    });
    same([
        ("status of the answer", json!(503), json!(answer.status)),
        (
            "sensor_thread_alive",
            json!(false),
            answer.json()["sensor_thread_alive"].clone(),
        ),
    ]);
    // The page and its API answer all the same.
    assert_eq!(service.get("/").status, 200);
    drop(end);
    service.stop();
}

#[test]
fn metrics_come_for_prometheus_and_as_json_in_three_parts() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    let prometheus = service.get("/metrics").text;
    assert!(
        prometheus.contains("# TYPE climate_temperature_celsius gauge\n"),
        "{prometheus}"
    );
    let asked = service.call("GET", "/metrics", &[("accept", "application/json")], "");
    // What `curl … | python -m json.tool` reads, since curl asks for nothing in particular.
    let plain = service.get("/metrics.json");
    for answer in [asked, plain] {
        let metrics = answer.json();
        let names: Vec<&String> = metrics.as_object().unwrap().keys().collect();
        same([
            (
                "content type",
                json!("application/json"),
                json!(answer.headers["content-type"].to_str().unwrap()),
            ),
            (
                "parts",
                json!(["application", "hardware", "system"]),
                json!(names),
            ),
            (
                "requests",
                json!("whole number"),
                json!(kind(&metrics["application"]["request_count"])),
            ),
            (
                "alerts sent",
                json!("whole number"),
                json!(kind(&metrics["application"]["alerts_sent"])),
            ),
            (
                "uptime",
                json!("whole number"),
                json!(kind(&metrics["application"]["uptime_seconds"])),
            ),
            (
                "there is a temperature of the processor, even if this machine does not tell it",
                json!(true),
                json!(metrics["hardware"].get("cpu_temperature_c").is_some()),
            ),
            (
                "CPU %",
                json!("number"),
                json!(kind(&metrics["system"]["cpu_percent"])),
            ),
            (
                "memory_mb",
                json!("number"),
                json!(kind(&metrics["system"]["memory_mb"])),
            ),
            (
                "threads",
                json!("whole number"),
                json!(kind(&metrics["system"]["threads"])),
            ),
        ]);
    }
    service.stop();
}

#[test]
fn the_page_and_the_api_are_where_they_were() {
    let (state, room) = (tempfile::tempdir().unwrap(), Room::at(21.5, 45.0));
    let service = service(&room, state.path(), None, json!({}));
    eventually("there is some history", || {
        let series = service.get("/api/history?points=2000").json();
        (!series["points"].as_array()?.is_empty()).then_some(())
    });
    let json = "application/json";
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/health", json),
        ("/api/reading", json),
        ("/api/history", json),
        ("/api/history?from=2026-01-01T00:00:00Z", json),
        ("/api/history?from=0&to=4000000000", json),
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], kind, "{path}");
    }
    // Current values, and a chart of the history.
    let (page, script) = (service.get("/").text, service.get("/climate.js").text);
    assert!(page.contains("id=\"charts\"") && page.contains("climate.js"));
    assert!(script.contains("api/reading") && script.contains("api/history"));
    service.stop();
}

#[test]
fn the_webhook_is_shown_changed_and_tried_with_the_bearer_token() {
    let (state, receiver, room) = around(21.5, 45.0);
    let service = service(&room, state.path(), Some(&receiver.url()), json!({}));
    for (method, path) in [
        ("GET", "/api/webhook/config"),
        ("PUT", "/api/webhook/config"),
        ("POST", "/api/webhook/test"),
    ] {
        assert_eq!(service.call(method, path, &[], "{}").status, 401, "{path}");
    }
    let change = r#"{"thresholds": {"temp_min_c": 18.0, "temp_max_c": 25.0}}"#;
    let changed = with_token(&service, "PUT", "/api/webhook/config", change);
    assert_eq!(changed.status, 200, "{}", changed.text);
    let shown = with_token(&service, "GET", "/api/webhook/config", "").json();
    let fields = |part: &str| -> Vec<String> {
        let fields = shown[part].as_object().unwrap();
        fields.keys().cloned().collect()
    };
    same([
        (
            "webhook",
            json!(["enabled", "retry_count", "retry_delay", "timeout", "url"]),
            json!(fields("webhook")),
        ),
        (
            "thresholds",
            json!(["humidity_max", "humidity_min", "temp_max_c", "temp_min_c"]),
            json!(fields("thresholds")),
        ),
        (
            "temp_min_c",
            json!(18.0),
            shown["thresholds"]["temp_min_c"].clone(),
        ),
        (
            "temp_max_c",
            json!(25.0),
            shown["thresholds"]["temp_max_c"].clone(),
        ),
    ]);
    // The receiver takes what Slack takes: JSON with a field `text`.
    let tried = with_token(&service, "POST", "/api/webhook/test", "");
    assert_eq!(tried.status, 200, "{}", tried.text);
    assert!(receiver.hears(1)[0].contains("this is a test"));
    service.stop();
}

#[test]
fn every_variable_of_the_env_file_is_understood() {
    let text = "LOG_FILE=/var/log/temp-monitor/temp_monitor.log\n\
                SLACK_WEBHOOK_URL=https://hooks.slack.com/services/T0/B0/x\nWEBHOOK_ENABLED=false\n\
                WEBHOOK_RETRY_COUNT=4\nWEBHOOK_RETRY_DELAY=6\nWEBHOOK_TIMEOUT=12\n\
                ALERT_TEMP_MIN_C=16.0\nALERT_TEMP_MAX_C=28.0\nALERT_HUMIDITY_MIN=31.0\nALERT_HUMIDITY_MAX=69.0\n\
                STATUS_UPDATE_ENABLED=true\nSTATUS_UPDATE_INTERVAL=1800\nBEARER_TOKEN=0123abcd\n";
    let imported = import::<Config>("climate", text, take).unwrap();
    let ours = |section: &str, key: &str| imported.config[section][key].clone();
    same([
        ("WEBHOOK_ENABLED", json!(false), ours("webhook", "enabled")),
        (
            "WEBHOOK_RETRY_COUNT",
            json!(4),
            ours("webhook", "retry_count"),
        ),
        (
            "WEBHOOK_RETRY_DELAY",
            json!(6),
            ours("webhook", "retry_delay"),
        ),
        ("WEBHOOK_TIMEOUT", json!(12), ours("webhook", "timeout")),
        (
            "ALERT_TEMP_MIN_C",
            json!(16.0),
            ours("alerts", "temp_min_c"),
        ),
        (
            "ALERT_TEMP_MAX_C",
            json!(28.0),
            ours("alerts", "temp_max_c"),
        ),
        (
            "ALERT_HUMIDITY_MIN",
            json!(31.0),
            ours("alerts", "humidity_min"),
        ),
        (
            "ALERT_HUMIDITY_MAX",
            json!(69.0),
            ours("alerts", "humidity_max"),
        ),
        (
            "STATUS_UPDATE_ENABLED",
            json!(true),
            ours("status", "enabled"),
        ),
        (
            "STATUS_UPDATE_INTERVAL",
            json!(1800),
            ours("status", "interval_seconds"),
        ),
        (
            "BEARER_TOKEN and SLACK_WEBHOOK_URL",
            json!(
                "[secrets]\n\"climate.bearer-token\" = \"0123abcd\"\n\
                 \"climate.slack-webhook-url\" = \"https://hooks.slack.com/services/T0/B0/x\"\n"
            ),
            json!(imported.lichen_toml()),
        ),
    ]);
    // What has no setting here is told with what to do instead.
    let [log] = &imported.notes[..] else {
        panic!("{:?}", imported.notes);
    };
    assert!(log.contains("LOG_FILE") && log.contains("journalctl -u climate"));
}

#[test]
fn what_is_not_set_is_as_it_was() {
    let default = Config::default();
    same([
        ("port", json!(8080), json!(default.http.port)),
        (
            "connections",
            json!(50),
            json!(default.http.max_connections),
        ),
        (
            "time for a request, in seconds",
            json!(120),
            json!(default.http.request_timeout_seconds),
        ),
        (
            "seconds between two readings",
            json!(60.0),
            json!(default.sensor.interval_seconds),
        ),
        (
            "WEBHOOK_ENABLED",
            json!(true),
            json!(default.webhook.enabled),
        ),
        (
            "WEBHOOK_RETRY_COUNT",
            json!(3),
            json!(default.webhook.retry_count),
        ),
        (
            "WEBHOOK_RETRY_DELAY",
            json!(5),
            json!(default.webhook.retry_delay),
        ),
        ("WEBHOOK_TIMEOUT", json!(10), json!(default.webhook.timeout)),
        (
            "ALERT_TEMP_MIN_C and ALERT_TEMP_MAX_C",
            json!([15.0, 27.0]),
            json!([default.alerts.temp_min_c, default.alerts.temp_max_c]),
        ),
        (
            "ALERT_HUMIDITY_MIN and ALERT_HUMIDITY_MAX",
            json!([30.0, 70.0]),
            json!([default.alerts.humidity_min, default.alerts.humidity_max]),
        ),
        (
            "STATUS_UPDATE_ENABLED",
            json!(false),
            json!(default.status.enabled),
        ),
        (
            "STATUS_UPDATE_INTERVAL",
            json!(3600),
            json!(default.status.interval_seconds),
        ),
    ]);
    for (what, text, expected) in [
        ("port", MODULE, "port = 8080;"),
        ("at most 512 MB of memory", MODULE, "MemoryMax = \"512M\";"),
        (
            "an alert at 400 MB",
            RULES,
            "process_resident_memory_bytes{job=\"climate\"} > 400 * 1024 * 1024",
        ),
    ] {
        assert!(text.contains(expected), "{what}: no {expected}");
    }
}

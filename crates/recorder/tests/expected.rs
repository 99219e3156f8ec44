//! What scripts and habits of the installation that this service replaces expect of it: metrics, the heartbeat, commands,
//! ports, alerts. A row for each, with what is expected and what ours is.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use kit::Configuration;
use kit::testing::{Program, call, command, try_call};
use recorder::config::Config;
use recorder::machine::State;
use serde_json::{Value, json};
use support::*;
use tempfile::TempDir;

const MODULE: &str = include_str!("../../../modules/services/recorder.nix");
const EVERY_SERVICE: &str = include_str!("../../../modules/services/common/kit.nix");
const COURIER: &str = include_str!("../../../modules/services/courier.nix");
const NODE_EXPORTER: &str = include_str!("../../../modules/daemons/prometheus-node-exporter.nix");
const APPLIANCE: &str = include_str!("../../../appliances/recorder.nix");
const RULES: &str = include_str!("../monitoring/alerts.yml");
const DEVICE_RULES: &str = include_str!("../../kit/monitoring/alerts.yml");
const DASHBOARD: &str = include_str!("../monitoring/dashboard.json");

const BEARER: (&str, &str) = ("authorization", "Bearer a-token-for-tests");

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

/// The program as a unit starts it, with a made-up camera.
struct Device {
    directory: TempDir,
    program: Program,
    metrics: SocketAddr,
}

impl Device {
    fn start() -> Self {
        needs_ffmpeg();
        let directory = tempfile::tempdir().unwrap();
        let [run, secrets] = ["run", "credentials"].map(|name| directory.path().join(name));
        for folder in [&run, &secrets] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(secrets.join("recorder.bearer-token"), "a-token-for-tests").unwrap();
        let metrics = nobody();
        let mut config = settings(directory.path());
        merge(
            &mut config,
            json!({ "http": { "metrics_port": metrics.port() } }),
        );
        let mut recorder = command(env!("CARGO_BIN_EXE_recorder"));
        recorder.arg("run");
        recorder.env("RUNTIME_DIRECTORY", run);
        recorder.env("CREDENTIALS_DIRECTORY", secrets);
        let program = Program::start(&mut recorder, directory.path(), config);
        let device = Device {
            directory,
            program,
            metrics,
        };
        eventually("it is ready", || {
            (device.beat()?["state"] == "ready").then_some(())
        });
        device
    }

    fn heartbeat(&self) -> PathBuf {
        self.directory.path().join("run/heartbeat.json")
    }

    /// What the heartbeat's file says, once there is one. Whoever reads it never sees half of it.
    fn beat(&self) -> Option<Value> {
        let text = fs::read(self.heartbeat()).ok()?;
        Some(serde_json::from_slice(&text).expect("the file is whole"))
    }

    /// What Prometheus gets, on the port for it.
    fn metrics(&self) -> Option<String> {
        let answer = try_call(self.metrics, "GET", "/metrics", &[], "");
        Some(answer.ok()?.text)
    }

    /// The status of the answer to a POST with the token.
    fn post(&self, path: &str) -> u16 {
        call(self.program.address, "POST", path, &[BEARER], "").status
    }
}

#[test]
fn metrics_have_their_names_and_labels_on_their_own_port() {
    let device = Device::start();
    let metrics = eventually("the heart has beaten", || {
        device
            .metrics()
            .filter(|text| text.contains("\nrecorder_up 1"))
    });
    for name in [
        "recorder_up ",
        "recorder_heartbeat_age_seconds ",
        "recorder_state{state=\"booting\"} 0",
        "recorder_state{state=\"ready\"} 1",
        "recorder_state{state=\"recording\"} 0",
        "recorder_state{state=\"processing\"} 0",
        "recorder_state{state=\"error\"} 0",
        "recorder_recording_active 0",
        "recorder_upload_queue_size 0",
        "recorder_uptime_seconds ",
        "recorder_disk_free_bytes ",
        "recorder_disk_usage_ratio ",
        "recorder_videos_total{status=\"pending\"} 0",
        "recorder_videos_total{status=\"completed\"} 0",
        "recorder_videos_total{status=\"failed\"} 0",
        "recorder_videos_total{status=\"corrupted\"} 0",
        "recorder_upload_success_rate ",
    ] {
        assert!(
            metrics.contains(&format!("\n{name}")),
            "no {name} in {metrics}"
        );
    }
    device.program.stop();
}

#[test]
fn the_heartbeat_has_its_fields_and_types_each_second_and_follows_start_and_stop() {
    let device = Device::start();
    let beat = device.beat().unwrap();
    let fields: Vec<&String> = beat.as_object().unwrap().keys().collect();
    let process = format!("/proc/{}/comm", beat["pid"]);
    same([
        (
            "fields, by the alphabet",
            json!([
                "currently_uploading",
                "pid",
                "recording_active",
                "state",
                "timestamp",
                "upload_queue_size",
                "uptime_seconds"
            ]),
            json!(fields),
        ),
        ("timestamp", json!("text"), json!(kind(&beat["timestamp"]))),
        (
            "uptime_seconds",
            json!("number"),
            json!(kind(&beat["uptime_seconds"])),
        ),
        ("state", json!("ready"), beat["state"].clone()),
        (
            "recording_active",
            json!(false),
            beat["recording_active"].clone(),
        ),
        (
            "upload_queue_size",
            json!(0),
            beat["upload_queue_size"].clone(),
        ),
        (
            "currently_uploading",
            json!(null),
            beat["currently_uploading"].clone(),
        ),
        (
            "pid is that of the service",
            json!("recorder\n"),
            json!(fs::read_to_string(process).unwrap()),
        ),
    ]);
    eventually("it beats again", || {
        (device.beat()?["timestamp"] != beat["timestamp"]).then_some(())
    });

    // Nobody starts it without the token.
    let stranger = call(device.program.address, "POST", "/api/start", &[], "");
    assert_eq!(stranger.status, 401);
    assert_eq!(device.post("/api/start"), 204);
    eventually("it says that it records", || {
        let beat = device.beat()?;
        let records = beat["state"] == "recording" && beat["recording_active"] == true;
        let metrics = device.metrics()?;
        let tells = metrics.contains("\nrecorder_state{state=\"recording\"} 1")
            && metrics.contains("\nrecorder_recording_active 1");
        (records && tells).then_some(())
    });
    assert_eq!(device.post("/api/stop"), 204);
    eventually("it is ready again", || {
        let beat = device.beat()?;
        (beat["state"] == "ready" && beat["recording_active"] == false).then_some(())
    });
    device.program.stop();
}

#[test]
fn states_settings_and_limits_have_their_words_and_values() {
    let default = Config::default();
    same([
        (
            "states",
            json!(["booting", "ready", "recording", "processing", "error"]),
            json!(State::ALL.map(State::word)),
        ),
        (
            "with less free space than this, nothing is recorded",
            json!(5_000_000_000_u64),
            json!(default.space.min_free_bytes),
        ),
    ]);
    for (what, settings) in [
        (
            "a button and three LEDs",
            json!({ "gpio": {
                "chips": ["pinctrl-bcm2711"],
                "buttons": [{ "line": 17 }],
                "leds": { "ready": { "line": 22 }, "error": { "line": 27 }, "network": { "line": 24 } },
            } }),
        ),
        (
            "S3",
            json!({ "uploads": { "target": "s3", "s3": { "endpoint": "https://s3.example.org", "bucket": "videos" } } }),
        ),
        (
            "tus",
            json!({ "uploads": { "target": "tus", "tus": { "url": "https://videos.example.org/files/" } } }),
        ),
        (
            "HTTP PUT",
            json!({ "uploads": { "target": "put", "put": { "url": "https://videos.example.org/files/" } } }),
        ),
        (
            "YouTube",
            json!({ "uploads": { "target": "youtube", "youtube": { "privacy": "unlisted" } } }),
        ),
        (
            "retention by age and space",
            json!({ "space": { "max_days": 7, "max_bytes": 30_000_000_000_u64 } }),
        ),
    ] {
        let config: Config =
            serde_json::from_value(settings).unwrap_or_else(|problem| panic!("{what}: {problem}"));
        assert_eq!(config.check(), Ok(()), "{what}");
    }
    for (what, text, expected) in [
        (
            "metrics on 9101",
            MODULE,
            "metricsPort = option types.port 9101",
        ),
        ("a unit of this name", MODULE, "kit.service \"recorder\""),
        (
            "the heartbeat's directory",
            MODULE,
            "RuntimeDirectory = \"recorder\";",
        ),
        (
            "restarted when it has hung for 30 s",
            EVERY_SERVICE,
            "WatchdogSec = \"30s\";",
        ),
        (
            "the device's metrics on 9100",
            NODE_EXPORTER,
            "port = 9100;",
        ),
        (
            "they are on",
            APPLIANCE,
            "services.prometheus.exporters.node = { enable = true;",
        ),
        (
            "metrics are sent every 15 s",
            COURIER,
            "15 \"Seconds between two scrapes.\"",
        ),
        (
            "with the label instance",
            COURIER,
            "`instance` is the device's host name",
        ),
        ("and any other", COURIER, "labels = setting \"labels\""),
    ] {
        assert!(text.contains(expected), "{what}: no {expected}");
    }
}

#[test]
fn alerts_and_panels_are_those_that_its_owners_had() {
    for (rules, alert, parts) in [
        (
            RULES,
            "RecorderDown",
            ["up{job=\"recorder\"} == 0", "for: 1m", "severity: critical"],
        ),
        (
            RULES,
            "RecorderDiskLow",
            ["recorder_disk_free_bytes < 5e9", "for: 5m", "severity: "],
        ),
        (
            RULES,
            "RecorderUploadsFail",
            [
                "recorder_upload_success_rate < 0.95",
                "for: 1h",
                "severity: ",
            ],
        ),
        (
            DEVICE_RULES,
            "DeviceHot",
            ["soc_temperature_celsius > 80", "for: 5m", "severity: "],
        ),
    ] {
        let begin = rules.split(&format!("- alert: {alert}\n")).nth(1);
        let rule = begin.unwrap().split("- alert: ").next().unwrap();
        for part in parts {
            assert!(rule.contains(part), "{alert}: no {part} in {rule}");
        }
    }
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    for (panel, ours) in [
        ("status", "Device"),
        ("state", "State"),
        ("disk", "Disk"),
        ("success rate", "Uploads that succeed"),
        ("videos by status", "Videos by status"),
        ("temperature", "Temperature"),
        ("memory", "Memory"),
        ("recordings per day", "Recordings per day"),
        ("uptime", "Uptime"),
        ("logs", "Logs"),
    ] {
        let found = panels.iter().any(|panel| panel["title"] == ours);
        assert!(found, "{panel}: there is no panel {ours}");
    }
}

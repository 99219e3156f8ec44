//! What scripts and habits of the installation that this service replaces expect of it: paths, fields, variables, names of
//! units and files. A row for each, with what is expected and what ours is.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

#[path = "support/house.rs"]
mod house;

use std::path::Path;

use energy::config::{CACHE_FILE, Config};
use energy::import::{STATE_DIRECTORY, take};
use house::{House, Story};
use kit::import::import;
use kit::testing::{command, finished};
use serde_json::{Value, json};

const MODULE: &str = include_str!("../../../modules/services/energy.nix");
const KIOSK: &str = include_str!("../../../modules/services/energy-kiosk.nix");

/// Fails with every row whose two values differ.
fn same(rows: impl IntoIterator<Item = (&'static str, Value, Value)>) {
    let differ: Vec<String> = rows
        .into_iter()
        .filter(|(_, expected, ours)| expected != ours)
        .map(|(what, expected, ours)| format!("{what}: expected {expected}, ours {ours}"))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Whether an answer is of this kind: the words of a field that has a few, or its type.
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

#[test]
fn api_health_has_the_fields_words_and_types_that_monitors_read() {
    // source, status and the type of cache_age, with fresh prices, with old ones, and with none.
    for (story, source, status, age) in [
        (Story::Usual, "live", "ok", "whole number"),
        (Story::Old, "cache", "stale", "whole number"),
        (Story::New, "cache", "unknown", "null"),
    ] {
        let house = House::new(story);
        let answer = house.get("/api/health");
        let health = answer.json();
        same([
            ("status of the answer", json!(200), json!(answer.status)),
            (
                "content type",
                json!("application/json"),
                json!(answer.headers["content-type"].to_str().unwrap()),
            ),
            ("source", json!(source), health["source"].clone()),
            ("status", json!(status), health["status"].clone()),
            ("cache_age", json!(age), json!(kind(&health["cache_age"]))),
        ]);
        // It counts seconds.
        if story == Story::Old {
            let age = health["cache_age"].as_i64().unwrap();
            assert!((9 * 3600..9 * 3600 + 600).contains(&age), "{age}");
        }
    }
}

#[test]
fn the_page_and_its_api_answer_from_the_cache_whatever_amber_does() {
    for story in [Story::Usual, Story::Old, Story::New] {
        let house = House::new(story);
        for (path, kind) in [
            ("/", "text/html; charset=utf-8"),
            ("/api/health", "application/json"),
            ("/api/now", "application/json"),
            ("/api/prices", "application/json"),
            ("/api/usage", "application/json"),
            ("/api/usage/days", "application/json"),
            ("/health", "application/json"),
        ] {
            let answer = house.get(path);
            assert_eq!(answer.status, 200, "{path}, {story:?}");
            assert_eq!(answer.headers["content-type"], kind, "{path}");
        }
        assert_eq!(house.get("/metrics").status, 200);
    }
    let page = House::new(Story::Usual).get("/").text;
    // Prices now and ahead, usage, cost, a chart.
    for part in ["price", "ahead", "used", "cost", "chart", "usage"] {
        assert!(page.contains(&format!("id=\"{part}\"")), "{part} in {page}");
    }
}

#[test]
fn every_variable_of_the_env_file_is_understood() {
    let text = "AMBER_TOKEN=psk_0123456789abcdef0123456789abcdef\nAMBER_SITE_ID=01F5A5CRKMZ5BCX9P1S4V990AM\nPORT=5051\n\
                SQLITE_PATH=/var/lib/home-energy-analysis/cache.sqlite\nRETENTION_DAYS=365\nDEBUG=true\n";
    let imported = import::<Config>("energy", text, take).unwrap();
    same([
        (
            "AMBER_SITE_ID",
            json!("01F5A5CRKMZ5BCX9P1S4V990AM"),
            imported.config["amber"]["site_id"].clone(),
        ),
        ("PORT", json!(5051), imported.config["http"]["port"].clone()),
        (
            "RETENTION_DAYS",
            json!(365),
            imported.config["cache"]["retention_days"].clone(),
        ),
        (
            "AMBER_TOKEN",
            json!("[secrets]\n\"energy.amber-token\" = \"psk_0123456789abcdef0123456789abcdef\"\n"),
            json!(imported.lichen_toml()),
        ),
    ]);
    // What has no setting here is told with what to do instead.
    for (variable, instead) in [
        ("SQLITE_PATH", "energy restore COPY"),
        ("DEBUG", "LOG=debug"),
    ] {
        let told = imported
            .notes
            .iter()
            .any(|note| note.contains(variable) && note.contains(instead));
        assert!(told, "{variable}: {:?}", imported.notes);
    }
}

#[test]
fn the_port_the_database_and_the_units_have_the_names_that_their_owners_know() {
    let default = Config::default();
    same([
        ("port", json!(5050), json!(default.http.port)),
        (
            "database",
            json!("/var/lib/home-energy-analysis/cache.sqlite"),
            json!(Path::new(STATE_DIRECTORY).join(CACHE_FILE)),
        ),
    ]);
    for (what, expected) in [
        ("port", "port = 5050;"),
        (
            "state directory",
            "name = \"energy\"; directory = \"home-energy-analysis\";",
        ),
        (
            "home-energy-dashboard.service",
            "kit.service \"home-energy-dashboard\"",
        ),
        (
            "home-energy-sync-cache.service and .timer",
            "kit.job \"home-energy-sync-cache\"",
        ),
        ("every 5 minutes", "interval = option types.str \"*:0/5\""),
        ("a randomised delay", "RandomizedDelaySec = "),
        ("retention in days", "retentionDays = setting"),
    ] {
        assert!(MODULE.contains(expected), "{what}: no {expected}");
    }
    assert!(
        KIOSK.contains("${page}api/health"),
        "the screen waits for /api/health"
    );
}

#[test]
fn the_sync_runs_once_and_ends_and_the_database_is_one_that_sqlite3_opens() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.json");
    std::fs::write(&config, "{}").unwrap();
    let mut sync = command(env!("CARGO_BIN_EXE_energy"));
    sync.arg("sync").arg("--config").arg(&config);
    sync.env("STATE_DIRECTORY", directory.path());
    // Without a token there is nothing to ask with; it says so and ends, and its timer starts it again.
    let (status, _, said) = finished(&mut sync);
    assert!(said.contains("token"), "{status:?} {said}");
    let file = std::fs::read(directory.path().join(CACHE_FILE)).unwrap();
    assert!(file.starts_with(b"SQLite format 3\0"));
}

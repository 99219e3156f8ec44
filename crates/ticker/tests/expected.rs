//! What scripts and habits of the installation that this service replaces expect of it: commands, files, keys, limits. A row
//! for each, with what is expected and what ours is.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fake_exchange::{Feed, Format, kept};
use fake_s3::Bucket;
use kit::Configuration;
use serde_json::{Value, json};
use support::*;
use ticker::config::{Config, WhenFull};

const MODULE: &str = include_str!("../../../modules/services/ticker.nix");
const APPLIANCE: &str = include_str!("../../../appliances/ticker.nix");
const FIRMWARE: &str = include_str!("../../../image/boot/default.nix");
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

/// The files in a directory, with their inodes.
fn files(directory: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            Some((name, entry.metadata().ok()?.ino()))
        })
        .collect()
}

/// The service, started as it was.
fn run(config: &Value, directory: &Path) -> Program {
    let mut command = ticker();
    command.args(["run", "--stats-interval", "30"]);
    Program::start(&mut command, directory, config.clone())
}

/// A name with each digit, and each letter of what is random, replaced.
fn shape(name: &str) -> String {
    let (labels, file) = name.rsplit_once(',').unwrap();
    let digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    let (when, salt) = file.split_once('-').unwrap();
    let salt = salt.strip_suffix(".parquet").unwrap();
    assert!(salt.len() == 8 && salt.chars().all(|c| c.is_ascii_hexdigit()));
    format!("{},{}-SALT.parquet", digits(labels), digits(when))
}

#[test]
fn a_file_is_moved_from_raw_active_to_raw_ready_and_becomes_an_object_under_a_hive_style_key() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let feed = Feed::start(session(Format::Coinbase, 0.0, 300)).unwrap();
    let sources = json!([source(&feed, Format::Coinbase)]);
    let settings = json!({ "sync": sync_settings(&bucket) });
    let config = config(directory.path(), sources, settings);
    let program = run(&config, directory.path());
    eventually("all is durable", || {
        (durable(&program) == 300).then_some(())
    });
    let [active, ready] = ["raw/active", "raw/ready"].map(|at| directory.path().join(at));
    let written = files(&active);
    assert_eq!((written.len(), files(&ready).len()), (3, 0));
    program.stop();
    // Moved, never copied: the same files are now there.
    assert_eq!((files(&active).len(), files(&ready)), (0, written.clone()));

    // What would be uploaded is told by the arguments that were typed, and nothing is done.
    let (status, planned, said) = sync(&config, &["--dry-run", "--include-raw"]);
    assert_eq!((status, bucket.requests()), (Some(0), 0), "{said}");
    let mut keys: Vec<&str> = planned
        .lines()
        .map(|line| line.strip_prefix("upload ").unwrap())
        .collect();
    keys.sort_unstable();
    let (status, _, said) = sync(&config, &["--include-raw"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(kept(&bucket.folder(), "trade_id").unwrap().records(), 300);
    for (name, key) in written.keys().zip(keys) {
        let symbol = SYMBOLS.iter().find(|symbol| name.contains(**symbol));
        let labels = format!(
            "source=exchange,channel=matches,symbol={},date=0000-00-00,hour=00",
            symbol.unwrap()
        );
        let expected = format!("{labels},0000000000000000-SALT.parquet");
        let object = bucket.folder().join(key);
        same([
            ("name of the file", json!(expected), json!(shape(name))),
            ("its key", json!(name.replace(',', "/")), json!(key)),
            ("the object", json!(true), json!(object.is_file())),
            (
                "the file stays, as it was, until retention removes it",
                json!(written[name]),
                json!(files(&ready).get(name)),
            ),
        ]);
    }
}

#[test]
fn the_state_and_the_statistics_tell_of_memory_gaps_and_back_pressure() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(session(Format::Binance, 0.0, 300)).unwrap();
    let sources = json!([source(&feed, Format::Binance)]);
    let config = config(directory.path(), sources, json!({}));
    let program = run(&config, directory.path());
    eventually("all is durable", || {
        (durable(&program) == 300).then_some(())
    });

    let file = directory.path().join("config.json");
    let (status, words, _) = finished(ticker().args(["status", "--config"]).arg(&file));
    assert_eq!(status, Some(0));
    for part in ["300 received", "300 flushed", "0 dropped", "0 lost", "MiB"] {
        assert!(words.contains(part), "no {part} in {words}");
    }
    let metrics = program.get("/metrics").unwrap().text;
    for name in [
        "process_resident_memory_bytes",
        "ticker_records_missed_total",
        "ticker_gaps_total",
        "ticker_queue_dropped_total",
        "ticker_queue_stalls_total",
        "ticker_queued_records",
        "ticker_silences_total",
        "ticker_salvaged_records_total",
        "ticker_salvage_failures_total",
        "ticker_records_lost_total",
    ] {
        let found = metrics.lines().any(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        assert!(found, "no {name} in {metrics}");
    }
    let lines = program.stop();
    let statistics = lines.iter().find(|line| line.contains("statistics"));
    for part in [
        "received=",
        "flushed=",
        "queued=",
        "missed=",
        "resident_kib=",
    ] {
        assert!(
            statistics.is_some_and(|line| line.contains(part)),
            "no {part} in {statistics:?}"
        );
    }
}

#[test]
fn what_is_not_set_is_as_it_was() {
    let default = Config::default();
    same([
        (
            "seconds between two lines of statistics",
            json!(30),
            json!(default.stats.interval_seconds),
        ),
        (
            "records in the queue",
            json!(10_000),
            json!(default.queue.records),
        ),
        (
            "a buffer is flushed after so many seconds",
            json!(5.0),
            json!(default.flush.seconds),
        ),
        (
            "or with so many records",
            json!(100),
            json!(default.flush.records),
        ),
        (
            "a segment is complete at 100 MB",
            json!(100 << 20),
            json!(default.segment.bytes),
        ),
    ]);
}

#[test]
fn two_exchanges_and_a_generic_format_are_known_and_so_is_what_a_full_queue_does() {
    let source = |kind: &str, channel: &str| {
        json!({
            "name": kind, "kind": kind, "url": "wss://feed.example.org", "channels": [channel],
            "symbols": ["BTC-USD"], "fields": { "symbol": "s", "price": "p" },
        })
    };
    for (what, settings) in [
        (
            "Coinbase",
            json!({ "sources": [source("coinbase", "matches")] }),
        ),
        (
            "Binance",
            json!({ "sources": [source("binance", "trade")] }),
        ),
        ("Kraken", json!({ "sources": [source("kraken", "trade")] })),
        ("any JSON", json!({ "sources": [source("json", "deals")] })),
        ("wait", json!({ "queue": { "when_full": "block" } })),
        (
            "drop what comes",
            json!({ "queue": { "when_full": "drop_newest" } }),
        ),
        (
            "drop what waits",
            json!({ "queue": { "when_full": "drop_oldest" } }),
        ),
    ] {
        let config: Config =
            serde_json::from_value(settings).unwrap_or_else(|problem| panic!("{what}: {problem}"));
        assert_eq!(config.check(), Ok(()), "{what}");
    }
    assert_eq!(Config::default().queue.when_full, WhenFull::Block);
}

#[test]
fn units_limits_and_tuning_are_those_that_its_owners_set_by_hand() {
    for (what, text, expected) in [
        ("a unit that ingests", MODULE, "kit.service \"ticker\""),
        ("another that syncs", MODULE, "kit.job \"ticker-sync\""),
        (
            "what it is started with",
            MODULE,
            "run --stats-interval ${toString cfg.statsInterval}",
        ),
        (
            "what the sync is started with",
            MODULE,
            "sync --include-raw",
        ),
        ("at most 2 GB of memory", MODULE, "MemoryMax = \"2G\";"),
        (
            "a warning at 1.2 GB",
            RULES,
            "process_resident_memory_bytes{job=\"ticker\"} > 1.2 * 1024 * 1024 * 1024",
        ),
        ("swap of 2 GB", APPLIANCE, "size = 2048;"),
        ("vm.swappiness", APPLIANCE, "\"vm.swappiness\" = 10;"),
        ("fs.file-max", APPLIANCE, "\"fs.file-max\" = 65535;"),
        ("gpu_mem", APPLIANCE, "\"gpu_mem=16\""),
        ("a 64-bit kernel", FIRMWARE, "arm_64bit=1"),
    ] {
        assert!(text.contains(expected), "{what}: no {expected}");
    }
}

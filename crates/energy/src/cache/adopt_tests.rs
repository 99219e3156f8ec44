//! Caches that other programs may have written.

use std::path::Path;

use super::*;
use crate::amber::{Channel, Kind, Level};
use crate::cache::{Restored, restore};
use crate::config::CACHE_FILE;

fn foreign(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

const PYTHON: &str = "
    CREATE TABLE prices (id INTEGER PRIMARY KEY, nem_time TEXT, start_time TEXT, end_time TEXT, channel_type TEXT,
        per_kwh REAL, spot_per_kwh REAL, renewables REAL, descriptor TEXT, spike_status TEXT, created_at TEXT);
    INSERT INTO prices VALUES
        (1, '2025-07-14T00:05:00+10:00', '2025-07-13T14:00:01Z', '2025-07-13T14:05:00Z', 'general', 19.04971, 7.1, 26.3, 'veryLow', 'none', 'x'),
        (2, '2025-07-14T00:05:00+10:00', '2025-07-13T14:00:01Z', '2025-07-13T14:05:00Z', 'feed_in', -6.5, 7.1, 26.3, 'low', 'none', 'x'),
        (3, NULL, NULL, NULL, 'general', NULL, NULL, NULL, NULL, NULL, 'broken');
    CREATE TABLE usage (timestamp INTEGER, channel TEXT, kwh REAL, cost REAL, quality TEXT);
    INSERT INTO usage VALUES (1752415200, 'general', 0.025, 0.4762, 'billable'), (1752417000, 'general', 0.5, 9.5, 'estimated');
    CREATE TABLE meta (key TEXT, value TEXT);
    INSERT INTO meta VALUES ('last_sync', '2025-07-14 10:00:00');
    PRAGMA user_version = 3;
";

#[test]
fn a_python_program_s_tables_are_taken_over_and_its_file_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(CACHE_FILE);
    foreign(&path, PYTHON);
    let before = std::fs::read(&path).unwrap();
    let cache = Cache::open(&path).unwrap();
    let prices = cache.prices(1_752_415_200, 1_752_415_500).unwrap();
    let told: Vec<_> = prices
        .iter()
        .map(|p| (p.channel, p.per_kwh, p.minutes, p.kind, p.level))
        .collect();
    assert_eq!(
        told,
        [
            (Channel::FeedIn, -6.5, 5, Kind::Actual, Some(Level::Low)),
            (
                Channel::General,
                19.04971,
                5,
                Kind::Actual,
                Some(Level::VeryLow)
            ),
        ]
    );
    let usage = cache.usage(0, i64::MAX).unwrap();
    let told: Vec<_> = usage
        .iter()
        .map(|u| (u.start, u.minutes, u.kwh, u.estimated))
        .collect();
    assert_eq!(
        told,
        [
            (1_752_415_200, 30, 0.025, false),
            (1_752_417_000, 30, 0.5, true)
        ]
    );
    let kept: Vec<_> = (std::fs::read_dir(directory.path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|entry| entry.display().to_string().contains(".before-"))
        .collect();
    assert_eq!(kept.len(), 1);
    assert!(
        std::fs::read(&kept[0]).unwrap() == before,
        "it is another file"
    );
    cache.close();
    // This happens only once: afterwards the cache is ours.
    assert_eq!(Cache::open(&path).unwrap().count().unwrap(), (2, 2));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn ambers_answers_kept_as_text_are_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs.db");
    let row = r#"{"type":"ActualInterval","duration":30,"perKwh":24.3,"startTime":"2025-05-05T02:00:01Z","endTime":"2025-05-05T02:30:00Z","channelType":"general"}"#;
    foreign(
        &path,
        &format!(
            "CREATE TABLE cache (key TEXT PRIMARY KEY, payload TEXT, fetched_at REAL);
             INSERT INTO cache VALUES ('prices', '[{row}]', 1746411000.5), ('sites', '[{{\"id\":\"x\"}}]', 0), ('odd', '{{', 0);"
        ),
    );
    let mut cache = Cache::in_memory().unwrap();
    let adopted = adopt(&path, &mut cache).unwrap();
    assert_eq!((adopted.prices, adopted.usage, adopted.others), (1, 0, 2));
    assert_eq!(
        cache.prices(1_746_410_400, 1_746_410_401).unwrap()[0].per_kwh,
        24.3
    );
}

#[test]
fn restore_adds_what_is_recognised_to_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (
        directory.path().join(CACHE_FILE),
        directory.path().join("theirs.db"),
    );
    foreign(&theirs, PYTHON);
    Cache::open(&ours).unwrap().set("kept", &7).unwrap();
    let Restored::Adopted(adopted) = restore(&theirs, &ours).unwrap() else {
        panic!("it is theirs")
    };
    assert_eq!((adopted.prices, adopted.usage, adopted.others), (2, 2, 2));
    let cache = Cache::open(&ours).unwrap();
    assert_eq!(cache.setting::<u32>("kept").unwrap(), 7);
    assert_eq!(cache.count().unwrap(), (2, 2));
    assert!(theirs.exists());
}

#[test]
fn nothing_recognisable_is_no_reason_to_lose_anything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(CACHE_FILE);
    foreign(
        &path,
        "CREATE TABLE recipes (name TEXT, price TEXT); INSERT INTO recipes VALUES ('soup', 'cheap');",
    );
    let cache = Cache::open(&path).unwrap();
    assert_eq!(cache.count().unwrap(), (0, 0));
    let kept = std::fs::read_dir(directory.path()).unwrap().any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".before-")
    });
    assert!(kept);
}

#[test]
fn a_program_that_still_has_its_file_open_is_not_robbed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(CACHE_FILE);
    let theirs = Connection::open(&path).unwrap();
    theirs.pragma_update(None, "journal_mode", "WAL").unwrap();
    theirs
        .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        .unwrap();
    let error = Cache::open(&path).unwrap_err();
    assert!(
        format!("{error:#}").contains("stop that program first"),
        "{error:#}"
    );
    drop(theirs);
    assert!(Cache::open(&path).is_ok());
}

#[test]
fn times_are_read_as_programs_write_them() {
    for (value, hours) in [
        (json!("2025-07-13T14:05:00Z"), 0),
        (json!("2025-07-14T00:05:00+10:00"), 0),
        (json!("2025-07-13 14:05:00"), 0),
        (json!("2025-07-14T00:05:00"), 10),
        (json!(1_752_415_500), 0),
        (json!(1_752_415_500_000i64), 0),
        (json!(1_752_415_500.25), 0),
    ] {
        assert_eq!(
            rfc3339(&value, hours),
            Some(json!("2025-07-13T14:05:00Z")),
            "{value}"
        );
    }
    assert_eq!(rfc3339(&json!("soon"), 0), None);
}

//! From files to a bucket that fails in every way it can: each record arrives exactly once.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fake_exchange::{Feed, Format, Kept, kept};
use fake_s3::Bucket;
use serde_json::{Value, json};
use support::*;

/// A folder with complete files, of `records` records in all.
fn harvest(directory: &Path, bucket: &Bucket, records: u64, more: Value) -> Value {
    let feed = Feed::start(session(Format::Coinbase, 0.0, records)).unwrap();
    let mut settings = json!({
        "flush": { "records": 5000, "seconds": 30.0, "most_records": 5000 },
        "sync": sync_settings(bucket),
    });
    merge(&mut settings, more);
    let sources = json!([source(&feed, Format::Coinbase)]);
    let config = config(directory, sources, settings);
    let program = start(&config);
    eventually("all is received", || {
        (counts(&program)?["received"] == records).then_some(())
    });
    program.stop();
    assert!(ready(directory) >= 3);
    config
}

fn ready(directory: &Path) -> usize {
    fs::read_dir(directory.join("raw/ready")).unwrap().count()
}

fn arrived(bucket: &Bucket) -> Kept {
    kept(&bucket.folder(), "trade_id").unwrap()
}

fn whole(bucket: &Bucket, records: u64) {
    let kept = arrived(bucket);
    assert_eq!((kept.records(), kept.repeated()), (records, 0));
}

fn report(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("raw/sync.json")).unwrap()).unwrap()
}

#[test]
fn files_become_objects_under_keys_that_say_what_is_in_them() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let config = harvest(directory.path(), &bucket, 3000, json!({}));
    let (status, planned, _) = sync(&config, &["--dry-run", "--include-raw"]);
    assert_eq!(
        (status, planned.lines().count(), bucket.requests()),
        (Some(0), 3, 0)
    );
    let (status, planned, _) = sync(&config, &["--dry-run"]);
    assert_eq!(
        (status, planned.as_str()),
        (Some(0), ""),
        "the hour is not over"
    );

    let (status, _, said) = sync(&config, &["--include-raw"]);
    assert_eq!(status, Some(0), "{said}");
    whole(&bucket, 3000);
    let symbol = bucket
        .folder()
        .join("source=exchange/channel=matches/symbol=BTC-USD");
    let date = fs::read_dir(symbol).unwrap().next().unwrap().unwrap();
    let hour = fs::read_dir(date.path()).unwrap().next().unwrap().unwrap();
    assert!(date.file_name().to_str().unwrap().starts_with("date=20"));
    assert!(hour.file_name().to_str().unwrap().starts_with("hour="));

    let before = bucket.requests();
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    assert_eq!(
        bucket.requests(),
        before,
        "what is there is not uploaded again"
    );
    assert_eq!(
        ready(directory.path()),
        3,
        "nothing is old enough to be deleted"
    );
}

#[test]
fn what_is_old_is_deleted_once_it_was_compared_again_and_never_when_it_is_not_there() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let mut config = harvest(directory.path(), &bucket, 3000, json!({}));
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    let lost = kept_files(&bucket)
        .into_iter()
        .find(|f| f.contains("ETH"))
        .unwrap();
    fs::remove_file(&lost).unwrap();
    let other = kept_files(&bucket)
        .into_iter()
        .find(|f| f.contains("SOL"))
        .unwrap();
    fs::write(&other, b"something else").unwrap();
    config["sync"]["retention_days"] = json!(0);
    let (_, planned, _) = sync(&config, &["--dry-run"]);
    assert_eq!(
        planned.lines().filter(|l| l.starts_with("delete ")).count(),
        3
    );

    let (status, _, said) = sync(&config, &["--include-raw"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("is gone") && said.contains("is another one"),
        "{said}"
    );
    assert_eq!(
        ready(directory.path()),
        2,
        "only what is there was deleted here"
    );
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    whole(&bucket, 3000);
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    let left = [
        ready(directory.path()),
        fs::read_dir(directory.path().join("raw/synced"))
            .unwrap()
            .count(),
    ];
    assert_eq!(left, [0, 0]);
    whole(&bucket, 3000);
}

fn kept_files(bucket: &Bucket) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(path.to_str().unwrap().to_owned()),
            }
        }
    }
    let mut found = Vec::new();
    walk(&bucket.folder(), &mut found);
    found
}

#[test]
fn a_busy_storage_and_bytes_damaged_on_their_way_are_tried_again() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let config = harvest(directory.path(), &bucket, 30_000, json!({}));
    bucket.refuse(2);
    bucket.corrupt(1);
    let (status, _, said) = sync(&config, &["--include-raw"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("503"), "{said}");
    assert!(
        said.contains("BadDigest") || said.contains("differs from the data that were sent"),
        "{said}"
    );
    whole(&bucket, 30_000);
}

#[test]
fn a_storage_that_dies_in_the_middle_of_an_upload_finds_it_going_on() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let settings = json!({ "sync": sync_settings(&bucket) });
    let config = config(directory.path(), json!([]), settings);
    let folder = directory.path().join("raw/ready");
    fs::create_dir_all(&folder).unwrap();
    let place = "source=a,channel=b,symbol=c,date=2026-11-25,hour=02";
    let contents: Vec<u8> = (0..11 << 20).map(|_| fastrand::u8(..)).collect();
    let name = format!("{place},1764036000000000-00000001.parquet");
    fs::write(folder.join(&name), &contents).unwrap();
    let (mut deaths, mut went_on) = (0, 0);
    // The storage dies at each request in turn: begin, three parts, complete, compare.
    for request in 1.. {
        bucket.die_in(request);
        let (status, _, said) = sync(&config, &[]);
        went_on += said.matches("resuming an upload").count();
        if !bucket.is_dead() {
            assert_eq!(status, Some(0), "{said}");
            break;
        }
        assert_eq!(status, Some(75), "{said}");
        let report = report(directory.path());
        assert_eq!(
            (&report["pending_files"], &report["pending_bytes"]),
            (&json!(1), &json!(contents.len()))
        );
        deaths += 1;
        bucket.up();
    }
    testbed::figures(format!(
        "ticker: the storage died {deaths} times in the middle of a request, {went_on} uploads went on"
    ));
    assert!(
        deaths >= 3 && went_on >= 2,
        "{deaths} deaths, {went_on} went on"
    );
    let object = bucket.folder().join(name.replace(',', "/"));
    assert!(
        fs::read(object).unwrap() == contents,
        "the object is another one"
    );
}

#[test]
fn days_without_a_network_cost_nothing_but_room() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let config = harvest(directory.path(), &bucket, 3000, json!({}));
    bucket.down();
    for _ in 0..5 {
        let (status, _, said) = sync(&config, &["--include-raw"]);
        assert_eq!(status, Some(75), "{said}");
        assert!(said.contains("cannot reach the storage"), "{said}");
    }
    let report = report(directory.path());
    assert_eq!(
        (&report["pending_files"], &report["complete_at"]),
        (&json!(3), &json!(0))
    );
    let program = start(&config);
    let health = eventually("the service says so", || {
        program
            .get("/health")
            .map(|h| h.text)
            .filter(|h| h.contains("cannot reach"))
    });
    assert!(health.contains("\"status\":\"degraded\""), "{health}");
    program.stop();
    bucket.up();
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    whole(&bucket, 3000);
}

#[test]
fn a_wrong_key_is_named_and_a_missing_one_too() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let config = harvest(directory.path(), &bucket, 300, json!({}));
    let file = directory.path().join("sync.json");
    fs::write(&file, config.to_string()).unwrap();
    let (status, _, said) = finished(ticker().args(["sync", "--config"]).arg(&file));
    assert_eq!(status, Some(75));
    assert!(
        said.contains("the credential ticker.s3-access-key-id is missing"),
        "{said}"
    );
    let secrets = directory.path().join("wrong");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("ticker.s3-access-key-id"), fake_s3::KEY).unwrap();
    fs::write(secrets.join("ticker.s3-secret-access-key"), "a guess").unwrap();
    let mut command = ticker();
    command
        .args(["sync", "--include-raw", "--config"])
        .arg(&file);
    let (status, _, said) = finished(command.env("CREDENTIALS_DIRECTORY", &secrets));
    assert_eq!(status, Some(75));
    assert!(said.contains("SignatureDoesNotMatch"), "{said}");
    assert!(!said.contains("a guess"), "{said}");
}

#[test]
fn a_full_disk_costs_synced_files_first_and_then_stops_ingesting_loudly() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let mut config = harvest(directory.path(), &bucket, 3000, json!({}));
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    let feed = Feed::start(session(Format::Coinbase, 1000.0, 0)).unwrap();
    config["sources"] = json!([source(&feed, Format::Coinbase)]);
    // No disk has that much free space.
    config["data"]["min_free_bytes"] = json!(1u64 << 50);
    let program = start(&config);
    let health = eventually("it says that it has stopped", || {
        program
            .get("/health")
            .filter(|h| h.text.contains("ingesting has stopped"))
    });
    assert_eq!(health.status, 503);
    eventually("it has let go of its source", || {
        let status = counts(&program)?;
        let let_go = status["sources"]["exchange"]["connected"] == false;
        (status["stopped"] == true && let_go).then_some(())
    });
    let lines = program.stop();
    let deleted = lines
        .iter()
        .filter(|l| l.contains("deleting a synced file before its retention ends"))
        .count();
    assert_eq!(deleted, 3);
    // Records from before it stopped are not synced, so they are still there.
    let unsynced = ready(directory.path());
    let program = start(&config);
    eventually("it has stopped again", || {
        (counts(&program)?["stopped"] == true).then_some(())
    });
    program.stop();
    assert!(ready(directory.path()) >= unsynced);
}

#[test]
fn with_the_feed_the_disk_and_the_storage_all_failing_each_flushed_record_arrives_once() {
    let (directory, bucket) = (tempfile::tempdir().unwrap(), Bucket::start().unwrap());
    let feed = Feed::start(session(Format::Coinbase, 3000.0, 0)).unwrap();
    let settings = json!({ "segment": { "row_groups": 3 }, "sync": sync_settings(&bucket) });
    let config = config(
        directory.path(),
        json!([source(&feed, Format::Coinbase)]),
        settings,
    );
    let over = AtomicBool::new(false);
    let flushed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !over.load(Ordering::SeqCst) {
                round += 1;
                bucket.refuse(round % 3);
                bucket.die_in(5 + round);
                sync(&config, &["--include-raw"]);
                bucket.up();
            }
        });
        let mut flushed = 0;
        for _ in 0..6 {
            let program = start(&config);
            flushed += eventually("more is durable", || {
                Some(durable(&program)).filter(|n| *n >= 1000)
            });
            program.kill();
        }
        let program = start(&config);
        eventually("it runs", || counts(&program));
        program.stop();
        over.store(true, Ordering::SeqCst);
        flushed
    });
    bucket.die_in(0);
    bucket.refuse(0);
    assert_eq!(sync(&config, &["--include-raw"]).0, Some(0));
    let (here, there) = (
        kept(&directory.path().join("raw/ready"), "trade_id").unwrap(),
        arrived(&bucket),
    );
    assert_eq!(there.numbers, here.numbers);
    assert!(there.records() >= flushed && there.repeated() == 0);
}

//! The queue: what is sent at all, when, and how fast.

use std::fs;
use std::time::{Duration, Instant};

use jiff::ToSpan;
use jiff::Zoned;
use kit::testing::eventually;
use recorder::upload::Status;
use recorder::upload::config::Kind;
use serde_json::json;

use crate::put_server::{Parts, PutServer};
use crate::relay::Relay;
use crate::scene::{CHUNK, Scene, damage, settings};

const BYTES: u64 = 4 * CHUNK;

#[test]
fn a_file_that_has_changed_since_it_was_recorded_is_named_and_never_sent() {
    let server = PutServer::start(Parts::Taken);
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("put", &server.url()));
    let videos = [1, 2, 3, 4].map(|session| scene.video(session, BYTES));
    damage(&videos[0].path);
    fs::remove_file(&videos[1].path).unwrap();
    fs::File::options()
        .write(true)
        .open(&videos[2].path)
        .unwrap()
        .set_len(BYTES - 1)
        .unwrap();
    let running = scene.start();
    for video in &videos {
        running.uploads.add(video.clone());
    }
    let snapshot = running.completed(4);
    for (session, words) in [
        (
            1,
            "1.mp4 has changed since it was recorded: its SHA-256 is ",
        ),
        (2, "2.mp4 is not there any more"),
        (3, "3.mp4 has 1048575 bytes, but 1048576 were recorded"),
    ] {
        match &snapshot.statuses[&session] {
            Status::Corrupted { why } => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(snapshot.success_rate, Some(0.25));
    assert_eq!(snapshot.queue_size, 0);
    let asked = server.asked();
    assert!(
        asked.iter().all(|asked| asked.contains("/4.mp4")),
        "{asked:?}"
    );
}

#[test]
fn a_file_that_changes_between_two_attempts_is_not_sent_on() {
    let server = PutServer::start(Parts::Taken);
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::to(server.port));
    let scene = Scene::new(folder.path(), &settings("put", &relay.url()));
    relay.let_pass(Some(CHUNK * 3 / 2));
    let running = scene.start();
    let video = scene.video(1, BYTES);
    running.uploads.add(video.clone());
    eventually("the line is cut", || relay.is_cut().then_some(()));
    drop(running);
    relay.let_pass(None);
    relay.hang_up();
    damage(&video.path);
    server.asked_to_the_end();
    let running = scene.start();
    running.until("it is found", |snapshot| {
        matches!(snapshot.statuses.get(&1), Some(Status::Corrupted { .. }))
    });
    assert_eq!(server.asked(), [""; 0]);

    // Recorded as what it is now, it is another recording, and begins anew.
    let content = fs::read(&video.path).unwrap();
    let sum = <sha2::Sha256 as sha2::Digest>::digest(content);
    let sha256 = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    running
        .uploads
        .add(recorder::upload::Video { sha256, ..video });
    running.completed(1);
}

#[test]
fn what_is_complete_is_known_after_a_restart_and_not_sent_again() {
    let server = PutServer::start(Parts::Taken);
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("put", &server.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let complete = running.completed(1);
    assert_eq!(
        (complete.queue_bytes, complete.sent_bytes_total),
        (0, BYTES)
    );
    drop(running);
    server.asked();
    let running = scene.start();
    let snapshot = running.uploads.snapshot();
    assert_eq!(snapshot.statuses[&1], Status::Completed);
    assert!(complete.last_completed_ms.is_some());
    assert_eq!(snapshot.last_completed_ms, complete.last_completed_ms);
    assert_eq!(snapshot.target, Kind::Put);
    running.uploads.add(scene.video(1, BYTES));
    running.uploads.add(scene.video(2, 1));
    running.completed(2);
    let asked = server.asked();
    assert!(
        asked.iter().all(|asked| asked.contains("/2.mp4")),
        "{asked:?}"
    );
}

#[test]
fn an_upload_that_has_to_end_waits_with_what_it_has_reached_and_goes_on_there() {
    let server = PutServer::start(Parts::Taken);
    let folder = tempfile::tempdir().unwrap();
    let mut slow = settings("put", &server.url());
    slow["limit_bytes_per_second"] = json!(2 * CHUNK);
    let scene = Scene::new(folder.path(), &slow);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let snapshot = running.until("a part is sent", |snapshot| {
        let uploading = snapshot.uploading.as_ref();
        uploading.is_some_and(|progress| progress.sent > CHUNK * 5 / 4)
    });
    let progress = snapshot.uploading.unwrap();
    assert_eq!((progress.session, progress.bytes), (1, BYTES));
    assert_eq!(progress.name, "1.mp4");
    assert!(snapshot.queue_bytes > 0 && snapshot.sent_bytes_total > CHUNK);
    assert_eq!(snapshot.statuses[&1], Status::Uploading);
    running.kit.shutdown().request();
    let snapshot = running.until("it ends", |snapshot| snapshot.uploading.is_none());
    assert_eq!(snapshot.queue_size, 1);
    drop(running);
    server.asked_to_the_end();

    let scene = Scene::new(folder.path(), &settings("put", &server.url()));
    let running = scene.start();
    running.completed(1);
    let asked = server.asked();
    assert_eq!(asked[0], "PUT /videos/1.mp4 bytes */1048576");
    assert!(!asked[1].contains("bytes 0-"), "{asked:?}");
    assert_eq!(server.state().files["/videos/1.mp4"].misplaced, 0);
}

#[test]
fn a_bandwidth_limit_is_kept() {
    let server = PutServer::start(Parts::Taken);
    let folder = tempfile::tempdir().unwrap();
    let mut slow = settings("put", &server.url());
    slow["limit_bytes_per_second"] = json!(2 * CHUNK);
    let scene = Scene::new(folder.path(), &slow);
    let running = scene.start();
    let began = Instant::now();
    running.uploads.add(scene.video(1, BYTES));
    running.completed(1);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
}

#[test]
fn outside_of_its_hours_nothing_is_sent() {
    let server = PutServer::start(Parts::Taken);
    let folder = tempfile::tempdir().unwrap();
    let hours = |from: i64, to: i64| {
        let at = |hours: i64| (Zoned::now() + hours.hours()).strftime("%H:%M").to_string();
        let mut settings = settings("put", &server.url());
        settings["hours"] = json!({ "from": at(from), "to": at(to) });
        settings
    };
    let scene = Scene::new(folder.path(), &hours(2, 4));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.uploads.wake();
    let query = "SELECT count(*) FROM uploads WHERE status = 'pending'";
    let database = rusqlite::Connection::open(folder.path().join("recorder.sqlite")).unwrap();
    eventually("it waits in the queue", || {
        let waiting: i64 = database.query_row(query, [], |row| row.get(0)).unwrap();
        (waiting == 1).then_some(())
    });
    drop(running);
    assert_eq!(server.asked(), [""; 0]);

    let scene = Scene::new(folder.path(), &hours(-2, 2));
    let running = scene.start();
    running.completed(1);
}

#[test]
fn a_database_that_cannot_be_used_is_told_and_opened_once_it_can() {
    let server = PutServer::start(Parts::Taken);
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("put", &server.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, 1));
    running.completed(1);

    // The recorder sets a damaged file aside, and begins a new one.
    let database = folder.path().join("recorder.sqlite");
    for suffix in ["", "-wal", "-shm"] {
        let file = kit::database::beside(&database, suffix);
        let _ = fs::rename(&file, kit::database::beside(&file, ".damaged"));
    }
    running.uploads.add(scene.video(2, 1));
    let told = running.until("it is told", |snapshot| snapshot.problem.is_some());
    let problem = told.problem.unwrap();
    assert!(problem.contains("cannot open the uploads in "), "{problem}");
    scene.create_database();
    running.uploads.add(scene.video(1, 1));
    let snapshot = running.completed(2);
    assert_eq!(snapshot.problem, None);
}

//! The process is killed while it uploads, again and again, wherever a byte count ends: in a request's head, in the
//! middle of a part, while an answer is awaited. What is at the target in the end is the recording, and no more than one
//! part was sent twice for each kill.

use std::process::{Child, Command, Stdio};

use kit::testing::eventually;
use serde_json::{Value, json};

use crate::put_server::{Parts, PutServer};
use crate::relay::Relay;
use crate::scene::{CHUNK, KIB, MIB, Scene, settings};
use crate::tus_server::{Kind, TusServer};
use crate::youtube_server::YoutubeServer;

/// Tells this test program that it is the one that uploads.
const UPLOADER: &str = "RECORDER_TEST_UPLOADS";
const KILLS: usize = 24;
const BYTES: u64 = 8 * MIB;
/// What each start sends beside the recording.
const TALK: u64 = 16 * KIB;

#[test]
fn a_process_that_uploads() {
    let Ok(task) = std::env::var(UPLOADER) else {
        return;
    };
    let task: Value = serde_json::from_str(&task).unwrap();
    let folder = task["folder"].as_str().unwrap();
    let scene = Scene::new(folder.as_ref(), &task["settings"]);
    let running = scene.start();
    running
        .uploads
        .add(scene.video(1, task["bytes"].as_u64().unwrap()));
    running.completed(1);
}

fn uploader(task: &Value) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::a_process_that_uploads"])
        .env(UPLOADER, task.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Uploads to the server at `port`, with a kill after each of these numbers of bytes; how many bytes were sent.
fn upload_through_kills(target: &str, port: u16, bytes: u64, kills: &[u64]) -> u64 {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::to(port));
    let mut settings = settings(target, &relay.url());
    if target == "s3" {
        settings["chunk_bytes"] = json!(5 * MIB);
    }
    let task = json!({ "folder": folder.path(), "settings": settings, "bytes": bytes });
    for (number, kill) in kills.iter().enumerate() {
        relay.let_pass(Some(*kill));
        let mut child = uploader(&task);
        eventually("the line is cut", || {
            let ended = child.try_wait().unwrap();
            assert_eq!(ended, None, "it ended before kill {number}");
            relay.is_cut().then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        relay.hang_up();
    }
    relay.let_pass(None);
    assert!(uploader(&task).wait().unwrap().success());
    let (kills, passed) = (kills.len(), relay.passed());
    println!("{target}: {passed} bytes were sent for {bytes}, through {kills} kills");
    passed
}

/// Places for kills: a few in the heads of requests, the others anywhere in one part and a half.
fn places(seed: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    let heads = [1, 150, 400, 700];
    let elsewhere = std::iter::repeat_with(|| random.u64(1..CHUNK * 3 / 2));
    heads.into_iter().chain(elsewhere).take(KILLS).collect()
}

fn recording() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &json!({}));
    std::fs::read(scene.video(1, BYTES).path).unwrap()
}

/// At most one part for each kill.
fn limit() -> u64 {
    BYTES + KILLS as u64 * (CHUNK + TALK) + TALK
}

#[test]
fn a_tus_server_that_keeps_every_byte_has_the_recording_after_any_kills() {
    let server = TusServer::start(Kind::Node, None);
    let sent = upload_through_kills("tus", server.port, BYTES, &places(1));
    assert!(sent <= limit(), "{sent}");
    // An upload whose beginning was cut off has no byte.
    let uploads = server.uploads();
    let begun = uploads.iter().filter(|upload| !upload.is_empty());
    assert!(begun.eq([&recording()]), "another content");
}

#[test]
fn a_tus_server_that_compares_checksums_has_the_recording_after_any_kills() {
    let server = TusServer::start(Kind::Python("sha1"), None);
    let sent = upload_through_kills("tus", server.port, BYTES, &places(2));
    assert!(sent <= limit(), "{sent}");
    let uploads = server.uploads();
    let begun = uploads.iter().filter(|upload| !upload.is_empty());
    assert!(begun.eq([&recording()]), "another content");
}

#[test]
fn a_server_of_puts_has_the_recording_after_any_kills() {
    let server = PutServer::start(Parts::Taken);
    upload_through_kills("put", server.port, BYTES, &places(3));
    let state = server.state();
    let received = &state.files["/videos/1.mp4"];
    assert!(received.bytes == recording(), "another content");
    assert_eq!(received.misplaced, 0);
    assert!(received.came <= BYTES + KILLS as u64 * CHUNK);
}

#[test]
fn youtube_has_the_recording_after_any_kills() {
    let server = YoutubeServer::start();
    upload_through_kills("youtube", server.port, BYTES, &places(4));
    let state = server.state();
    let all = state.uploads.values().map(|(received, _)| received);
    let begun: Vec<_> = all.filter(|received| received.came > 0).collect();
    let [received] = &begun[..] else {
        panic!("{} uploads", begun.len())
    };
    assert!(received.bytes == recording(), "another content");
    assert_eq!(received.misplaced, 0);
    assert!(received.came <= BYTES + KILLS as u64 * CHUNK);
}

#[test]
fn a_bucket_has_the_recording_after_any_kills() {
    const PART: u64 = 5 * MIB;
    let bucket = fake_s3::Bucket::start().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    // Every seventh time a part gets through.
    let places: Vec<u64> = (0..21)
        .map(|number| match number % 7 {
            6 => PART + random.u64(TALK..MIB),
            _ => random.u64(1..PART),
        })
        .collect();
    let bytes = 4 * PART + 1;
    let sent = upload_through_kills("s3", bucket.port(), bytes, &places);
    assert!(sent <= bytes + places.len() as u64 * (PART + TALK) + TALK);
    let object = std::fs::read(bucket.folder().join("gym/1.mp4")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &json!({}));
    let recording = std::fs::read(scene.video(1, bytes).path).unwrap();
    assert!(object == recording, "another content");
}

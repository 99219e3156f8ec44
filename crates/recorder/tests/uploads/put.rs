//! PUT: servers that take parts, that refuse them, and that take a part for the whole.

use crate::http::Reply;
use crate::put_server::{Parts, PutServer};
use crate::scene::{CHUNK, Scene, settings};

const BYTES: u64 = 3 * CHUNK + 1;
const FILE: &str = "/videos/1.mp4";

fn scene(server: &PutServer) -> (tempfile::TempDir, Scene) {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("put", &server.url()));
    (folder, scene)
}

#[test]
fn parts_are_sent_one_after_the_other_and_the_size_is_asked_for() {
    let server = PutServer::start(Parts::Taken);
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    let video = scene.video(1, BYTES);
    running.uploads.add(video.clone());
    running.completed(1);
    let expected = [
        "PUT /videos/1.mp4 bytes 0-262143/786433",
        "PUT /videos/1.mp4 bytes 262144-524287/786433",
        "PUT /videos/1.mp4 bytes 524288-786431/786433",
        "PUT /videos/1.mp4 bytes 786432-786432/786433",
        "HEAD /videos/1.mp4",
    ];
    assert_eq!(server.asked(), expected);
    assert!(server.bytes(FILE) == std::fs::read(video.path).unwrap());
}

#[test]
fn a_server_that_takes_no_parts_gets_each_recording_in_one_request() {
    let refusing = [400, 405, 501].map(Parts::Refused);
    for parts in refusing.into_iter().chain([Parts::Mistaken]) {
        let server = PutServer::start(parts);
        let (_folder, scene) = scene(&server);
        let running = scene.start();
        for session in [1, 2] {
            let video = scene.video(session, BYTES);
            running.uploads.add(video.clone());
            running.completed(session);
            let there = server.bytes(&format!("/videos/{session}.mp4"));
            assert!(there == std::fs::read(video.path).unwrap(), "{parts:?}");
        }
        // Once that is known, it is not tried with the next recording.
        let asked = server.asked();
        let in_parts = asked.iter().any(|asked| asked.contains("/2.mp4 bytes"));
        assert!(!in_parts, "{parts:?}: {asked:?}");
    }
}

#[test]
fn a_server_that_says_another_size_is_asked_again_later_and_gets_it_anew() {
    let server = PutServer::start(Parts::Taken);
    server.state().size = Some(12);
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(
        why.contains("says that it has 12 bytes, but 786433 were sent"),
        "{why}"
    );
    // A fault of one recording keeps no other one from being uploaded.
    server.state().size = None;
    running.uploads.add(scene.video(2, CHUNK));
    running.completed(2);
    server.state().files.clear();
    scene.its_time_comes();
    running.uploads.wake();
    running.completed(1);
    assert_eq!(server.bytes(FILE).len() as u64, BYTES);
}

#[test]
fn a_refusal_in_the_middle_of_a_part_is_heard_and_not_taken_for_a_cut_line() {
    for (status, words) in [
        (413, "the video is too large for"),
        (507, "is full (507"),
        (401, "does not accept the credential"),
    ] {
        let server = PutServer::start(Parts::Taken);
        server.state().answer = Some(Reply::of(status));
        let (_folder, scene) = scene(&server);
        let running = scene.start();
        running.uploads.add(scene.video(1, BYTES));
        let why = running.failed(1);
        assert!(why.contains(words), "{why}");
    }
}

//! tus: with the servers that others wrote, and what the protocol says of statuses that those do not answer at will.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Mutex;

use kit::testing::{call, eventually};
use rusqlite::Connection;

use crate::http::{Reply, Server};
use crate::relay::Relay;
use crate::scene::{CHUNK, Scene, settings};
use crate::tus_server::{Kind, TusServer};

const BYTES: u64 = 4 * CHUNK + 1;

/// A folder whose upload was cut off in its second part, on the way to `server`.
fn interrupted(server: &TusServer) -> (tempfile::TempDir, Relay) {
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::to(server.port));
    let scene = Scene::new(folder.path(), &settings("tus", &relay.url()));
    relay.let_pass(Some(CHUNK * 3 / 2));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    eventually("the line is cut", || relay.is_cut().then_some(()));
    drop(running);
    relay.let_pass(None);
    relay.hang_up();
    (folder, relay)
}

/// Goes on after [`interrupted`].
fn goes_on(folder: &tempfile::TempDir, relay: &Relay) {
    let scene = Scene::new(folder.path(), &settings("tus", &relay.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.completed(1);
}

#[test]
fn every_server_gets_the_recording_with_or_without_checksums() {
    for kind in [Kind::Node, Kind::Python("sha1"), Kind::Python("md5,sha256")] {
        let server = TusServer::start(kind, None);
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://127.0.0.1:{}", server.port);
        let scene = Scene::new(folder.path(), &settings("tus", &url));
        let running = scene.start();
        let video = scene.video(1, BYTES);
        running.uploads.add(video.clone());
        running.completed(1);
        let recording = std::fs::read(video.path).unwrap();
        assert!(server.uploads() == [recording], "{kind:?}");
    }
}

#[test]
fn an_upload_that_the_server_has_forgotten_begins_anew() {
    let server = TusServer::start(Kind::Node, None);
    let (folder, relay) = interrupted(&server);
    server.forget();
    goes_on(&folder, &relay);
    let recording = std::fs::read(folder.path().join("1.mp4")).unwrap();
    assert!(server.uploads() == [recording]);
}

#[test]
fn an_upload_that_has_expired_begins_anew() {
    let server = TusServer::start(Kind::Node, Some(2));
    let (folder, relay) = interrupted(&server);
    let database = Connection::open(folder.path().join("recorder.sqlite")).unwrap();
    let query = "SELECT location FROM uploads";
    let location: String = database.query_row(query, [], |row| row.get(0)).unwrap();
    let path = location.split_once("/files/").unwrap().1;
    eventually("the upload expires", || {
        let at = ([127, 0, 0, 1], server.port).into();
        let headers = [("tus-resumable", "1.0.0")];
        let answer = call(at, "HEAD", &format!("/files/{path}"), &headers, "");
        (answer.status == 410).then_some(())
    });
    goes_on(&folder, &relay);
    let recording = std::fs::read(folder.path().join("1.mp4")).unwrap();
    assert!(server.uploads().contains(&recording));
}

#[test]
fn a_line_that_is_cut_again_and_again_gets_the_recording_through() {
    let server = TusServer::start(Kind::Node, None);
    let (folder, relay) = (tempfile::tempdir().unwrap(), Relay::to(server.port));
    let scene = Scene::new(folder.path(), &settings("tus", &relay.url()));
    relay.let_pass(Some(CHUNK / 2));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    for _ in 0..7 {
        eventually("the line is cut", || relay.is_cut().then_some(()));
        assert_eq!(running.uploads.snapshot().problem, None);
        relay.let_pass(Some(CHUNK / 2));
        relay.hang_up();
    }
    relay.let_pass(None);
    relay.hang_up();
    running.completed(1);
}

/// A server that has begun an upload and answers the requests after that so, one after the other; then it takes all.
fn scripted(script: Vec<Reply>) -> Server {
    let script = Mutex::new(VecDeque::from(script));
    let there = Mutex::new(0);
    Server::start(move |request| {
        let mut there = there.lock().unwrap();
        if request.method == "OPTIONS" {
            return Ok(Reply::of(204));
        }
        if request.method == "POST" {
            return Ok(Reply::of(201).header("location", "/files/1"));
        }
        let mut body = Vec::new();
        if let Some(reply) = script.lock().unwrap().pop_front() {
            request.read_to_end(&mut body)?;
            return Ok(reply);
        }
        if request.method == "PATCH" {
            let offset = request.header("upload-offset").unwrap().parse();
            if offset != Ok(*there) {
                return Ok(Reply::of(409));
            }
            request.read_to_end(&mut body)?;
            *there += body.len() as u64;
        }
        let reply = match request.method.as_str() {
            "HEAD" => Reply::of(200).header("upload-length", BYTES.to_string()),
            _ => Reply::of(204),
        };
        Ok(reply.header("upload-offset", there.to_string()))
    })
}

/// What a server was asked that answered so; the upload succeeds all the same.
fn asked_of(script: Vec<Reply>) -> Vec<String> {
    let server = scripted(script);
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("tus", &server.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.completed(1);
    let asked = server.asked().into_iter();
    let methods = asked.map(|asked| asked.split(' ').next().unwrap().to_owned());
    methods.filter(|method| method != "OPTIONS").collect()
}

#[test]
fn a_wrong_offset_is_asked_for_and_a_lock_and_damage_are_waited_out() {
    let patches = ["PATCH"; 5];
    for status in [409, 423, 460, 500] {
        let asked = asked_of(vec![Reply::of(status)]);
        let expected = ["POST", "PATCH", "HEAD"].iter().chain(&patches);
        assert!(asked.iter().eq(expected.chain(&["HEAD"])), "{asked:?}");
    }
    for status in [404, 410] {
        let asked = asked_of(vec![Reply::of(status)]);
        let expected = ["POST", "PATCH", "POST"].iter().chain(&patches);
        assert!(asked.iter().eq(expected.chain(&["HEAD"])), "{asked:?}");
    }
}

#[test]
fn an_upload_that_has_another_length_there_is_not_ours_and_begins_anew() {
    let other = Reply::of(200)
        .header("upload-offset", "7")
        .header("upload-length", "7");
    let asked = asked_of(vec![Reply::of(500), other.clone()]);
    let expected = ["POST", "PATCH", "HEAD", "POST"].iter();
    let expected = expected.chain(&["PATCH"; 5]).chain(&["HEAD"]);
    assert!(asked.iter().eq(expected), "{asked:?}");

    // A server that says so each time is left alone after a while.
    let script = [Reply::of(500), other].into_iter().cycle().take(100);
    let server = scripted(script.collect());
    let why = failure_at(&server);
    assert!(
        why.contains("has an upload of 7 bytes, and not of 1048577, there"),
        "{why}"
    );
    let begun = server.asked().into_iter();
    let begun = begun.filter(|asked| asked.starts_with("POST")).count();
    assert_eq!(begun, 3);
}

#[test]
fn a_server_may_forget_what_it_has_acknowledged_but_not_what_it_has_not() {
    // The protocol has all three for what is not there any more, or not for whoever asks.
    for status in [403, 404, 410] {
        let ends = [1, 2, 3, 4, 5].map(|part| {
            let offset = BYTES.min(part * CHUNK).to_string();
            Reply::of(204).header("upload-offset", offset)
        });
        let script = ends.into_iter().chain([Reply::of(status)]);
        let asked = asked_of(script.collect());
        let expected = ["POST"].iter().chain(&["PATCH"; 5]).chain(&["HEAD"]);
        assert!(asked.iter().eq(expected), "{status}: {asked:?}");

        let asked = asked_of(vec![Reply::of(500), Reply::of(status)]);
        let expected = ["POST", "PATCH", "HEAD", "POST"].iter();
        let expected = expected.chain(&["PATCH"; 5]).chain(&["HEAD"]);
        assert!(asked.iter().eq(expected), "{status}: {asked:?}");
    }
}

#[test]
fn the_journal_names_an_upload_without_what_may_be_secret_in_its_address() {
    crate::journal::is_kept();
    let server = Server::start(|request| {
        let mut body = Vec::new();
        request.read_to_end(&mut body)?;
        Ok(match request.method.as_str() {
            "POST" => Reply::of(201).header("location", "/files/told?key=s3cret"),
            "HEAD" => Reply::of(403),
            _ => Reply::of(204).header("upload-offset", body.len().to_string()),
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("tus", &server.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, 1));
    running.completed(1);
    let lines = crate::journal::lines();
    assert!(
        lines.iter().any(|line| line.contains("/files/told")),
        "{lines:?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("key=s3cret")),
        "{lines:?}"
    );
}

/// Why the upload to a server fails that answered so.
fn failure_of(script: Vec<Reply>) -> String {
    failure_at(&scripted(script))
}

/// Why the upload to a server fails.
fn failure_at(server: &Server) -> String {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("tus", &server.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.failed(1)
}

#[test]
fn a_server_that_says_another_size_is_not_believed_to_have_the_recording() {
    let at = |offset: u64| Reply::of(204).header("upload-offset", offset.to_string());
    let ends = [1, 2, 3, 4].map(|part| at(part * CHUNK));
    let other = Reply::of(200)
        .header("upload-offset", "7")
        .header("upload-length", "7");
    let script = ends.into_iter().chain([at(BYTES), other]);
    let why = failure_of(script.collect());
    assert!(
        why.contains("has an upload of 7 bytes, and not of 1048577, there"),
        "{why}"
    );

    let why = failure_of(vec![at(BYTES); 3]);
    assert!(
        why.contains("says that it has 1048577 bytes, but 262144 were sent"),
        "{why}"
    );
}

#[test]
fn a_server_that_never_acknowledges_anything_is_left_alone() {
    let nothing = Reply::of(204).header("upload-offset", "0");
    let asked = Reply::of(200).header("upload-offset", "0");
    let script = [nothing, asked].into_iter().cycle().take(20);
    let why = failure_of(script.collect());
    assert!(why.contains("expects another part"), "{why}");
}

#[test]
fn neither_the_recording_nor_the_token_goes_to_another_server() {
    let thief = Server::start(|_| Ok(Reply::of(204)));
    let elsewhere = format!("{}/files/1", thief.url());
    let server = Server::start(move |_| Ok(Reply::of(201).header("location", &elsewhere)));
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("tus", &server.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(
        why.contains("wants the upload to be sent to http://127.0.0.1:"),
        "{why}"
    );
    assert_eq!(thief.asked(), [""; 0]);
}

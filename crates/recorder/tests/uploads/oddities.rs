//! What stands in a server's place, or is wrong with it, is the same for every target: it is said in words that help,
//! no secret goes anywhere else, and the recording is uploaded once it is over.

use serde_json::json;

use crate::http::{Reply, Server};
use crate::put_server::{Parts, PutServer};
use crate::relay::Relay;
use crate::scene::{CHUNK, Scene, settings};
use crate::tus_server::{Kind, TusServer};
use crate::youtube_server::YoutubeServer;

const BYTES: u64 = 2 * CHUNK + 1;
const TARGETS: [&str; 4] = ["tus", "put", "youtube", "s3"];

/// A good server of each kind.
enum Good {
    Tus(TusServer),
    Put(PutServer),
    Youtube(YoutubeServer),
    S3(fake_s3::Bucket),
}

impl Good {
    fn start(target: &str) -> Self {
        match target {
            "tus" => Good::Tus(TusServer::start(Kind::Node, None)),
            "put" => Good::Put(PutServer::start(Parts::Taken)),
            "youtube" => Good::Youtube(YoutubeServer::start()),
            _ => Good::S3(fake_s3::Bucket::start().unwrap()),
        }
    }

    fn port(&self) -> u16 {
        match self {
            Good::Tus(server) => server.port,
            Good::Put(server) => server.port,
            Good::Youtube(server) => server.port,
            Good::S3(bucket) => bucket.port(),
        }
    }
}

/// Uploads where everything is answered with `reply`: what is said contains `words`. Then the server is itself again.
fn is_told_and_overcome(target: &str, reply: Reply, words: &str) {
    let odd = Server::start(move |request| {
        std::io::copy(request, &mut std::io::sink())?;
        Ok(reply.clone())
    });
    let relay = Relay::to(odd.port);
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings(target, &relay.url()));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let (why, snapshot) = running.failure(1);
    assert!(why.contains(words), "{target}: {why}");
    for secret in ["s3cret", "not-so-secret", "access-"] {
        assert!(!why.contains(secret), "{target}: {why}");
    }
    assert_eq!(
        (snapshot.queue_size, snapshot.queue_bytes),
        (1, BYTES),
        "{target}"
    );
    assert_eq!(snapshot.success_rate, Some(0.0), "{target}");

    let good = Good::start(target);
    relay.lead_to(good.port());
    running.uploads.wake();
    let snapshot = running.completed(1);
    assert_eq!((snapshot.queue_size, snapshot.problem), (0, None));
    assert_eq!(snapshot.success_rate, Some(1.0));
}

#[test]
fn a_login_page_of_the_network_is_told_as_such() {
    for target in TARGETS {
        let page = Reply::of(200).body("text/html; charset=utf-8", "<html>Welcome to our WiFi");
        is_told_and_overcome(target, page, "login page of the network");
    }
}

#[test]
fn a_redirect_is_told_and_nothing_is_sent_there() {
    for target in TARGETS {
        for status in [302, 307] {
            let thief = Server::start(|_| Ok(Reply::of(200)));
            let there = Reply::of(status).header("location", format!("{}/login", thief.url()));
            is_told_and_overcome(target, there, "redirects uploads");
            assert_eq!(thief.asked(), [""; 0], "{target}");
        }
    }
}

#[test]
fn a_full_server_is_told_as_such() {
    for target in TARGETS {
        let words = match target {
            "s3" => "507",
            _ => "is full (507",
        };
        is_told_and_overcome(target, Reply::of(507), words);
    }
}

#[test]
fn a_credential_that_is_refused_is_told_as_such() {
    for (target, words) in [
        ("tus", "does not accept the credential (401"),
        ("put", "does not accept the credential (401"),
        ("youtube", "issues no access token (401"),
    ] {
        is_told_and_overcome(target, Reply::of(401), words);
    }
    is_told_and_overcome("s3", Reply::of(403), "may not do that");
}

#[test]
fn a_server_that_is_busy_for_long_is_told_as_such() {
    for target in TARGETS {
        is_told_and_overcome(target, Reply::of(503), "503");
    }
}

#[test]
fn nobody_there_is_told_as_such() {
    for target in TARGETS {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("http://{}", kit::testing::nobody());
        let scene = Scene::new(folder.path(), &settings(target, &url));
        let videos = [1, 2].map(|session| scene.video(session, BYTES));
        let running = scene.start();
        for video in videos {
            running.uploads.add(video);
        }
        let (why, snapshot) = running.failure(1);
        assert!(why.contains("the connection was refused"), "{why}");
        assert_eq!(snapshot.queue_size, 2);
        let told = snapshot.problem.expect("it is told");
        assert!(told.contains("the connection was refused"), "{told}");
    }
}

#[test]
fn a_credential_that_is_missing_is_named_and_recordings_wait() {
    for (target, secret) in [
        ("s3", "s3-access-key-id"),
        ("youtube", "youtube-refresh-token"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(target, "http://127.0.0.1:9");
        let scene = Scene::new(folder.path(), &settings).without(secret);
        let running = scene.start();
        running.uploads.add(scene.video(1, BYTES));
        let waiting = running.until("it waits", |snapshot| snapshot.queue_size == 1);
        let expected = format!("the credential recorder.{secret} is missing");
        assert_eq!(waiting.problem, Some(expected));
    }
}

#[test]
fn without_a_target_nothing_is_uploaded_and_nothing_waits() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &json!({}));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.uploads.wake();
    assert_eq!(
        running.uploads.snapshot(),
        recorder::upload::Snapshot::default()
    );
}

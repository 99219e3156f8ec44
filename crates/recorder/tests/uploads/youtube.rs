//! YouTube: tokens, quotas, and videos that it does not want.

use kit::testing::eventually;
use serde_json::json;

use crate::scene::{CHUNK, Scene, settings};
use crate::youtube_server::YoutubeServer;

const BYTES: u64 = 3 * CHUNK + 1;

fn scene(server: &YoutubeServer) -> (tempfile::TempDir, Scene) {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path(), &settings("youtube", &server.url()));
    (folder, scene)
}

#[test]
fn a_video_is_published_as_set_and_looked_at_afterwards() {
    let server = YoutubeServer::start();
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    let video = scene.video(1, BYTES);
    running.uploads.add(video.clone());
    running.completed(1);
    let state = server.state();
    let (received, said) = &state.uploads[&1];
    assert!(received.bytes == std::fs::read(video.path).unwrap());
    let expected = json!({
        "snippet": { "title": "Court  1 , Monday", "description": "", "categoryId": "17" },
        "status": { "privacyStatus": "private" },
    });
    assert_eq!(*said, expected);
    let asked = server.asked();
    assert_eq!(asked.first().unwrap(), "POST /token");
    let looked = "GET /youtube/v3/videos?part=status,fileDetails&id=1";
    assert_eq!(asked.last().unwrap(), looked);
}

#[test]
fn a_token_that_expires_meanwhile_is_replaced_once_and_the_upload_goes_on() {
    let server = YoutubeServer::start();
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, CHUNK));
    running.completed(1);
    // An hour later.
    server.state().issued += 1;
    running.uploads.add(scene.video(2, BYTES));
    running.completed(2);
    let state = server.state();
    assert_eq!(
        state.issued, 3,
        "one token at the start, and one for the one that expired"
    );
    assert_eq!(state.uploads[&2].0.came, BYTES);
}

#[test]
fn a_new_token_that_is_refused_needs_a_person() {
    let server = YoutubeServer::start();
    server.state().refuses_all = true;
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(why.contains("refuses a new access token (401)"), "{why}");
}

#[test]
fn a_consent_that_was_taken_back_is_told_with_the_credential_to_renew() {
    let server = YoutubeServer::start();
    server.state().is_revoked = true;
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(why.contains("(invalid_grant)"), "{why}");
    assert!(why.contains("recorder.youtube-refresh-token"), "{why}");
}

#[test]
fn when_the_quota_is_used_up_nothing_is_asked_until_the_next_day() {
    for (status, reason) in [(403, "quotaExceeded"), (400, "uploadLimitExceeded")] {
        let server = YoutubeServer::start();
        server.state().refusal = Some((status, reason));
        let (_folder, scene) = scene(&server);
        let running = scene.start();
        running.uploads.add(scene.video(1, BYTES));
        running.uploads.add(scene.video(2, BYTES));
        let why = running.failed(1);
        assert!(why.contains("takes no more uploads today"), "{why}");
        assert_eq!(server.asked().len(), 2, "a token and one refusal");
        // A third recording changes nothing about it.
        running.uploads.add(scene.video(3, BYTES));
        let waiting = running.until("it waits", |snapshot| snapshot.queue_size == 3);
        assert_eq!(waiting.problem, Some(why));
        assert_eq!(server.asked(), [""; 0]);

        // Not even the network's return does.
        running.uploads.wake();
        let waiting = running.until("it waits", |snapshot| snapshot.problem.is_some());
        assert_eq!(waiting.queue_size, 3);
        assert_eq!(server.asked(), [""; 0]);

        // The clock was set, so that nobody knows which day it was.
        server.state().refusal = None;
        running.clock.jump(24 * 3_600_000);
        running.uploads.wake();
        for session in [1, 2, 3] {
            running.completed(session);
        }
    }
}

#[test]
fn a_rate_limit_is_waited_out() {
    let server = YoutubeServer::start();
    server.state().refusal = Some((403, "rateLimitExceeded"));
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(why.contains("rateLimitExceeded"), "{why}");
    assert!(
        server.asked().len() > 2,
        "a token, and more than one attempt"
    );
    server.state().refusal = None;
    running.completed(1);
}

#[test]
fn a_video_counts_as_uploaded_once_it_is_processed() {
    let server = YoutubeServer::start();
    server.state().upload_status = Some("uploaded");
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.uploads.add(scene.video(2, BYTES));
    let mut looked = 0;
    eventually("both are sent, and looked at again and again", || {
        let asked = server.asked();
        looked += asked
            .iter()
            .filter(|asked| asked.starts_with("GET"))
            .count();
        (looked >= 6).then_some(())
    });
    let waiting = running.uploads.snapshot();
    assert!(!running.uploads.is_sent(1) && !running.uploads.is_sent(2));
    assert_eq!((waiting.queue_size, waiting.queue_bytes), (2, 0));
    assert_eq!((waiting.problem, waiting.success_rate), (None, None));

    // What waits for that outlives a restart, and is not sent again.
    drop(running);
    let running = scene.start();
    server.state().upload_status = None;
    running.completed(1);
    running.completed(2);
    assert_eq!(server.state().begun, 2);
    assert_eq!(server.state().uploads[&1].0.came, BYTES);
}

#[test]
fn what_youtube_has_already_is_not_sent_for_ever() {
    let server = YoutubeServer::start();
    server.state().upload_status = Some("rejected");
    server.state().reason = Some("duplicate");
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.completed(1);
    assert_eq!(server.state().begun, 1);
}

#[test]
fn a_video_that_youtube_does_not_want_is_told_and_not_sent_again() {
    let server = YoutubeServer::start();
    server.state().upload_status = Some("rejected");
    server.state().reason = Some("length");
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(why.contains("the video is rejected: length"), "{why}");
    server.asked();
    scene.its_time_comes();
    running.uploads.wake();
    let asked = eventually("it is looked at again", || {
        Some(server.asked()).filter(|asked| !asked.is_empty())
    });
    assert!(asked[0].starts_with("GET "), "{asked:?}");
    assert_eq!(server.state().begun, 1);
}

#[test]
fn a_video_that_youtube_has_lost_or_failed_to_process_is_sent_once_more() {
    for what in ["lost", "failed", "another size"] {
        let server = YoutubeServer::start();
        match what {
            "lost" => server.state().knows_none = true,
            "failed" => {
                server.state().upload_status = Some("failed");
                server.state().reason = Some("uploadAborted");
            }
            _ => server.state().size = Some(1),
        }
        let (_folder, scene) = scene(&server);
        let running = scene.start();
        running.uploads.add(scene.video(1, BYTES));
        let why = running.failed(1);
        let words = match what {
            "lost" => "does not know the video 1",
            "failed" => "the video is failed: uploadAborted",
            _ => "says that it has 1 bytes",
        };
        assert!(why.contains(words), "{why}");
        let mut looked = 0;
        eventually("it is sent once more, and then only looked for", || {
            let asked = server.asked().into_iter();
            looked += asked.filter(|asked| asked.ends_with("&id=2")).count();
            scene.its_time_comes();
            running.uploads.wake();
            (looked >= 6).then_some(())
        });
        assert_eq!(server.state().begun, 2, "{what}");
        let why = running.failed(1);
        assert!(why.contains("it was sent twice"), "{why}");

        // It may turn up after all.
        let mut state = server.state();
        (state.knows_none, state.upload_status, state.size) = (false, None, None);
        drop(state);
        scene.its_time_comes();
        running.uploads.wake();
        running.completed(1);
    }
}

#[test]
fn a_quota_that_is_used_up_says_nothing_of_a_video() {
    let server = YoutubeServer::start();
    server.state().keeps_silent = Some((403, "quotaExceeded"));
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    let why = running.failed(1);
    assert!(why.contains("takes no more uploads today"), "{why}");
    drop(running);
    server.state().keeps_silent = None;
    let running = scene.start();
    running.completed(1);
    assert_eq!(server.state().begun, 1);
}

#[test]
fn a_consent_for_uploads_only_is_enough() {
    let server = YoutubeServer::start();
    server.state().is_upload_only = true;
    let (_folder, scene) = scene(&server);
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    running.completed(1);
}

#[test]
fn an_upload_that_youtube_has_forgotten_begins_anew() {
    let server = YoutubeServer::start();
    let folder = tempfile::tempdir().unwrap();
    let relay = crate::relay::Relay::to(server.port);
    let scene = Scene::new(folder.path(), &settings("youtube", &relay.url()));
    relay.let_pass(Some(CHUNK * 3 / 2));
    let running = scene.start();
    running.uploads.add(scene.video(1, BYTES));
    kit::testing::eventually("the line is cut", || relay.is_cut().then_some(()));
    // Meanwhile nothing else passes.
    relay.hang_up();
    server.state().uploads.clear();
    relay.let_pass(None);
    relay.hang_up();
    running.completed(1);
    let state = server.state();
    let (received, _) = &state.uploads[&2];
    assert_eq!(received.bytes.len() as u64, BYTES);
}

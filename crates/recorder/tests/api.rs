//! What the page and other programs get of the recorder.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod film;
mod support;

use std::time::{Duration, Instant};

use film::*;
use serde_json::json;
use sha2::{Digest, Sha256};

#[test]
fn whatever_shows_people_needs_the_token() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    for (method, path) in [
        ("POST", "/api/start"),
        ("POST", "/api/stop"),
        ("GET", "/api/live.jpg"),
        ("GET", "/api/sessions"),
        ("GET", "/api/sessions/1"),
        ("GET", "/api/sessions/1/thumbnail.jpg"),
        ("GET", "/api/sessions/1/video.mp4"),
        ("HEAD", "/api/sessions/1/video.mp4"),
        ("GET", "/api/sessions/1/clip.mp4"),
    ] {
        assert_eq!(recorder.call(method, path, &[], "").status, 401, "{path}");
        let wrong = [("cookie", "recorder-session=99999999999999.00")];
        assert_eq!(recorder.call(method, path, &wrong, "").status, 401);
    }
    assert_eq!(recorder.state(), "ready");
    let status = recorder.get("/api/status").json();
    assert_eq!(
        status["access"],
        json!({ "allowed": false, "cookie": false, "token": true, "token_name": "recorder.bearer-token" })
    );
    recorder.stop();
}

#[test]
fn a_browser_logs_in_and_out() {
    let state = tempfile::tempdir().unwrap();
    let before = recorder(state.path(), json!({}));
    let log_in = |token: &str| {
        let body = json!({ "token": token }).to_string();
        before.call("POST", "/api/login", &[], &body)
    };
    let wrong = log_in("another");
    assert_eq!(
        (wrong.status, &wrong.json()["error"]),
        (401, &json!("wrong token"))
    );
    for nonsense in ["", "[]", "{\"tokem\":\"x\"}"] {
        assert_eq!(before.call("POST", "/api/login", &[], nonsense).status, 400);
    }
    let right = log_in(TOKEN);
    assert_eq!(right.status, 204, "{}", right.text);
    let cookie = right.headers["set-cookie"].to_str().unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let mine = [("cookie", cookie.as_str())];
    assert_eq!(before.call("GET", "/api/sessions", &mine, "").status, 200);
    // Another page in the same browser cannot stop a recording.
    let foreign = [mine[0], ("origin", "http://elsewhere")];
    assert_eq!(before.call("POST", "/api/stop", &foreign, "").status, 403);
    before.stop();

    // Nobody has to log in again because the recorder was restarted.
    let after = recorder(state.path(), json!({}));
    assert_eq!(after.call("GET", "/api/sessions", &mine, "").status, 200);
    let status = after.call("GET", "/api/status", &mine, "").json();
    assert_eq!(status["access"]["allowed"], true);
    let out = after.call("POST", "/api/logout", &mine, "");
    let gone = out.headers["set-cookie"].to_str().unwrap();
    assert!(
        gone.starts_with("recorder-session=;") && gone.contains("Max-Age=0"),
        "{gone}"
    );
    after.stop();
}

#[test]
fn whoever_guesses_has_to_wait_and_whoever_has_the_token_gets_in() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    let guess = || {
        let guess = [("authorization", "Bearer guess")];
        recorder.call("GET", "/api/sessions", &guess, "").status
    };
    for _ in 0..10 {
        assert_eq!(guess(), 401);
    }
    let answer = recorder.with_token("GET", "/api/sessions");
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Whoever goes on guessing waits for each turn.
    let begun = Instant::now();
    for _ in 0..2 {
        assert_eq!(guess(), 401);
    }
    let waited = begun.elapsed();
    assert!(waited > Duration::from_secs(2), "{waited:?}");
    recorder.stop();
}

#[test]
fn a_recording_is_started_seen_stopped_played_and_cut() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    assert_eq!(recorder.with_token("POST", "/api/start").status, 204);
    eventually("it records", || {
        (recorder.state() == "recording").then_some(())
    });
    let picture = eventually("there is a live picture", || {
        Some(recorder.file("/api/live.jpg", &[])).filter(|picture| picture.status == 200)
    });
    assert_eq!(picture.headers["content-type"], "image/jpeg");
    assert_eq!(picture.body[..3], [0xff, 0xd8, 0xff]);
    // What is still being recorded has no video yet, and says so.
    let early = recorder.with_token("GET", "/api/sessions/1/video.mp4");
    assert_eq!(
        (early.status, &early.json()["details"]),
        (404, &json!("it is still being recorded"))
    );

    let session = recorder.records(4.0);
    let length = session["duration_ms"].as_f64().unwrap() / 1000.0;
    let id = &session["id"];
    let path = format!("/api/sessions/{id}/video.mp4");
    let whole = recorder.file(&path, &[]);
    assert_eq!(
        (whole.status, whole.body.len() as u64),
        (200, session["bytes"].as_u64().unwrap())
    );
    let sha256: String = Sha256::digest(&whole.body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(session["sha256"], sha256.as_str());
    let etag = whole.headers["etag"].to_str().unwrap().to_owned();

    // A player seeks: what comes is what is there.
    let half = whole.body.len() / 2;
    let range = format!("bytes={half}-");
    let part = recorder.file(&path, &[("range", &range), ("if-range", &etag)]);
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[half..]));
    let beyond = format!("bytes={}-", whole.body.len());
    assert_eq!(recorder.file(&path, &[("range", &beyond)]).status, 416);
    let thumbnail = recorder.file(&format!("/api/sessions/{id}/thumbnail.jpg"), &[]);
    assert_eq!(
        (thumbnail.status, &thumbnail.body[..2]),
        (200, &[0xff, 0xd8][..])
    );

    // A part of it can be played on its own.
    let clip = |query: &str| format!("/api/sessions/{id}/clip.mp4?{query}");
    let cut = recorder.file(&clip("from=1&to=3"), &[]);
    assert_eq!(cut.status, 200);
    let file = state.path().join("clip.mp4");
    std::fs::write(&file, &cut.body).unwrap();
    let found = support::probed(&file);
    // It begins at a whole picture, of which there is one a second.
    assert!((1500..=3500).contains(&found.duration_ms), "{found:?}");
    assert!(found.frames > 20 && found.backward == 0, "{found:?}");
    for (query, complaint) in [
        ("from=3&to=1", "from: must be before to"),
        (&format!("from={}", length + 1.0), "from: must be before to"),
        ("from=-1", "from: must be before to"),
        ("from=NaN", "from: must be before to"),
        ("from=x", "from"),
        ("form=1", "unknown field"),
    ] {
        let answer = recorder.with_token("GET", &clip(query));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert!(answer.text.contains(complaint), "{}", answer.text);
    }

    // Nothing else is there.
    let none = recorder.with_token("GET", "/api/sessions/99/video.mp4");
    assert_eq!(
        (none.status, &none.json()["error"]),
        (404, &json!("no such recording"))
    );
    for (query, sessions) in [("", 1), ("?from=0&limit=1", 1), ("?to=1000", 0)] {
        let list = recorder
            .with_token("GET", &format!("/api/sessions{query}"))
            .json();
        assert_eq!(
            list["sessions"].as_array().unwrap().len(),
            sessions,
            "{query}"
        );
        assert_eq!(list["more"], false);
    }
    for query in ["?limit=0", "?limit=501", "?from=yesterday", "?form=1"] {
        let answer = recorder.with_token("GET", &format!("/api/sessions{query}"));
        assert_eq!(answer.status, 400, "{query}");
    }
    recorder.stop();
}

#[test]
fn a_recording_that_cannot_be_started_says_why() {
    let state = tempfile::tempdir().unwrap();
    let missing = json!({ "camera": { "source": { "device": "/dev/v4l/by-id/usb-none" } } });
    let recorder = recorder(state.path(), missing);
    eventually("it is known that there is no camera", || {
        (recorder.state() == "error").then_some(())
    });
    let refused = recorder.with_token("POST", "/api/start");
    assert_eq!(refused.status, 409, "{}", refused.text);
    let answer = refused.json();
    assert_eq!(answer["error"], "the recording was not started");
    assert!(
        answer["details"]
            .as_str()
            .unwrap()
            .contains("/dev/v4l/by-id/usb-none"),
        "{answer}"
    );
    recorder.stop();
}

#[test]
fn metrics_have_the_names_that_their_users_know() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    let metrics = eventually("the heart has beaten", || {
        let text = recorder.get("/metrics").text;
        text.contains("recorder_up 1").then_some(text)
    });
    for name in [
        "recorder_heartbeat_age_seconds ",
        "recorder_state{state=\"booting\"} 0",
        "recorder_state{state=\"ready\"} 1",
        "recorder_state{state=\"recording\"} 0",
        "recorder_state{state=\"processing\"} 0",
        "recorder_state{state=\"error\"} 0",
        "recorder_recording_active 0",
        "recorder_should_record 0",
        "recorder_upload_queue_size 0",
        "recorder_uptime_seconds ",
        "recorder_disk_free_bytes ",
        "recorder_disk_usage_ratio 0.",
        "recorder_videos_total{status=\"pending\"} 0",
        "recorder_videos_total{status=\"completed\"} 0",
        "recorder_videos_total{status=\"failed\"} 0",
        "recorder_videos_total{status=\"corrupted\"} 0",
        "recorder_upload_success_rate NaN",
        "recorder_camera_up 1",
        // It has not recorded or uploaded anything yet.
        "recorder_last_frame_timestamp_seconds 0",
        "recorder_last_upload_timestamp_seconds 0",
    ] {
        assert!(
            metrics.contains(&format!("\n{name}")),
            "no {name} in {metrics}"
        );
    }
    recorder.stop();
}

#[test]
fn the_page_needs_nothing_from_anywhere_else() {
    let state = tempfile::tempdir().unwrap();
    let recorder = recorder(state.path(), json!({}));
    let page = recorder.get("/");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in ["default-src 'none'", "media-src 'self'"] {
        assert!(
            policy.contains(part) && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    for file in ["/recorder.css", "/words.js", "/player.js", "/recorder.js"] {
        assert!(page.text.contains(&format!("\"{}\"", &file[1..])));
        let answer = recorder.get(file);
        assert_eq!(answer.status, 200);
        assert!(!answer.text.contains("https://"));
    }
    // What the policy forbids is not there.
    assert!(!page.text.contains("style=") && !page.text.contains("onclick"));
    recorder.stop();
}

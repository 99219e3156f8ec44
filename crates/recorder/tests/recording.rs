//! What is recorded becomes a video; what disturbs the recording is noticed, healed and told.

mod support;

use std::time::Duration;

use recorder::machine::{Fault, State};
use recorder::session::{Session, SessionState};
use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest, Sha256};
use support::*;

/// How long the gaps of a session are together.
fn missing_ms(session: &Session) -> i64 {
    session.gaps.iter().map(|gap| gap.length_ms).sum()
}

#[test]
fn a_recording_becomes_a_video_that_plays() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    let during = recorder.status();
    assert_eq!(
        (during.state, during.is_recording()),
        (State::Recording, true)
    );
    assert_eq!(
        during.camera.format.as_deref(),
        Some("as it comes, encoded as h264")
    );
    let id = during.session.unwrap();
    recorder.end();
    let (session, probed) = recorder.finished(id);
    assert!(probed.frames >= 12, "{probed:?}");
    assert!((session.duration_ms - probed.frames as i64 * 50).abs() <= 50);
    assert_eq!((session.why, session.gaps), (None, vec![]));
    let video = session.path.unwrap();
    let sum = Sha256::digest(std::fs::read(&video).unwrap());
    let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(session.sha256, Some(digits));
    let picture = std::fs::read(session.thumbnail.unwrap()).unwrap();
    assert!(picture.starts_with(&[0xff, 0xd8]));
    let mut files: Vec<_> = std::fs::read_dir(video.parent().unwrap())
        .unwrap()
        .collect();
    assert_eq!(files.drain(..).count(), 2, "the parts are gone");
    recorder.until("it is ready again", |status| status.state == State::Ready);
}

#[test]
fn what_the_camera_compresses_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let camera = camera_file(directory.path());
    let recorder = Recorder::start(json!({ "camera": { "source": { "file": camera } } }));
    recorder.begin().unwrap();
    recorder.films(12);
    let status = recorder.status();
    assert_eq!(status.camera.format.as_deref(), Some("as it comes, copied"));
    recorder.end();
    let (session, _) = recorder.finished(status.session.unwrap());
    assert_eq!(session.why, None);
}

#[test]
fn with_the_time_in_the_picture_it_is_encoded() {
    let directory = tempfile::tempdir().unwrap();
    let source = json!({ "file": camera_file(directory.path()) });
    let recorder = Recorder::start(json!({ "camera": { "source": source, "time": true } }));
    recorder.begin().unwrap();
    recorder.films(12);
    let status = recorder.status();
    let format = status.camera.format.unwrap();
    assert_eq!(format, "as it comes, encoded as h264");
    recorder.end();
    recorder.finished(status.session.unwrap());
}

#[test]
fn frozen_for_five_seconds_it_is_noticed_killed_and_goes_on_in_a_new_part() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    let id = recorder.status().session.unwrap();
    recorder.signal(Signal::STOP);
    let noticed = time(|| {
        recorder.until("it is noticed", |status| status.camera.problem.is_some());
    });
    assert!(noticed <= Duration::from_secs(5), "{noticed:?}");
    let status = recorder.status();
    assert_eq!(
        status.camera.problem.as_deref(),
        Some("no frame came for 5 s")
    );
    assert!(status.state == State::Recording && !status.is_recording());
    recorder.films(12);
    assert_eq!(recorder.status().camera.restarts, 1);
    recorder.end();
    let (session, probed) = recorder.finished(id);
    assert_eq!(session.gaps.len(), 1, "{session:?}");
    assert_eq!(session.gaps[0].why, "no frame came for 5 s");
    assert!(
        (4_000..9_000).contains(&missing_ms(&session)),
        "{session:?}"
    );
    assert!(probed.frames >= 24);
}

#[test]
fn a_camera_that_is_pulled_out_and_plugged_in_again_leaves_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let camera = camera_file(directory.path());
    let unplugged = camera.with_extension("unplugged");
    let recorder = Recorder::start(json!({ "camera": { "source": { "file": &camera } } }));
    recorder.begin().unwrap();
    recorder.films(12);
    let id = recorder.status().session.unwrap();
    std::fs::rename(&camera, &unplugged).unwrap();
    recorder.signal(Signal::KILL);
    let status = recorder.until("it is missed", |status| {
        let problem = status.camera.problem.as_deref();
        problem.is_some_and(|problem| problem.starts_with("no camera: there is no "))
    });
    assert_eq!(status.state, State::Recording);
    assert_eq!(status.faults[0].0, Fault::Camera);
    std::fs::rename(&unplugged, &camera).unwrap();
    recorder.films(12);
    recorder.end();
    let (session, _) = recorder.finished(id);
    assert_eq!(session.gaps.len(), 1, "{session:?}");
}

#[test]
fn without_a_camera_nothing_is_begun_and_everybody_is_told() {
    let missing = json!({ "camera": { "source": { "device": "/dev/v4l/by-id/none" } } });
    let recorder = Recorder::start(missing);
    let refused = recorder.begin().unwrap_err().to_string();
    assert_eq!(refused, "no camera: there is no /dev/v4l/by-id/none");
    let status = recorder.status();
    assert_eq!((status.state, status.session), (State::Error, None));
    assert_eq!(status.errors[0].what, refused);
    assert!(!status.should_record);
    assert_eq!(recorder.sessions(), []);
}

#[test]
fn a_device_that_is_no_camera_is_named_with_what_ffmpeg_says() {
    let wrong = json!({ "camera": { "source": { "device": "/dev/null" } } });
    let recorder = Recorder::start(wrong);
    recorder.begin().unwrap();
    let status = recorder.until("it is told", |status| status.camera.problem.is_some());
    let problem = status.camera.problem.unwrap();
    assert!(problem.starts_with("/dev/null: "), "{problem}");
    recorder.end();
    let session = recorder.processed(status.session.unwrap());
    assert_eq!(session.state, SessionState::Corrupted);
    let why = session.why.unwrap();
    assert!(
        why.contains("/dev/null") && why.ends_with("nothing was recorded"),
        "{why}"
    );
}

#[test]
fn with_a_full_disk_nothing_is_begun() {
    let full = json!({ "space": { "min_free_bytes": 1_u64 << 60 } });
    let recorder = Recorder::start(full);
    let refused = recorder.begin().unwrap_err().to_string();
    assert!(refused.starts_with("the disk is full: "), "{refused}");
    assert_eq!(recorder.status().state, State::Error);
    assert_eq!(recorder.sessions(), []);
}

#[test]
fn when_its_share_is_full_the_recording_ends_in_good_order_and_nothing_unsent_is_removed() {
    let recorder = Recorder::start(json!({
        "space": { "max_bytes": 60_000 },
        "uploads": { "target": "put", "put": { "url": format!("http://{}/", nobody()) } },
    }));
    recorder.begin().unwrap();
    let id = eventually("a session begins", || recorder.status().session);
    let status = recorder.until("it ends", |status| status.state == State::Error);
    assert_eq!(status.faults[0].0, Fault::Space);
    assert!(status.should_record, "it begins again once there is room");
    let (session, _) = recorder.finished(id);
    let why = session.why.unwrap();
    let full = "it was ended because the share of recordings is full";
    assert!(why.starts_with(full), "{why}");
    let refused = recorder.begin().unwrap_err().to_string();
    assert!(refused.starts_with("the share of recordings is full"));
    assert!(recorder.session(id).path.is_some());
}

#[test]
fn what_is_uploaded_makes_room_for_what_comes() {
    let recorder = Recorder::start(json!({ "space": { "max_bytes": 60_000 } }));
    recorder.begin().unwrap();
    let id = eventually("a session begins", || recorder.status().session);
    // Nothing is ever uploaded here, so everything may go.
    let session = eventually("it is removed", || {
        Some(recorder.session(id)).filter(|session| session.removed_at_ms.is_some())
    });
    assert_eq!(
        (session.state, session.path),
        (SessionState::Finished, None)
    );
    recorder.until("the next one begins", |status| {
        status.session.is_some_and(|next| next > id)
    });
}

#[test]
fn a_clock_that_jumps_by_years_disturbs_nothing_and_is_corrected() {
    const YEARS_MS: i64 = 7 * 365 * 86_400_000;
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    let id = recorder.status().session.unwrap();
    let before = recorder.session(id).started_at_ms;
    for jump in [YEARS_MS, -2 * YEARS_MS] {
        recorder.clock.jump(jump);
        let moved = eventually("the beginning is corrected", || {
            let began = recorder.session(id).started_at_ms;
            let age = recorder.clock.now_ms() - began;
            (0..60_000).contains(&age).then_some(began)
        });
        assert!((moved - before).abs() > YEARS_MS / 2);
        recorder.films(12);
    }
    assert_eq!(recorder.status().camera.restarts, 0);
    recorder.end();
    let (session, probed) = recorder.finished(id);
    assert!(
        session.gaps.is_empty() && probed.frames >= 36,
        "{session:?}"
    );
}

#[test]
fn a_clock_that_jumps_by_years_removes_nothing_that_was_recorded_minutes_ago() {
    const YEARS_MS: i64 = 7 * 365 * 86_400_000;
    let recorder = Recorder::start(json!({ "space": { "max_days": 1 } }));
    recorder.begin().unwrap();
    recorder.films(12);
    recorder.end();
    recorder.finished(1);
    // It was recorded before the last boot, so that nothing corrects when it began.
    let database = recorder.directory.path().join("recorder.sqlite");
    let database = rusqlite::Connection::open(database).unwrap();
    database
        .execute("UPDATE sessions SET boot = 'another'", [])
        .unwrap();
    recorder.clock.jump(YEARS_MS);
    // Whoever begins a recording makes room first.
    recorder.begin().unwrap();
    recorder.films(12);
    recorder.end();
    recorder.finished(2);
    assert_eq!(recorder.session(1).removed_at_ms, None);
    assert!(recorder.session(1).path.is_some());
}

#[test]
fn a_session_that_is_long_enough_says_what_was_missed_until_the_next_one() {
    let short = json!({ "session": { "longest_hours": 0.001 } });
    let recorder = Recorder::start(short);
    recorder.begin().unwrap();
    recorder.until("the next one records", |status| {
        status.session == Some(2) && status.is_recording()
    });
    recorder.films(12);
    recorder.end();
    let (before, _) = recorder.finished(1);
    let (after, _) = recorder.finished(2);
    let [gap] = &before.gaps[..] else {
        panic!("{before:?}")
    };
    assert_eq!(gap.why, "the recording goes on in session 2");
    // It lies between the end of the one and the beginning of the other.
    let end = gap.at_ms + gap.length_ms;
    assert!(
        (end - after.started_at_ms).abs() <= 1,
        "{before:?} {after:?}"
    );
    assert!(gap.at_ms >= before.started_at_ms + before.duration_ms - 500);
    assert_eq!((after.gaps, recorder.status().gaps), (vec![], 1));
}

#[test]
fn a_chip_that_is_not_there_is_told_and_nothing_else_suffers() {
    let buttons = json!({ "gpio": {
        "chips": ["no-such-chip"],
        "buttons": [{ "line": 17 }],
        "leds": { "error": { "line": "GPIO22" } },
    } });
    let recorder = Recorder::start(buttons);
    let gpio = eventually("the chip is missed", || {
        let health = recorder.service.get("/health").json();
        let gpio = health["components"]["gpio"].clone();
        (gpio["status"] == "degraded").then_some(gpio)
    });
    let reason = gpio["reason"].as_str().unwrap();
    assert!(
        reason.contains("there is no GPIO chip no-such-chip"),
        "{reason}"
    );
    recorder.begin().unwrap();
    recorder.films(1);
}

#[test]
fn live_pictures_come_while_somebody_looks_recording_or_not() {
    let recorder = Recorder::start(json!({}));
    let is_picture = |picture: &[u8]| picture.starts_with(&[0xff, 0xd8]) && picture.len() > 1000;
    let see = |what: &str| {
        let picture = eventually(what, || recorder.control.live());
        assert!(is_picture(&picture));
        picture
    };
    let before = see("the camera is seen");
    recorder.begin().unwrap();
    recorder.films(12);
    eventually("the recording is seen", || {
        Some(recorder.control.live()?).filter(|picture| *picture != before)
    });
}

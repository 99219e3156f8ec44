//! Somebody sets the clock: every time that is told or kept is corrected with it, and what somebody said holds as long as it
//! would have under the right clock.

mod support;

use recorder::machine::State;
use recorder::session::DATABASE;
use rusqlite::Connection;
use serde_json::{Value, json};
use support::*;

const HOUR_MS: i64 = 3_600_000;
const YEARS_MS: i64 = 5 * 365 * 24 * HOUR_MS;

/// The database of a recorder.
fn database(recorder: &Recorder) -> Connection {
    Connection::open(recorder.directory.path().join(DATABASE)).unwrap()
}

/// What is kept of what somebody said last.
fn wish(database: &Connection) -> Value {
    let query = "SELECT value FROM settings WHERE key = 'wish'";
    let text: String = database.query_row(query, [], |row| row.get(0)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// When somebody said something last.
fn said_ms(database: &Connection) -> i64 {
    wish(database)["at"]["at_ms"].as_i64().unwrap()
}

/// Makes what somebody said last be said in another boot, when the clock was wrong by so much.
fn said_in_another_boot(database: &Connection, wrong_ms: i64) {
    let mut wish = wish(database);
    wish["at"]["boot"] = "another".into();
    wish["at"]["at_ms"] = (wish["at"]["at_ms"].as_i64().unwrap() + wrong_ms).into();
    let set = "UPDATE settings SET value = ?1 WHERE key = 'wish'";
    database.execute(set, [wish.to_string()]).unwrap();
}

/// Whether this is now, but for a minute.
fn is_now(recorder: &Recorder, ms: i64) -> bool {
    (recorder.clock.now_ms() - ms).abs() < 60_000
}

/// A window that opens every four seconds, for two.
fn windows() -> Value {
    json!({ "schedule": { "windows": [{ "start": "*:*:0/4", "stop": "*:*:2/4" }] } })
}

/// Opens and closes windows; what somebody said before does not hold any more.
fn follows_its_schedule(recorder: &Recorder) {
    for _ in 0..2 {
        recorder.until("a window opens", |status| status.should_record);
        recorder.until("a window closes", |status| !status.should_record);
    }
}

#[test]
fn what_somebody_said_is_kept_with_the_right_time() {
    let recorder = Recorder::start(json!({}));
    recorder.clock.jump(YEARS_MS);
    recorder.begin().unwrap();
    let database = database(&recorder);
    assert!(is_now(&recorder, said_ms(&database)));
    for jump in [-YEARS_MS, -HOUR_MS, YEARS_MS] {
        recorder.clock.jump(jump);
        eventually("the time is corrected", || {
            is_now(&recorder, said_ms(&database)).then_some(())
        });
    }
    assert_eq!(wish(&database)["on"], true);
}

#[test]
fn what_was_said_in_a_future_that_never_came_holds_until_the_schedule_speaks() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    said_in_another_boot(&database(&recorder), YEARS_MS);

    // Whoever wanted a recording gets it after a reboot.
    let recorder = Recorder::start_in(recorder.stop(), json!({}));
    recorder.until("it records again", |status| status.session.is_some());

    // And not for years.
    let recorder = Recorder::start_in(recorder.stop(), windows());
    follows_its_schedule(&recorder);
    eventually("it is known to be over", || {
        is_now(&recorder, said_ms(&database(&recorder))).then_some(())
    });
}

#[test]
fn who_stopped_a_recording_in_a_future_that_never_came_stopped_it_only_until_the_schedule_speaks() {
    let recorder = Recorder::start(json!({ "schedule": { "always": true } }));
    recorder.until("it records", |status| status.session.is_some());
    recorder.end();
    said_in_another_boot(&database(&recorder), YEARS_MS);

    let always = json!({ "schedule": { "always": true } });
    let recorder = Recorder::start_in(recorder.stop(), always);
    recorder.until("it has booted", |status| status.state == State::Ready);
    assert!(
        !recorder.status().should_record,
        "whoever stopped it meant it"
    );

    let recorder = Recorder::start_in(recorder.stop(), windows());
    follows_its_schedule(&recorder);
}

#[test]
fn what_the_status_tells_is_corrected() {
    let missing = json!({ "camera": { "source": { "device": "/dev/v4l/by-id/none" } } });
    let recorder = Recorder::start(missing);
    recorder.begin().unwrap_err();
    let told = |what: &str| {
        recorder.until(what, |status| {
            is_now(&recorder, status.since_ms) && is_now(&recorder, status.errors[0].at_ms)
        })
    };
    told("the error is told");
    for jump in [YEARS_MS, -2 * YEARS_MS] {
        recorder.clock.jump(jump);
        told("the times are corrected");
    }
}

#[test]
fn the_last_frame_came_when_it_came() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(5);
    recorder.end();
    recorder.until("nothing is recorded", |status| status.session.is_none());
    for jump in [YEARS_MS, -2 * YEARS_MS] {
        recorder.clock.jump(jump);
        recorder.until("the time is corrected", |status| {
            is_now(&recorder, status.camera.last_frame_ms.unwrap())
        });
    }
}

#[test]
fn what_waits_for_its_upload_is_told_with_the_right_time() {
    let recorder = Recorder::start(json!({
        "uploads": { "target": "put", "put": { "url": format!("http://{}/", nobody()) } },
    }));
    recorder.clock.jump(YEARS_MS);
    recorder.begin().unwrap();
    recorder.films(5);
    recorder.end();
    recorder.finished(1);
    let database = database(&recorder);
    let queued = || {
        let query = "SELECT recorded_at_ms, title FROM uploads";
        let row = |row: &rusqlite::Row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        database.query_row(query, [], row)
    };
    let (before, title) = eventually("it is in the queue", || queued().ok());
    assert!(is_now(&recorder, before));
    recorder.clock.jump(-YEARS_MS);
    let (_, corrected) = eventually("it is corrected", || {
        queued().ok().filter(|(at, _)| is_now(&recorder, *at))
    });
    assert_ne!(title, corrected);
}

//! Kills and cuts while recording: what was recorded until then plays, and the session tells where it is broken.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use kit::testing::{Program, command};
use recorder::session::{SCHEMA, SessionState};
use serde_json::json;
use support::*;

/// The last fragment and what follows it may be lost.
const MOST_LOST_MS: i64 = 1000;

fn always(directory: &Path) -> Program {
    let mut config = settings(directory);
    merge(&mut config, json!({ "schedule": { "always": true } }));
    let mut command = command(env!("CARGO_BIN_EXE_recorder"));
    Program::start(&mut command, directory, config).ready()
}

/// The size of the only part of the newest session.
fn size(directory: &Path, session: usize) -> u64 {
    let part = directory.join(format!("videos/{session}/part-000.mp4"));
    std::fs::metadata(part).map_or(0, |part| part.len())
}

/// Kills a recorder while it records, again and again; returns what each kill lost, in milliseconds.
fn kills(rounds: usize) -> Vec<i64> {
    needs_ffmpeg();
    let directory = tempfile::tempdir().unwrap();
    let mut killed = Vec::new();
    for round in 1..=rounds {
        let program = always(directory.path());
        eventually("it records", || {
            (size(directory.path(), round) > 1000).then_some(())
        });
        // At any moment of a fragment.
        let moment = Instant::now() + Duration::from_millis(900 + fastrand::u64(..600));
        eventually("the moment comes", || {
            (Instant::now() >= moment).then_some(())
        });
        let at_ms = kit::clock::now_ms();
        program.kill();
        killed.push(at_ms);
        eventually("ffmpeg dies with it", || {
            ffmpeg_in(directory.path()).is_none().then_some(())
        });
    }
    let recorder = Recorder::start_in(directory, json!({}));
    let lost = killed.iter().enumerate().map(|(index, at_ms)| {
        let (session, _) = recorder.finished(index as i64 + 1);
        let why = session.why.unwrap();
        assert!(why.starts_with("it was not ended"), "{why}");
        at_ms - session.started_at_ms - session.duration_ms
    });
    lost.collect()
}

#[test]
fn a_kill_loses_a_second_at_most_and_the_rest_plays() {
    let lost = kills(2);
    assert!(lost.iter().all(|lost| *lost <= MOST_LOST_MS), "{lost:?}");
}

#[test]
#[ignore = "takes three minutes: fifty kills"]
fn fifty_kills_lose_a_second_at_most_each_and_the_rest_plays() {
    let mut lost = kills(50);
    lost.sort_unstable();
    println!(
        "lost by a kill, in ms: median {}, most {}",
        lost[25], lost[49]
    );
    assert!(lost.iter().all(|lost| *lost <= MOST_LOST_MS), "{lost:?}");
}

#[test]
fn parts_that_cannot_be_used_are_named_and_the_others_become_the_video() {
    needs_ffmpeg();
    let directory = tempfile::tempdir().unwrap();
    let program = always(directory.path());
    eventually("it records", || {
        (size(directory.path(), 1) > 50_000).then_some(())
    });
    program.kill();
    let folder = directory.path().join("videos/1");
    let part = std::fs::read(folder.join("part-000.mp4")).unwrap();
    std::fs::write(folder.join("part-001.mp4"), vec![0; 4096]).unwrap();
    std::fs::write(folder.join("part-002.mp4"), "").unwrap();
    std::fs::write(folder.join("part-003.mp4"), &part[..100]).unwrap();
    let torn = [&part[..], &[0; 500]].concat();
    std::fs::write(folder.join("part-004.mp4"), torn).unwrap();
    let recorder = Recorder::start_in(directory, json!({}));
    let (session, _) = recorder.finished(1);
    let why = session.why.unwrap();
    for part in [
        "part-001.mp4 is all zeroes (4096 bytes)",
        "part-002.mp4 is empty",
        "part-003.mp4 has no head (100 bytes)",
        "part-004.mp4 has an incomplete end",
    ] {
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn a_video_is_not_made_anew_of_what_a_cut_has_left_of_its_parts() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(30);
    let id = recorder.status().session.unwrap();
    let part = recorder.directory.path().join("videos/1/part-000.mp4");
    let beginning = std::fs::read(&part).unwrap();
    recorder.films(12);
    recorder.end();
    let (_, before) = recorder.finished(id);
    let directory = recorder.stop();
    // The cut came while parts were being removed, and took the database with it.
    std::fs::write(&part, beginning).unwrap();
    std::fs::remove_file(directory.path().join("recorder.sqlite")).unwrap();
    let recorder = Recorder::start_in(directory, json!({}));
    let (_, after) = recorder.finished(id);
    assert_eq!(before, after);
    assert!(!part.exists());
}

#[test]
fn of_a_session_without_any_usable_part_it_is_told_and_nothing_is_thrown_away() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("videos/7");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("part-000.mp4"), vec![0; 4096]).unwrap();
    let recorder = Recorder::start_in(directory, json!({}));
    let session = recorder.processed(7);
    assert_eq!(session.state, SessionState::Corrupted);
    let why = session.why.unwrap();
    assert!(why.contains("its entry was lost"), "{why}");
    assert!(
        why.contains("nothing of it can be used: part-000.mp4 is all zeroes"),
        "{why}"
    );
    let kept = recorder.directory.path().join("videos/7/part-000.unusable");
    assert_eq!(std::fs::metadata(kept).unwrap().len(), 4096);
}

#[test]
fn asked_to_stop_it_ends_the_session_in_good_order_and_goes_on_after_the_next_start() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    let directory = recorder.stop();
    let recorder = Recorder::start_in(directory, json!({}));
    let (session, probed) = recorder.finished(1);
    assert_eq!(session.why, None);
    assert!(probed.frames >= 12);
    // Nobody has said that it should stop recording.
    recorder.films(12);
    assert_eq!(recorder.status().session, Some(2));
}

#[test]
fn what_a_cut_has_left_of_a_removed_recording_is_removed_at_the_next_start() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    recorder.end();
    recorder.finished(1);
    let directory = recorder.stop();
    // The cut came between the entry and the files.
    let database = rusqlite::Connection::open(directory.path().join("recorder.sqlite")).unwrap();
    let removed = database.execute("UPDATE sessions SET removed_at_ms = 5", []);
    assert_eq!(removed, Ok(1));
    drop(database);
    let folder = directory.path().join("videos/removed-1");
    std::fs::rename(directory.path().join("videos/1"), &folder).unwrap();
    let recorder = Recorder::start_in(directory, json!({}));
    recorder.begin().unwrap();
    assert!(!folder.exists());
}

#[test]
fn a_database_that_is_restored_while_it_runs_costs_no_recording() {
    let recorder = Recorder::start(json!({}));
    let database = recorder.directory.path().join("recorder.sqlite");
    let backup = recorder.directory.path().join("backup.sqlite");
    SCHEMA.back_up(&database, &backup).unwrap();
    for id in [1, 2] {
        recorder.begin().unwrap();
        recorder.films(12);
        recorder.end();
        recorder.finished(id);
    }
    let (_, before) = recorder.finished(2);
    recorder.begin().unwrap();
    recorder.films(12);
    // The backup knows of none of them, not even of the one that is being recorded.
    SCHEMA.restore(&backup, &database, |_| Ok(())).unwrap();
    recorder.films(12);
    let (_, after) = eventually("the second one is found", || {
        recorder.sessions().iter().find(|session| session.id == 2)?;
        Some(recorder.finished(2))
    });
    assert_eq!(before, after);
    assert_eq!(recorder.status().session, Some(3), "it goes on");
    recorder.end();
    let (session, probed) = recorder.finished(3);
    assert!(probed.frames >= 24, "{probed:?}");
    assert_eq!(session.why, None);
    assert!(!session.format.is_empty());
    recorder.begin().unwrap();
    recorder.until("the next one has the next number", |status| {
        status.session == Some(4)
    });
}

#[test]
fn a_database_that_turns_out_to_be_damaged_costs_no_recording() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    recorder.end();
    let (_, before) = recorder.finished(1);
    recorder.begin().unwrap();
    recorder.films(12);
    let database = recorder.directory.path().join("recorder.sqlite");
    let damaged = recorder.directory.path().join("damaged");
    std::fs::write(&damaged, vec![7; 8192]).unwrap();
    std::fs::rename(&damaged, &database).unwrap();
    recorder.films(12);
    recorder.end();
    let (_, after) = eventually("a new one knows them", || {
        recorder
            .sessions_if_readable()?
            .iter()
            .find(|session| session.id == 1)?;
        Some(recorder.finished(1))
    });
    assert_eq!(before, after);
    let (session, probed) = recorder.finished(2);
    assert!(probed.frames >= 24 && session.why.is_none(), "{session:?}");
    let aside = std::fs::read_dir(recorder.directory.path()).unwrap();
    let aside = aside.flatten().map(|entry| entry.file_name());
    let mut aside = aside.filter(|name| name.to_string_lossy().contains("damaged"));
    assert!(aside.next().is_some(), "it is set aside");
    recorder.begin().unwrap();
    recorder.until("the next one has the next number", |status| {
        status.session == Some(3)
    });
}

#[test]
fn a_backup_that_says_of_another_recording_that_it_was_removed_removes_nothing() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    recorder.end();
    let (session, before) = recorder.finished(1);
    let directory = recorder.stop();
    // The numbers began anew after a damage, and the backup is older than that.
    let database = rusqlite::Connection::open(directory.path().join("recorder.sqlite")).unwrap();
    database
        .execute("UPDATE sessions SET removed_at_ms = 5, bytes = 5", [])
        .unwrap();
    drop(database);
    let recorder = Recorder::start_in(directory, json!({}));
    let (found, after) = eventually("it is found by its files", || {
        recorder.sessions().iter().find(|session| session.id == 2)?;
        Some(recorder.finished(2))
    });
    assert_eq!((before, session.sha256), (after, found.sha256));
}

#[test]
fn a_folder_that_is_there_already_is_left_alone() {
    let recorder = Recorder::start(json!({}));
    let folder = recorder.directory.path().join("videos/1");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("part-000.mp4"), "somebody else's").unwrap();
    recorder.begin().unwrap();
    recorder.films(12);
    assert_eq!(recorder.status().session, Some(2));
    let there = std::fs::read_to_string(folder.join("part-000.mp4")).unwrap();
    assert_eq!(there, "somebody else's");
}

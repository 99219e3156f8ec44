//! What fails once, for want of room or by rot: no recording is lost by it, and what cannot be mended is told.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod film;
mod support;

use std::path::Path;

use kit::testing::{Program, command};
use serde_json::json;
use support::*;

/// Puts a script into the way of a program.
fn instead(directory: &Path, program: &str, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let tools = directory.join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    std::fs::write(tools.join(program), script).unwrap();
    std::fs::set_permissions(tools.join(program), PermissionsExt::from_mode(0o755)).unwrap();
    format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())
}

/// Puts a program into the way that fails once like this, and then is what it stands for.
fn fails_once(directory: &Path, program: &str, when: &str, how: &str) -> String {
    let flag = directory.join("has-failed");
    let real = std::process::Command::new("which")
        .arg(program)
        .output()
        .unwrap();
    let (real, flag) = (String::from_utf8(real.stdout).unwrap(), flag.display());
    let real = real.trim();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *{when}*) [ -e {flag} ] || {{ : > {flag}; {how}; }};; esac\nexec {real} \"$@\"\n"
    );
    instead(directory, program, &script)
}

/// A recorder that nobody has told to record, whose programs are found in these folders.
fn idle(directory: &Path, path: &str) -> Program {
    let mut command = command(env!("CARGO_BIN_EXE_recorder"));
    let command = command.env("PATH", path);
    Program::start(command, directory, settings(directory)).ready()
}

/// The state of a session, and what is said of it, as a row of the database.
fn row(directory: &Path, id: i64) -> Option<(String, Option<String>)> {
    let database = rusqlite::Connection::open(directory.join("recorder.sqlite")).ok()?;
    let query = "SELECT state, why FROM sessions WHERE id = ?1";
    let found = database.query_row(query, [id], |row| Ok((row.get(0)?, row.get(1)?)));
    found.ok()
}

/// Waits until a session is processed.
fn becomes(directory: &Path, id: i64) -> (String, Option<String>) {
    eventually("the session is processed", || {
        row(directory, id).filter(|(state, _)| state == "finished" || state == "corrupted")
    })
}

/// The folder of a recorder that has recorded one session: its video alone, or its part as it was before the stop.
fn recorded(joined: bool) -> tempfile::TempDir {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(12);
    recorder.end();
    let (session, _) = recorder.finished(1);
    let directory = recorder.stop();
    for file in ["recorder.sqlite", "videos/1/thumbnail.jpg"] {
        std::fs::remove_file(directory.path().join(file)).unwrap();
    }
    if !joined {
        // As ffmpeg writes it while it records.
        let part = directory.path().join("videos/1/part-000.mp4");
        let video = session.path.unwrap();
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(&video)
            .args(["-c", "copy", "-movflags", "+empty_moov+default_base_moof"])
            .args(["-frag_duration", "500000"])
            .arg(&part)
            .status();
        assert!(made.unwrap().success());
        std::fs::remove_file(video).unwrap();
    }
    directory
}

#[test]
fn a_program_that_is_killed_or_lacks_memory_makes_no_recording_corrupted() {
    for (joined, program, when, how) in [
        (true, "ffprobe", "packet=dts", "kill -KILL $$"),
        (
            false,
            "ffmpeg",
            "concat",
            "echo 'x: Cannot allocate memory' >&2; exit 1",
        ),
    ] {
        let directory = recorded(joined);
        let path = fails_once(directory.path(), program, when, how);
        let program = idle(directory.path(), &path);
        let (state, why) = becomes(directory.path(), 1);
        assert_eq!(state, "finished", "{how}: {why:?}");
        assert!(directory.path().join("has-failed").exists());
        program.kill();
    }
}

/// A recorder that records what a script says instead of ffmpeg, and gives up a part after a second.
fn told(directory: &Path, script: &str) -> Program {
    let path = instead(directory, "ffmpeg", script);
    let mut config = settings(directory);
    let changes = json!({
        "camera": { "frame_deadline_seconds": 1.0 },
        "schedule": { "always": true },
    });
    merge(&mut config, changes);
    let mut command = command(env!("CARGO_BIN_EXE_recorder"));
    Program::start(command.env("PATH", path), directory, config).ready()
}

#[test]
fn a_file_that_does_not_grow_is_noticed_although_frames_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let reports = "#!/bin/sh
        i=0
        while sleep 0.2; do i=$((i + 1)); echo frame=$i; echo progress=continue; done";
    let program = told(directory.path(), reports);
    let status = eventually("it is noticed", || {
        let status = program.get("/api/status")?.json();
        status["camera"]["problem"].is_string().then_some(status)
    });
    let why = "the file did not grow for 2 s";
    assert_eq!(status["camera"]["problem"], why, "{status}");
    assert_eq!(status["state"], "recording");
    program.kill();
}

#[test]
fn a_camera_whose_first_frame_takes_long_has_a_file_that_grows() {
    let directory = tempfile::tempdir().unwrap();
    let slow = "#!/bin/sh
        for part; do :; done
        echo head > $part; echo frame=0; echo progress=continue
        sleep 4
        i=0
        while sleep 0.2; do
            i=$((i + 1)); echo frame=$i; echo progress=continue
            [ $i -lt 3 ] || echo $i >> $part
        done";
    let program = told(directory.path(), slow);
    let status = eventually("it records", || {
        let status = program.get("/api/status")?.json();
        let camera = &status["camera"];
        let is_enough = camera["frames"].as_u64() >= Some(15) || camera["problem"].is_string();
        is_enough.then_some(status)
    });
    assert_eq!(status["camera"]["problem"], json!(null), "{status}");
    program.kill();
}

#[test]
fn what_was_given_up_is_tried_again_at_the_next_start() {
    let directory = recorded(false);
    // It refuses what it takes the next time.
    let refusal = "echo 'parts.txt: Invalid data found when processing input' >&2; exit 1";
    let path = fails_once(directory.path(), "ffmpeg", "concat", refusal);
    let program = idle(directory.path(), &path);
    let (state, why) = becomes(directory.path(), 1);
    assert_eq!(state, "corrupted", "{why:?}");
    program.kill();
    let recorder = Recorder::start_in(directory, json!({}));
    let (session, _) = recorder.finished(1);
    let why = session.why.unwrap();
    assert!(
        why.contains("cannot be joined: parts.txt: Invalid data"),
        "{why}"
    );
    assert!(why.ends_with("it was tried again after a restart"), "{why}");
}

#[test]
fn what_waits_for_room_to_be_joined_is_told_and_is_joined_once_there_is_room() {
    let directory = recorded(false);
    let part = |number: u8| {
        directory
            .path()
            .join(format!("videos/1/part-00{number}.mp4"))
    };
    std::fs::copy(part(0), part(1)).unwrap();
    let frames = probed(&part(0)).frames;
    let full = json!({ "space": { "min_free_bytes": 1_u64 << 60, "reserve_bytes": 1_u64 << 60 } });
    let recorder = film::recorder(directory.path(), full);
    let joins = eventually("it is told why it waits", || {
        let joins = recorder.get("/api/status").json()["joins"].clone();
        joins["problem"].is_string().then_some(joins)
    });
    let problem = joins["problem"].as_str().unwrap();
    assert!(problem.starts_with("joining the parts needs "), "{problem}");
    assert_eq!(
        (&joins["waiting"], &joins["corrupted"]),
        (&json!(1), &json!(0))
    );
    let metrics = recorder.get("/metrics").text;
    assert!(
        metrics.contains("\nrecorder_join_queue_size 1.0\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("\nrecorder_join_queue_age_seconds 0.0\n"),
        "{metrics}"
    );
    recorder.stop();
    let recorder = Recorder::start_in(directory, json!({}));
    let (_, probed) = recorder.finished(1);
    assert_eq!(probed.frames, 2 * frames);
    eventually("nothing waits any more", || {
        (recorder.library.tally().processing == 0).then_some(())
    });
}

#[test]
fn only_its_owner_deletes_a_damaged_recording_and_nothing_but_that() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("videos/7");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("part-000.mp4"), vec![0; 4096]).unwrap();
    let recorder = film::recorder(directory.path(), json!({}));
    let counts = |corrupted: u8| {
        eventually("it is counted", || {
            let metrics = recorder.get("/metrics").text;
            let counted = format!("\nrecorder_corrupted_sessions {corrupted}.0\n");
            metrics.contains(&counted).then_some(())
        });
    };
    counts(1);
    let stranger = recorder.call("DELETE", "/api/sessions/7", &[], "");
    assert_eq!((stranger.status, folder.exists()), (401, true));
    let good = recorder.records(1.0);
    let refused = recorder.with_token("DELETE", &format!("/api/sessions/{}", good["id"]));
    assert_eq!(refused.status, 409, "{}", refused.text);
    let none = recorder.with_token("DELETE", "/api/sessions/99");
    assert_eq!(none.status, 404);
    let deleted = recorder.with_token("DELETE", "/api/sessions/7");
    assert_eq!((deleted.status, folder.exists()), (204, false));
    assert_eq!(recorder.with_token("GET", "/api/sessions/7").status, 404);
    counts(0);
    recorder.stop();
}

#[test]
fn a_video_that_rots_before_it_is_uploaded_can_be_deleted_by_its_owner_too() {
    let directory = tempfile::tempdir().unwrap();
    let uploads = json!({ "target": "put", "put": { "url": format!("http://{}/", nobody()) } });
    let recorder = film::recorder(directory.path(), json!({ "uploads": uploads }));
    let path = format!("/api/sessions/{}", recorder.records(1.0)["id"]);
    recorder.stop();
    let folder = directory.path().join("videos/1");
    let files = std::fs::read_dir(&folder).unwrap().flatten();
    let mut videos = files.map(|entry| entry.path());
    let video = videos
        .find(|path| path.extension() == Some("mp4".as_ref()))
        .unwrap();
    let mut content = std::fs::read(&video).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    std::fs::write(&video, content).unwrap();
    let recorder = film::recorder(directory.path(), json!({ "uploads": uploads }));
    eventually("it is found to be damaged", || {
        let session = recorder.with_token("GET", &path).json();
        (session["upload"]["status"] == "corrupted").then_some(())
    });
    let deleted = recorder.with_token("DELETE", &path);
    assert_eq!((deleted.status, folder.exists()), (204, false));
    recorder.stop();
}

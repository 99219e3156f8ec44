//! The program itself: exit statuses, and what it says about itself.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use kit::testing::{Program, command, finished, refuses};
use serde_json::json;
use support::*;

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    refuses(
        env!("CARGO_BIN_EXE_recorder"),
        &[&["--check-config"], &["--config"], &["run", "--config"]],
        &[
            (
                r#"{"camera":{"sorce":"auto"}}"#,
                "camera.sorce: unknown field `sorce`",
            ),
            (
                r#"{"camera":{"source":{"device":"video0"}}}"#,
                "camera.source.device: must be a path such as /dev/v4l/by-id/",
            ),
            (
                r#"{"camera":{"size":"big"}}"#,
                "camera.size: `big` is not a size such as 1920x1080",
            ),
            (
                r#"{"camera":{"fps":0}}"#,
                "camera.fps: must be between 1 and 240",
            ),
            (
                r#"{"schedule":{"windows":[{"start":"Mon..Fri 08:00","stop":"Mon..Fri 26:00"}]}}"#,
                "schedule.windows[0].stop: `Mon..Fri 26:00`: 26 is no hour",
            ),
            (
                r#"{"schedule":{"time_zone":"Mars"}}"#,
                "schedule.time_zone: `Mars` is not a time zone",
            ),
            (
                r#"{"space":{"reserve_bytes":9000000000}}"#,
                "space.reserve_bytes: must not be more than min_free_bytes",
            ),
            (
                r#"{"gpio":{"leds":{"error":{"line":22}}}}"#,
                "gpio.chips: must name the chip of the buttons and LEDs",
            ),
            (
                r#"{"session":{"longest_hours":0}}"#,
                "session.longest_hours: must be between",
            ),
            ("", "EOF while parsing"),
        ],
    );
}

#[test]
fn an_env_file_becomes_configuration_that_is_accepted_and_a_secret_file_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let env = "YOUTUBE_REFRESH_TOKEN=abc\nPORT=8083\nLOG_FILE=x.log\n";
    std::fs::write(at(".env"), env).unwrap();
    let mut import = command(env!("CARGO_BIN_EXE_recorder"));
    import.arg("import-env").arg(at(".env"));
    let (status, config, notes) = finished(import.arg("--secrets").arg(at("secrets")));
    assert_eq!(status, Some(0), "{notes}");
    assert!(!config.contains("abc") && !notes.contains("abc") && notes.contains("LOG_FILE"));
    let secrets = std::fs::metadata(at("secrets")).unwrap();
    assert_eq!(secrets.permissions().mode() & 0o777, 0o600);
    std::fs::write(at("config.json"), config).unwrap();
    let mut check = command(env!("CARGO_BIN_EXE_recorder"));
    let (status, _, said) = finished(check.arg("--check-config").arg(at("config.json")));
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn simulated_it_needs_no_camera() {
    needs_ffmpeg();
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_recorder"));
    command.args(["run", "--simulate"]);
    let config = json!({
        "data": { "directory": directory.path() },
        "schedule": { "always": true },
        "space": { "min_free_bytes": 0, "reserve_bytes": 0 },
    });
    let program = Program::start(&mut command, directory.path(), config).ready();
    let part = directory.path().join("videos/1/part-000.mp4");
    eventually("it records", || {
        std::fs::metadata(&part)
            .ok()
            .filter(|part| part.len() > 10_000)
    });
    program.stop();
}

#[test]
fn sessions_are_backed_up_and_restored_while_it_runs() {
    let recorder = Recorder::start(json!({}));
    recorder.begin().unwrap();
    recorder.films(5);
    let backup = recorder.directory.path().join("backup");
    for (verb, says) in [
        ("backup", "1 recordings"),
        ("restore", "1 recordings restored"),
    ] {
        let mut command = command(env!("CARGO_BIN_EXE_recorder"));
        command.arg(verb).arg(&backup);
        command
            .arg("--state-directory")
            .arg(recorder.directory.path());
        let (status, _, said) = finished(&mut command);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains(says), "{said}");
    }
    recorder.end();
    recorder.finished(1);
}

//! The program itself: exit statuses, signals, messages to systemd, kill -9 in the middle of writing.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use climate::history::{FILE, Store};
use kit::testing::{Program, command, eventually, finished, refuses};
use serde_json::json;

fn climate() -> Command {
    command(env!("CARGO_BIN_EXE_climate"))
}

/// A running program that measures 20 times a second.
fn start(command: &mut Command, state: &Path) -> Program {
    let config = json!({
        "sensor": { "kind": "simulated", "interval_seconds": 0.05 },
        "history": { "directory": state },
    });
    Program::start(command, state, config).ready()
}

/// How many readings its history has.
fn points(program: &Program) -> usize {
    // The period is short enough for each reading to be a point of its own.
    let from = kit::clock::now_ms() / 1000 - 90;
    let path = format!("/api/history?from={from}&points=2000");
    let series = program.get(&path).unwrap().json();
    series["points"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    refuses(
        env!("CARGO_BIN_EXE_climate"),
        &[&["--check-config"], &["--config"], &["run", "--config"]],
        &[
            (
                r#"{"sensor":{"bsu":"auto"}}"#,
                "sensor.bsu: unknown field `bsu`",
            ),
            (
                r#"{"sensor":{"interval_seconds":"often"}}"#,
                "sensor.interval_seconds: invalid type",
            ),
            (
                r#"{"sensor":{"kind":"thermometer"}}"#,
                "sensor.kind: unknown variant `thermometer`",
            ),
            (
                r#"{"alerts":{"temp_min_c":30}}"#,
                "alerts.temp_min_c: must be less than temp_max_c",
            ),
            (
                r#"{"webhook":{"retry_count":99}}"#,
                "webhook.retry_count: must be between 1 and 10",
            ),
            (
                r#"{"status":{"interval_seconds":18446744073709551615}}"#,
                "status.interval_seconds: must be between 1 and 31536000",
            ),
            (r#"{"http":{"port":80800}}"#, "http.port: invalid value"),
            (r#"{"sensor":{"bus":"au"#, "EOF while parsing"),
            ("", "EOF while parsing"),
        ],
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let http = json!({ "address": "127.0.0.1", "port": taken.local_addr().unwrap().port() });
    std::fs::write(
        &file,
        json!({ "http": http, "sensor": { "kind": "simulated" } }).to_string(),
    )
    .unwrap();
    let (status, _, stderr) = finished(climate().arg("--config").arg(&file));
    assert_eq!(status, Some(1));
    assert!(stderr.contains("cannot listen on 127.0.0.1:"), "{stderr}");
}

#[test]
fn a_kill_in_the_middle_of_writing_loses_nothing_that_was_committed() {
    let state = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for round in 1..=3 {
        let program = start(&mut climate(), state.path());
        seen = eventually("more is committed", || {
            Some(points(&program)).filter(|now| *now >= seen + 5)
        });
        program.kill();
        let store = Store::open(&state.path().join(FILE)).unwrap();
        let kept = store.count().unwrap() as usize;
        assert!(
            kept >= seen,
            "round {round}: {kept} readings kept of {seen}"
        );
        store.close();
    }
    let damaged = std::fs::read_dir(state.path()).unwrap().flatten();
    assert_eq!(
        damaged
            .filter(|file| file.file_name().to_string_lossy().contains("damaged"))
            .count(),
        0
    );
}

#[test]
fn asked_to_stop_it_finishes_and_leaves_one_tidy_file() {
    let state = tempfile::tempdir().unwrap();
    let said = start(&mut climate(), state.path()).stop().join("\n");
    assert!(said.contains("stopping"), "{said}");
    assert!(!state.path().join(format!("{FILE}-wal")).exists());
}

#[test]
fn systemd_is_told_when_it_is_ready_alive_and_going() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let hear = |wanted: &str| {
        let mut buffer = [0; 512];
        loop {
            let length = socket
                .recv(&mut buffer)
                .unwrap_or_else(|_| panic!("{wanted} was never said"));
            if String::from_utf8_lossy(&buffer[..length])
                .lines()
                .any(|line| line == wanted)
            {
                return;
            }
        }
    };
    let mut command = climate();
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000");
    let program = start(&mut command, state.path());
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    program.stop();
    hear("STOPPING=1");
}

#[test]
fn history_is_backed_up_and_restored_while_it_runs() {
    let state = tempfile::tempdir().unwrap();
    let backup = state.path().join("backup");
    let program = start(&mut climate(), state.path());
    eventually("there is some history", || {
        (points(&program) >= 3).then_some(())
    });
    let command = |verb: &str| {
        let mut command = climate();
        command
            .arg(verb)
            .arg(&backup)
            .arg("--state-directory")
            .arg(state.path());
        finished(&mut command)
    };
    let shown = points(&program) as u64;
    let (status, _, said) = command("backup");
    assert_eq!(status, Some(0), "{said}");
    let kept = Store::open(&backup).unwrap().count().unwrap();
    assert!(kept >= shown, "{shown} were shown, {kept} are kept");
    let (status, _, said) = command("restore");
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(&format!("{kept} readings restored")),
        "{said}"
    );
    // Two more readings, because the first may have been taken before the restore.
    eventually("the service goes on from there", || {
        (points(&program) as u64 >= kept + 2).then_some(())
    });
    let said = program.stop().join("\n");
    assert!(said.contains("restored from a backup"), "{said}");
}

#[test]
fn an_env_file_becomes_configuration_that_is_accepted_and_a_secret_file_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(
        at(".env"),
        "BEARER_TOKEN=abc\nALERT_TEMP_MAX_C=25\nLOG_FILE=x.log\n",
    )
    .unwrap();
    let (status, config, notes) = finished(
        climate()
            .arg("import-env")
            .arg(at(".env"))
            .arg("--secrets")
            .arg(at("secrets")),
    );
    assert_eq!(status, Some(0), "{notes}");
    assert!(!config.contains("abc") && !notes.contains("abc") && notes.contains("LOG_FILE"));
    assert_eq!(
        std::fs::metadata(at("secrets"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    std::fs::write(at("config.json"), config).unwrap();
    assert_eq!(
        finished(climate().arg("--check-config").arg(at("config.json"))).0,
        Some(0)
    );
}

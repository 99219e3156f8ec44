//! The program itself: exit statuses, signals, what systemd is told, kill -9 in the middle of writing.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use climate::history::{FILE, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::*;

fn climate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_climate"));
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("STATE_DIRECTORY")
        .env_remove("CREDENTIALS_DIRECTORY");
    command
}

fn finished(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A running program; killed if the test forgets it.
struct Program(Child, SocketAddr);

impl Program {
    fn start(state: &Path, settings: Value, more: &[(&str, &str)]) -> Self {
        let address = nobody();
        let mut config = json!({
            "http": { "address": "127.0.0.1", "port": address.port() },
            "sensor": { "kind": "simulated", "interval_seconds": 0.05 },
            "history": { "directory": state },
        });
        config
            .as_object_mut()
            .unwrap()
            .extend(settings.as_object().cloned().unwrap_or_default());
        let file = state.join("config.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = climate();
        command
            .arg("--config")
            .arg(&file)
            .envs(more.iter().copied())
            .stderr(Stdio::piped());
        let program = Program(command.spawn().unwrap(), address);
        eventually("the program is ready", || {
            try_call(address, "GET", "/health/ready", &[], "")
                .ok()
                .filter(|a| a.status == 200)
        });
        program
    }

    fn points(&self) -> usize {
        // Short enough for a point per reading.
        let from = kit::clock::now_ms() / 1000 - 90;
        let path = format!("/api/history?from={from}&points=2000");
        let series = call(self.1, "GET", &path, &[], "").json();
        series["points"].as_array().map_or(0, Vec::len)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for its end; its exit status and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.0.wait().unwrap();
        let mut said = String::new();
        self.0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (status.code(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    for (text, complaint) in [
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
        (r#"{"http":{"port":80800}}"#, "http.port: invalid value"),
        (r#"{"sensor":{"bus":"au"#, "EOF while parsing"),
        ("", "EOF while parsing"),
    ] {
        std::fs::write(&file, text).unwrap();
        for flag in ["--check-config", "--config"] {
            let (status, stdout, stderr) = finished(climate().arg(flag).arg(&file));
            assert_eq!((status, stdout.as_str()), (Some(64), ""), "{text}");
            assert!(
                stderr.starts_with("error: configuration ") && stderr.contains(complaint),
                "{stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(
        finished(climate().arg("--check-config").arg(&file)),
        (Some(0), String::new(), String::new())
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
        let program = Program::start(state.path(), json!({}), &[]);
        seen = eventually("more is committed", || {
            Some(program.points()).filter(|now| *now >= seen + 5)
        });
        program.signal(Signal::KILL);
        assert_eq!(program.end().0, None);
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
    let program = Program::start(state.path(), json!({}), &[]);
    program.signal(Signal::TERM);
    let (status, said) = program.end();
    assert_eq!(status, Some(0), "{said}");
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
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "300000"),
    ];
    let program = Program::start(state.path(), json!({}), &environment);
    hear("READY=1");
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    program.signal(Signal::TERM);
    hear("STOPPING=1");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn history_is_backed_up_and_restored_while_it_runs() {
    let state = tempfile::tempdir().unwrap();
    let backup = state.path().join("backup");
    let program = Program::start(state.path(), json!({}), &[]);
    eventually("there is some history", || {
        (program.points() >= 3).then_some(())
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
    let (status, _, said) = command("backup");
    assert_eq!(status, Some(0), "{said}");
    let kept = Store::open(&backup).unwrap().count().unwrap();
    let (status, _, said) = command("restore");
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(&format!("{kept} readings restored")),
        "{said}"
    );
    // Two more: the first may have been on its way already.
    eventually("the service goes on from there", || {
        (program.points() as u64 >= kept + 2).then_some(())
    });
    program.signal(Signal::TERM);
    let (status, said) = program.end();
    assert_eq!(status, Some(0));
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

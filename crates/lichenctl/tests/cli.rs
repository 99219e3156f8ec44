//! lichenctl as its users call it: exit status, stdout, stderr, console.

use protocol::Generation;
use protocol::command::{Command, LONGEST_CONFIRMATION, Outcome, Verb};
use protocol::progress;
use std::fs;
use std::path::Path;
use std::process::{Command as Program, Output};

fn lichenctl(root: &Path, arguments: &[&str]) -> Output {
    Program::new(env!("CARGO_BIN_EXE_lichenctl"))
        .arg("--root")
        .arg(root)
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn device_with(lichen_toml: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["boot", "dev", "etc", "run", "var/lib"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    put(&dir.path().join("dev/console"), "");
    put(&dir.path().join("boot/lichen.toml"), lichen_toml);
    dir
}

fn put(path: &Path, content: &str) {
    durable::atomic_write(path, content.as_bytes(), 0o644).unwrap();
}

#[test]
fn a_bad_file_is_told_on_journal_and_console_and_does_not_fail_the_unit() {
    let device = device_with("hostname = 'a b'\n");
    let output = lichenctl(device.path(), &["provision"]);
    assert_eq!(output.status.code(), Some(0));
    let console = fs::read_to_string(device.path().join("dev/console")).unwrap();
    for told in [text(&output.stderr), console] {
        assert!(
            told.contains("lichen.toml: line 1: hostname: `a b` is not a host name"),
            "{told}"
        );
    }
    let status = text(&lichenctl(device.path(), &["status"]).stdout);
    assert!(status.contains("lichen.toml on BOOT is wrong"), "{status}");
}

#[test]
fn a_good_file_needs_no_console() {
    let device = device_with("hostname = 'rack7'\n");
    let output = lichenctl(device.path(), &["provision"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(0), "lichen.toml: stored\n")
    );
    assert_eq!(
        fs::read_to_string(device.path().join("dev/console")).unwrap(),
        ""
    );
    assert_eq!(
        fs::read_to_string(device.path().join("etc/hostname")).unwrap(),
        "rack7\n"
    );
}

#[test]
fn a_device_that_cannot_do_its_part_fails_the_unit() {
    let device = device_with("hostname = 'rack7'\n");
    fs::remove_dir(device.path().join("var/lib")).unwrap();
    put(&device.path().join("var/lib"), "not a folder");
    let output = lichenctl(device.path(), &["provision"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(device.path().join("boot/lichen.toml").exists());
}

#[test]
fn an_error_is_one_line_and_a_hint() {
    let device = device_with("");
    let output = lichenctl(device.path(), &["list"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    let lines: Vec<_> = told.lines().collect();
    assert!(
        lines[0].starts_with("error: no valid boot state in") && lines[1].starts_with("hint: "),
        "{told}"
    );
    assert_eq!((lines.len(), output.stdout.len()), (2, 0));
}

#[test]
fn wrong_usage_is_2_and_help_names_the_exit_codes() {
    let device = device_with("");
    assert_eq!(
        lichenctl(device.path(), &["no-such-verb"]).status.code(),
        Some(2)
    );
    let help = lichenctl(device.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Exit codes:"));
}

#[test]
fn status_is_json_for_programs() {
    let device = device_with("");
    let output = lichenctl(device.path(), &["status", "--json"]);
    let status: protocol::status::Status = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status.generation, None);
}

#[test]
fn what_is_no_toplevel_is_refused_with_a_hint() {
    let device = device_with("");
    for verb in ["stage", "switch", "test", "boot", "dry-run"] {
        let output = lichenctl(device.path(), &[verb, "/etc"]);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        let told = text(&output.stderr);
        assert!(
            told.starts_with("error: /etc is not a toplevel") && told.contains("\nhint: "),
            "{verb}: {told}"
        );
    }
}

/// Host and device must agree on the commands.
#[test]
fn every_command_of_a_host_is_understood() {
    let device = tempfile::tempdir().unwrap();
    let toplevel = "/nix/store/x-lichen";
    let apply = |verb, confirm_within| Command::Apply {
        verb,
        toplevel,
        confirm_within,
    };
    for command in [
        Command::Status,
        Command::Missing,
        Command::Receive,
        Command::DryRun { toplevel },
        apply(Verb::Switch, Some(LONGEST_CONFIRMATION)),
        apply(Verb::Test, Some(1)),
        apply(Verb::Boot, None),
        Command::Rollback { generation: None },
        Command::Rollback {
            generation: Some(Generation(7)),
        },
        Command::Confirm,
        Command::Backup { recipients: &[] },
        Command::Backup {
            recipients: &[
                "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj".into(),
                "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj".into(),
            ],
        },
        Command::Restore,
        Command::RotateSecret {
            name: "rack.password",
        },
    ] {
        let arguments = command.arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = lichenctl(device.path(), &arguments);
        let code = output.status.code().unwrap();
        assert_ne!(
            Outcome::of(code),
            Outcome::WrongUsage,
            "{arguments:?}: {output:?}"
        );
    }
}

#[test]
fn who_asks_for_events_hears_json_and_who_does_not_hears_prose() {
    let device = tempfile::tempdir().unwrap();
    let failure = |events: bool| {
        let mut lichenctl = Program::new(env!("CARGO_BIN_EXE_lichenctl"));
        lichenctl.arg("--root").arg(device.path()).arg("confirm");
        lichenctl.env_remove(progress::VARIABLE);
        if events {
            lichenctl.env(progress::VARIABLE, progress::VERSION.to_string());
        }
        let output = lichenctl.output().unwrap();
        assert_eq!(
            Outcome::of(output.status.code().unwrap()),
            Outcome::Failed,
            "{output:?}"
        );
        text(&output.stderr)
    };
    let (events, prose) = (failure(true), failure(false));
    assert!(
        events.starts_with("{\"lichen\":1,\"event\":\"failed\""),
        "{events}"
    );
    assert_eq!(
        prose,
        "error: no confirmation is awaited\nhint: `lichenctl status` shows the running generation and any confirmation that is awaited\n"
    );
    assert_eq!(progress::failure(&events), progress::failure(&prose));
}

#[test]
fn secrets_are_made_at_boot_listed_without_values_and_rotated() {
    let device = device_with("[secrets]\n'rack.token' = 'hunter2'\n");
    let etc = device.path().join("etc");
    fs::create_dir_all(etc.join("lichen")).unwrap();
    fs::create_dir_all(etc.join("systemd/system")).unwrap();
    let declared = r#"{ "rack.password": { "bytes": 32, "encoding": "hex" } }"#;
    put(&etc.join("lichen/secrets.json"), declared);
    let unit = "[Service]\nImportCredential=rack.*\n";
    put(&etc.join("systemd/system/rack.service"), unit);
    let succeed = |arguments: &[&str]| {
        let output = lichenctl(device.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        output
    };
    succeed(&["provision"]);
    let value = || fs::read_to_string(device.path().join("run/credstore/rack.password")).unwrap();
    let first = value();
    assert_eq!(
        text(&succeed(&["secret", "list"]).stdout),
        "rack.password  made here    rack.service\nrack.token     lichen.toml  rack.service\n"
    );
    let told = text(&succeed(&["secret", "rotate", "rack.password"]).stderr);
    assert_eq!(
        told,
        "rack.password has a new value; no running service takes it\n"
    );
    assert_ne!(value(), first);

    let output = lichenctl(device.path(), &["secret", "rotate", "rack.pasword"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: the page of this device has no secret rack.pasword; the nearest names: rack.password\n\
         hint: `lichenctl secret list` shows the secrets of this device\n"
    );
}

//! The program itself: exit statuses, and what its commands do to the cache.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

#[path = "support/amber.rs"]
mod amber;

use std::path::Path;
use std::process::Command;

use amber::{FakeAmber, Mood, TOKEN};
use energy::cache::Cache;
use energy::config::CACHE_FILE;
use kit::testing::{command, eventually, finished, refuses};
use serde_json::json;

fn energy(arguments: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_energy"));
    command.args(arguments).env("TZ", "Australia/Sydney");
    command
}

/// The sync as systemd runs it: the state directory and credentials by environment.
fn sync(directory: &Path, amber: &FakeAmber, token: &str) -> (Option<i32>, String) {
    configure(directory, amber, token);
    let (status, _, stderr) = finished(&mut sync_again(directory));
    (status, stderr)
}

fn configure(directory: &Path, amber: &FakeAmber, token: &str) {
    let config = directory.join("config.json");
    let amber = json!({ "url": amber.url("127.0.0.1"), "timeout_seconds": 5 });
    let settings = json!({ "amber": amber, "cache": { "retention_days": 3 } });
    std::fs::write(&config, settings.to_string()).unwrap();
    std::fs::write(directory.join("energy.amber-token"), token).unwrap();
}

/// The same with the configuration and the token as they are.
fn sync_again(directory: &Path) -> Command {
    let mut command = energy(&["sync", "--config"]);
    command.arg(directory.join("config.json"));
    command.env("STATE_DIRECTORY", directory);
    command.env("CREDENTIALS_DIRECTORY", directory);
    command
}

/// Prices and rows of usage in the cache.
fn count(directory: &Path) -> (u64, u64) {
    let cache = Cache::open(&directory.join(CACHE_FILE)).unwrap();
    cache.count().unwrap()
}

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    refuses(
        env!("CARGO_BIN_EXE_energy"),
        &[
            &["--check-config"],
            &["dashboard", "--config"],
            &["run", "--config"],
            &["sync", "--config"],
        ],
        &[
            (
                r#"{"amber":{"token":"psk_x"}}"#,
                "amber.token: unknown field `token`",
            ),
            (
                r#"{"amber":{"resolution":15}}"#,
                "amber.resolution: must be 5 or 30",
            ),
            (
                r#"{"amber":{"url":"ftp://x"}}"#,
                "amber.url: must begin with https://",
            ),
            (
                r#"{"display":{"time_zone":"Australia/Sidney"}}"#,
                "display.time_zone: `Australia/Sidney` is not a time zone",
            ),
            (
                r#"{"cache":{"retention_days":1}}"#,
                "cache.retention_days: must be between 2",
            ),
            (
                r#"{"display":{"stale_after_seconds":1}}"#,
                "display.stale_after_seconds: must be",
            ),
        ],
    );
}

#[test]
fn the_sync_s_exit_status_tells_whose_fault_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let amber = FakeAmber::start();
    assert_eq!(sync(directory.path(), &amber, TOKEN).0, Some(0));
    let (prices, usage) = count(directory.path());
    assert!(prices > 500 && usage > 500, "{prices} {usage}");

    amber.becomes(Mood::Status(503, "Retry-After: 60\r\n".into()));
    let (status, said) = sync(directory.path(), &amber, TOKEN);
    assert_eq!(status, Some(75), "{said}");
    assert!(
        said.contains("Amber's server failed (status 503)"),
        "{said}"
    );

    amber.becomes(Mood::Friendly);
    let (status, said) = sync(directory.path(), &amber, TOKEN);
    assert_eq!(status, Some(0));
    assert!(said.contains("not syncing with Amber: "), "{said}");

    // A cache that cannot be written is a failure of the device, not of Amber.
    let nowhere = directory.path().join("nowhere");
    std::fs::write(&nowhere, "a file, no folder").unwrap();
    let mut command = sync_again(directory.path());
    let (status, _, said) = finished(command.env("STATE_DIRECTORY", &nowhere));
    assert_eq!(status, Some(1), "{said}");
}

#[test]
fn a_token_is_never_told() {
    let directory = tempfile::tempdir().unwrap();
    let amber = FakeAmber::start();
    let (status, said) = sync(directory.path(), &amber, "psk_wrong");
    assert_eq!(status, Some(75));
    assert!(
        said.contains("Amber refuses the token") && !said.contains("psk_"),
        "{said}"
    );
}

#[test]
fn a_backup_is_restored_whole() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let amber = FakeAmber::start();
    sync(here.path(), &amber, TOKEN);
    let backup = here.path().join("backup");
    let place = |directory: &Path| format!("--state-directory={}", directory.display());
    let (status, _, said) = finished(energy(&["backup"]).arg(&backup).arg(place(here.path())));
    assert_eq!(status, Some(0), "{said}");
    let (status, _, said) = finished(energy(&["restore"]).arg(&backup).arg(place(there.path())));
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("prices restored"), "{said}");
    assert_eq!(count(here.path()), count(there.path()));
}

#[test]
fn syncs_killed_at_any_moment_leave_a_whole_cache() {
    let directory = tempfile::tempdir().unwrap();
    let amber = FakeAmber::start();
    configure(directory.path(), &amber, TOKEN);
    let (mut kills, mut kept) = (0, (0, 0));
    // Each one is killed a request later, while the answer is on its way or being stored, until one gets through.
    for request in 1.. {
        let asked = amber.asked().len();
        let mut command = sync_again(directory.path());
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        let ended = eventually("it asks once more, or ends", || {
            let ended = child.try_wait().unwrap();
            let asks = amber.asked().len() >= asked + request;
            (asks || ended.is_some()).then_some(ended)
        });
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(0));
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let now = count(directory.path());
        assert!(now.0 >= kept.0 && now.1 >= kept.1, "{kept:?} {now:?}");
        kept = now;
    }
    assert!(kills >= 2, "{kills} were killed");
    let damaged = std::fs::read_dir(directory.path()).unwrap().any(|entry| {
        entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".damaged-")
    });
    assert!(!damaged, "it was damaged");
}

//! What nobody should do to a courier: targets that tell nonsense, and a disk that is full. Each is counted and shown, and
//! over when its cause is. What receivers do is in `metrics.rs` and `logs.rs`.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::json;
use support::*;

const TEXT: &str = "text/plain; version=0.0.4";

fn tells(text: impl Into<String>) -> Answer {
    Answer::new(200).kind(TEXT).body(text)
}

#[test]
fn each_kind_of_bad_target_is_counted_and_shown_and_over_with_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let answer = Arc::new(Mutex::new(tells("a 1\n")));
    let given = answer.clone();
    let target = Server::start(move |_| given.lock().unwrap().clone());
    let receiver = Prometheus::start(Takes::Anything);
    let config = json!({
        "scrape": { "targets": [{ "job": "it", "url": target.url("/metrics") }] },
        "metrics": { "url": receiver.url() },
    });
    let courier = start(directory.path(), config);
    let series: String = (0..100_000)
        .map(|number| format!("m{{n=\"{number}\"}} 1\n"))
        .collect();
    let megabytes = format!("# {}\n", "x".repeat(998)).repeat(50_000);
    for (bad, kind, said) in [
        (
            tells("\u{1}\u{2}garbage"),
            "garbage",
            "cannot be understood: line 1",
        ),
        (
            Answer::new(200).kind("text/html").body("<h1>Log in</h1>\n"),
            "garbage",
            "cannot be understood: line 1",
        ),
        (tells(series), "too_many", "more than 5000 series"),
        (tells(megabytes), "too_long", "more than 10000000 bytes"),
        (tells("m".repeat(20_000)), "too_long", "line 1"),
        (Answer::hang_up(), "unreachable", "127.0.0.1"),
        (Answer::new(503), "status", "it answers 503"),
    ] {
        let failures = format!("courier_scrape_failures_total{{target=\"it\",reason=\"{kind}\"}}");
        let before = count(&courier, &failures);
        *answer.lock().unwrap() = bad;
        eventually(&format!("it says: {said}"), || {
            reason(&courier, "target it").filter(|reason| reason.contains(said))
        });
        assert!(count(&courier, &failures) > before, "{kind}");
        assert_eq!(count(&courier, "courier_target_up{target=\"it\"}"), 0.0);
        *answer.lock().unwrap() = tells("a 1\n");
        eventually("all is well", || {
            reason(&courier, "target it").is_none().then_some(())
        });
        assert_eq!(count(&courier, "courier_target_up{target=\"it\"}"), 1.0);
    }
    // Whoever tells nothing at all is up, as for Prometheus.
    *answer.lock().unwrap() = tells("");
    eventually("nothing is told by a target that is up", || {
        let last = |series| receiver.samples(series).last().copied();
        let (at, scraped) = last("scrape_samples_scraped")?;
        (scraped == 0.0 && last("up") == Some((at, 1.0))).then_some(())
    });
    courier.stop();
}

/// A disk of 256 KiB, with nothing on it but the state of the courier, and as much else as the test wants.
const SMALL_DISK: &str = r#"
set -eu
mount -t tmpfs -o size=256k tmpfs "$1/state"
echo $$ > "$1/pid.new"
mv "$1/pid.new" "$1/pid"
shift
exec "$@"
"#;

/// The program with its state on such a disk, and where this process sees the disk.
fn on_a_small_disk(directory: &Path, changes: serde_json::Value) -> (Program, PathBuf) {
    fs::create_dir(directory.join("state")).unwrap();
    let mut all = settings(directory);
    merge(&mut all, changes);
    let mut command = command("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .args([SMALL_DISK, "sh"])
        .arg(directory)
        .args([env!("CARGO_BIN_EXE_courier"), "run"])
        .env("LOG", "info");
    let program = Program::start(&mut command, directory, all).ready();
    let process = fs::read_to_string(directory.join("pid")).unwrap();
    let root = PathBuf::from(format!("/proc/{}/root", process.trim()));
    let state = directory.join("state");
    (program, root.join(state.strip_prefix("/").unwrap()))
}

#[test]
fn what_a_full_disk_does_not_take_is_shown_and_arrives_and_is_over_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let (target, mut receiver) = (target(), Prometheus::start(Takes::Anything));
    let config = metrics(&target, &receiver.url());
    let (program, disk) = on_a_small_disk(directory.path(), config);
    let reason = |component: &str| {
        let health = program.get("/health")?.json();
        let reason = health["components"][component]["reason"].as_str();
        reason.map(str::to_owned)
    };
    target.is_scraped(3);
    receiver.server.down();
    let filler = disk.join("filler");
    let full = fs::write(&filler, vec![1; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let said = eventually("it says so", || reason("scraper"));
    assert!(said.contains("waits in memory"), "{said}");
    target.is_scraped(10);
    fs::remove_file(&filler).unwrap();
    eventually("the disk takes it", || {
        reason("scraper").is_none().then_some(())
    });
    receiver.server.up();
    let all = target.scrapes() as usize;
    eventually("everything arrives", || {
        (receiver.values("scrapes_total").len() >= all).then_some(())
    });
    let told = program.get("/metrics").unwrap().text;
    assert!(
        told.contains("courier_lost_samples_total{reason=\"not_written\"} 0"),
        "{told}"
    );
    program.stop();
}

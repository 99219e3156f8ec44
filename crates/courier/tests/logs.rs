//! Logs on their way: what arrives, once, in the order of each stream, and what becomes of the rest.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use courier::clock::Clock;
use serde_json::{Value, json};
use support::journal::Entry;
use support::*;

fn lines_arrive(loki: &Loki, unit: &str, expected: &[&str]) {
    eventually("lines arrive", || {
        (loki.lines(unit).len() >= expected.len()).then_some(())
    });
    assert_eq!(loki.lines(unit), expected);
}

#[test]
fn what_is_written_arrives_with_its_labels_and_its_own_lines_do_not() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("secrets")).unwrap();
    fs::write(
        directory.path().join("secrets/courier.logs-token"),
        "s3cret",
    )
    .unwrap();
    // It is none of the receiver of logs.
    fs::write(
        directory.path().join("secrets/courier.metrics-token"),
        "other",
    )
    .unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    journal.line("x.service", "one");
    journal.line("courier.service", "sent a line");
    journal.line("y.service", "two");
    let courier = start(directory.path(), journal.settings(&loki.url()));
    lines_arrive(&loki, "y.service", &["two"]);
    journal.line("courier.service", "sent another");
    journal.line("x.service", "three");
    lines_arrive(&loki, "x.service", &["one", "three"]);
    let streams = [
        r#"{customer="acme", instance="rack7", location="cellar", level="notice", unit="x.service"}"#,
        r#"{customer="acme", instance="rack7", location="cellar", level="notice", unit="y.service"}"#,
    ];
    assert_eq!(loki.streams(), streams);
    assert_eq!(
        loki.header("authorization").as_deref(),
        Some("Bearer s3cret")
    );
    assert_eq!(loki.doubles(), 0);
    assert_eq!(count(&courier, "courier_sent_lines_total"), 3.0);
    courier.stop();
}

#[test]
fn what_has_arrived_is_not_sent_again_after_a_restart_and_what_has_not_is() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, mut loki) = (Journal::new(directory.path()), Loki::start());
    let config = journal.settings(&loki.url());
    journal.line("x.service", "one");
    let courier = start(directory.path(), config.clone());
    lines_arrive(&loki, "x.service", &["one"]);
    loki.server.down();
    journal.line("x.service", "two");
    let reason = eventually("it says so", || reason(&courier, "logs"));
    assert!(reason.starts_with("logs wait: "), "{reason}");
    assert!(count(&courier, "courier_behind_seconds{what=\"logs\"}") > 0.0);
    courier.stop();
    journal.line("x.service", "three");
    loki.server.up();
    let courier = start(directory.path(), config);
    lines_arrive(&loki, "x.service", &["one", "two", "three"]);
    assert_eq!(loki.doubles(), 0);
    courier.stop();
}

#[test]
fn lines_that_are_refused_are_counted_and_cost_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    let write = |unit, text: &str, ago_s| write(&journal, unit, text, ago_s);
    write("x.service", "too old", 8 * 86_400);
    write("x.service", "first", 20);
    write("x.service", &"long".repeat(300), 19);
    write("y.service", "of another stream", 2 * 3600);
    write("x.service", "last", 10);
    let courier = start(directory.path(), journal.settings(&loki.url()));
    let refused = "courier_lost_lines_total{reason=\"refused\"}";
    let is_refused = |lines: f64| {
        eventually("lines are refused", || {
            (count(&courier, refused) >= lines).then_some(())
        });
    };
    is_refused(2.0);
    // In one request with the others, it would come before them, and be taken.
    write("x.service", "too far behind", 2 * 3600);
    is_refused(3.0);
    assert_eq!(loki.lines("x.service"), ["first", "last"]);
    assert_eq!(loki.lines("y.service"), ["of another stream"]);
    assert_eq!(count(&courier, refused), 3.0);
    let reason = eventually("it says so", || reason(&courier, "logs"));
    assert!(reason.contains("lines were refused for good"), "{reason}");
    write("x.service", "after it", 5);
    lines_arrive(&loki, "x.service", &["first", "last", "after it"]);
    eventually("all is well", || {
        support::reason(&courier, "logs").is_none().then_some(())
    });
    courier.stop();
}

#[test]
fn a_receipt_that_is_lost_costs_nothing_as_the_receiver_knows_the_lines() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    journal.line("x.service", "one");
    loki.answers(Answer::hang_up());
    loki.answers(Answer::new(429).header("Retry-After", "0"));
    loki.answers(Answer::new(500));
    let courier = start(directory.path(), journal.settings(&loki.url()));
    eventually("it was sent again", || (loki.doubles() == 1).then_some(()));
    assert_eq!(loki.lines("x.service"), ["one"]);
    assert_eq!(loki.server.asked(), 4);
    courier.stop();
}

/// A line of another boot, so many seconds old.
fn write(journal: &Journal, unit: &str, text: &str, ago_s: i64) {
    journal.write(&Entry {
        unit,
        text,
        at_us: (kit::clock::now_ms() - ago_s * 1000) * 1000,
        up_us: 1,
        boot: "another",
    });
}

#[test]
fn what_has_arrived_and_is_sent_again_is_never_counted_as_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    // The first two are farther apart than Loki accepts. Of what comes then, it refuses one line, and takes the others.
    write(&journal, "x.service", "yesterday", 86_400);
    write(&journal, "x.service", "hours ago", 7200);
    write(&journal, "x.service", "now", 20);
    write(&journal, "x.service", &"long".repeat(300), 19);
    write(&journal, "x.service", "last", 10);
    loki.answers(Answer::hang_up());
    let courier = start(directory.path(), journal.settings(&loki.url()));
    lines_arrive(
        &loki,
        "x.service",
        &["yesterday", "hours ago", "now", "last"],
    );
    eventually("all are counted", || {
        (count(&courier, "courier_sent_lines_total") >= 4.0).then_some(())
    });
    assert_eq!(
        count(&courier, "courier_lost_lines_total{reason=\"refused\"}"),
        1.0
    );
    assert!(loki.doubles() > 0);
    courier.stop();
}

#[test]
fn a_token_that_has_expired_costs_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    for status in [401, 403, 401] {
        loki.answers(Answer::new(status));
    }
    journal.line("x.service", "one");
    let courier = start(directory.path(), journal.settings(&loki.url()));
    lines_arrive(&loki, "x.service", &["one"]);
    eventually("all is well", || {
        support::reason(&courier, "logs").is_none().then_some(())
    });
    assert_eq!(
        count(&courier, "courier_lost_lines_total{reason=\"refused\"}"),
        0.0
    );
    assert_eq!(loki.server.asked(), 4);
    courier.stop();
}

#[test]
fn what_the_journal_gave_up_is_counted_and_told_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, mut loki) = (Journal::new(directory.path()), Loki::start());
    let config = journal.settings(&loki.url());
    journal.line("x.service", "one");
    let courier = start(directory.path(), config.clone());
    lines_arrive(&loki, "x.service", &["one"]);
    loki.server.down();
    courier.stop();
    for text in ["two", "three", "four"] {
        journal.line("x.service", text);
    }
    journal.vacuum(3);
    loki.server.up();
    let courier = start(directory.path(), config);
    lines_arrive(&loki, "x.service", &["one", "four"]);
    let told = loki.lines("courier.service");
    assert!(
        told[0].contains("2 lines or more are missing here"),
        "{told:?}"
    );
    assert_eq!(
        count(&courier, "courier_lost_lines_total{reason=\"vacuumed\"}"),
        2.0
    );
    courier.stop();
}

#[test]
fn lines_that_the_journal_lost_with_the_power_hide_none_of_the_next_boot() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    let config = journal.settings(&loki.url());
    let mut at_us = (kit::clock::now_ms() - 1000) * 1000;
    let mut write = |boot, text| {
        at_us += 1;
        let (unit, up_us) = ("x.service", at_us);
        journal.write(&Entry {
            unit,
            text,
            at_us,
            up_us,
            boot,
        });
    };
    for text in ["one", "two", "three"] {
        write("first", text);
    }
    let courier = start(directory.path(), config.clone());
    lines_arrive(&loki, "x.service", &["one", "two", "three"]);
    courier.stop();
    journal.cut(2);
    // The first of them has a number below the one that has arrived, the last one above it.
    write("second", "four");
    let courier = start(directory.path(), config);
    lines_arrive(&loki, "x.service", &["one", "two", "three", "four"]);
    for (boot, text) in [("second", "five"), ("second", "six"), ("third", "seven")] {
        write(boot, text);
    }
    let all = ["one", "two", "three", "four", "five", "six", "seven"];
    lines_arrive(&loki, "x.service", &all);
    assert_eq!(loki.doubles(), 0);
    assert_eq!(
        count(&courier, "courier_lost_lines_total{reason=\"vacuumed\"}"),
        0.0
    );
    courier.stop();
}

#[test]
fn a_boot_of_which_nothing_is_on_the_disk_hides_no_short_one_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    let config = journal.settings(&loki.url());
    let mut at_us = (kit::clock::now_ms() - 1000) * 1000;
    let mut write = |boot, text| {
        at_us += 1;
        let (unit, up_us) = ("x.service", at_us);
        journal.write(&Entry {
            unit,
            text,
            at_us,
            up_us,
            boot,
        });
    };
    write("first", "one");
    let courier = start(directory.path(), config.clone());
    lines_arrive(&loki, "x.service", &["one"]);
    for text in ["two", "three"] {
        write("second", text);
    }
    lines_arrive(&loki, "x.service", &["one", "two", "three"]);
    courier.stop();
    // Both are lost with the power. The next boot has their numbers, and is as short.
    journal.cut(2);
    write("third", "four");
    for text in ["five", "six"] {
        write("fourth", text);
    }
    let courier = start(directory.path(), config);
    let all = ["one", "two", "three", "four", "five", "six"];
    lines_arrive(&loki, "x.service", &all);
    assert_eq!(loki.doubles(), 0);
    assert_eq!(
        count(&courier, "courier_lost_lines_total{reason=\"vacuumed\"}"),
        0.0
    );
    courier.stop();
}

#[test]
fn the_journal_is_looked_at_no_more_often_than_it_is_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::new(directory.path()));
    // Something on the device logs each connection.
    let (asked, again) = (Arc::<Mutex<Vec<Instant>>>::default(), journal.clone());
    let into = asked.clone();
    let server = Server::start(move |_| {
        into.lock().unwrap().push(Instant::now());
        again.line("x.service", "a connection");
        Answer::new(204)
    });
    journal.line("x.service", "one");
    let mut config = journal.settings(&server.url("/loki/api/v1/push"));
    merge(&mut config, json!({ "logs": { "interval_seconds": 0.5 } }));
    let courier = start(directory.path(), config);
    let asked = eventually("it was asked four times", || {
        let asked = asked.lock().unwrap().clone();
        (asked.len() >= 4).then_some(asked)
    });
    // The first look may have taken a while.
    let took = asked[3] - asked[0];
    assert!(took >= Duration::from_millis(750), "{took:?}");
    courier.stop();
}

#[test]
fn a_long_backlog_goes_in_small_requests_and_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    let texts: Vec<String> = (0..95).map(|n| format!("{n:03}")).collect();
    let now_us = kit::clock::now_ms() * 1000;
    for (n, text) in texts.iter().enumerate() {
        journal.write(&Entry {
            unit: "x.service",
            text,
            at_us: now_us + n as i64,
            up_us: 1,
            boot: "another",
        });
    }
    let mut config = journal.settings(&loki.url());
    merge(&mut config, json!({ "logs": { "batch_lines": 10 } }));
    let courier = start(directory.path(), config);
    eventually("lines arrive", || {
        (loki.lines("x.service").len() == 95).then_some(())
    });
    assert_eq!(loki.lines("x.service"), texts);
    assert_eq!(
        (loki.largest(), loki.server.asked(), loki.doubles()),
        (10, 10, 0)
    );
    courier.stop();
}

#[test]
fn lines_from_before_the_time_was_known_are_dated_by_what_is_known_now() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    let known = directory.path().join("synchronized");
    let clock = Clock::new(Some(known.clone()));
    let before = kit::clock::now_ms();
    clock.jump(-3 * YEAR_MS);
    journal.write(&Entry {
        unit: "x.service",
        text: "early",
        at_us: clock.now_ms() * 1000,
        up_us: clock.up_ms() * 1000,
        boot: clock.boot(),
    });
    let courier = start_with(
        directory.path(),
        journal.settings(&loki.url()),
        clock.clone(),
    );
    eventually("it says so", || reason(&courier, "clock"));
    assert_eq!(loki.server.asked(), 0);
    clock.jump(3 * YEAR_MS);
    fs::write(known, "").unwrap();
    lines_arrive(&loki, "x.service", &["early"]);
    let (at, _) = loki.timed("x.service")[0].clone();
    let off = at / 1_000_000 - i128::from(before);
    // Both clocks are read in whole milliseconds.
    assert!(off.abs() < 1000, "{off}");
    courier.stop();
}

#[test]
fn a_journal_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, loki) = (Journal::new(directory.path()), Loki::start());
    let mut config = journal.settings(&loki.url());
    config["logs"]["journalctl"] = Value::from("/nonexistent/journalctl");
    let courier = start(directory.path(), config);
    let reason = eventually("it says so", || reason(&courier, "logs"));
    assert!(
        reason.contains("cannot start /nonexistent/journalctl"),
        "{reason}"
    );
    courier.stop();
}

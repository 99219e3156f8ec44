//! The program itself: exit statuses, what it says about itself, and that a kill at any moment loses nothing.

mod support;

use std::time::{Duration, Instant};

use kit::testing::refuses;
use serde_json::json;
use support::*;

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    refuses(
        env!("CARGO_BIN_EXE_courier"),
        &[&["--check-config"], &["--config"], &["run", "--config"]],
        &[
            (
                r#"{"scrape":{"intervall":1}}"#,
                "scrape.intervall: unknown field `intervall`",
            ),
            (
                r#"{"scrape":{"interval_seconds":0}}"#,
                "scrape.interval_seconds: must be between 0.02 and 3600",
            ),
            (
                r#"{"scrape":{"targets":[{"job":"a","url":"a:1"}]}}"#,
                "scrape.targets[0].url: must be an http or https address",
            ),
            (
                r#"{"scrape":{"targets":[{"job":"a","url":"http://a/"},{"job":"a","url":"http://b/"}]}}"#,
                "scrape.targets[1].job: \"a\" is another target's, too",
            ),
            (
                r#"{"labels":{"a-b":"c"}}"#,
                "labels.a-b: is no name of a label",
            ),
            (
                r#"{"labels":{"job":"c"}}"#,
                "labels.job: is set by courier itself",
            ),
            (
                r#"{"labels":{"customer":""}}"#,
                "labels.customer: must have 1 to 256 bytes",
            ),
            (
                r#"{"metrics":{"url":"prometheus"}}"#,
                "metrics.url: must be an http or https address",
            ),
            (
                r#"{"logs":{"batch_bytes":1}}"#,
                "logs.batch_bytes: must be between 1024 and 4194304",
            ),
            (
                r#"{"queue":{"max_bytes":1}}"#,
                "queue.max_bytes: must be between 65536 and 1099511627776",
            ),
            ("", "EOF while parsing"),
        ],
    );
}

#[test]
fn simulated_it_scrapes_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(env!("CARGO_BIN_EXE_courier"));
    command.args(["run", "--simulate"]);
    let config = json!({ "data": { "directory": directory.path() } });
    let program = Program::start(&mut command, directory.path(), config).ready();
    eventually("it has scraped itself", || {
        let text = program.get("/metrics")?.text;
        text.contains("courier_target_up{target=\"courier\"} 1")
            .then_some(())
    });
    program.stop();
}

/// Kills the program at any moment, again and again, while its receiver comes and goes. What was scraped arrives, but for
/// the scrape that a kill interrupts: the last one that the killed program had asked for.
fn kills(rounds: usize) {
    let directory = tempfile::tempdir().unwrap();
    let (target, mut receiver) = (target(), Prometheus::start(Takes::Anything));
    let mut config = metrics(&target, &receiver.url());
    merge(
        &mut config,
        json!({ "scrape": { "interval_seconds": 0.02 }, "metrics": { "late_seconds": 0.2 } }),
    );
    let mut interrupted = Vec::new();
    let (mut kept, mut pending) = (0, 0);
    for round in 0..rounds {
        match round % 3 {
            1 => receiver.server.down(),
            _ if round % 3 == 2 => receiver.server.up(),
            _ => {}
        }
        let program = program(directory.path(), config.clone());
        target.is_scraped(1 + fastrand::u64(..4));
        let moment = Instant::now() + Duration::from_micros(fastrand::u64(..30_000));
        eventually("the moment comes", || {
            (Instant::now() >= moment).then_some(())
        });
        let lines = program.kill();
        kept += lines.iter().filter(|line| line.contains("kept")).count();
        // The target may not have looked at it yet, and then tells the number to nobody.
        let looked_at = target.scrapes();
        target.server.settles();
        pending += target.scrapes() - looked_at;
        interrupted.push(target.scrapes() as f64);
    }
    if rounds % 3 == 2 {
        receiver.server.up();
    }
    let program = program(directory.path(), config);
    target.is_scraped(1);
    let last = target.scrapes() as f64;
    eventually("all has arrived", || {
        let values = receiver.values("scrapes_total");
        (values.contains(&last) && values.len() >= kept).then_some(())
    });
    program.stop();
    let values = receiver.values("scrapes_total");
    let missing: Vec<f64> = (1..=last as u64)
        .map(|n| n as f64)
        .filter(|n| !values.contains(n))
        .collect();
    println!(
        "{rounds} kills, {last} scrapes of which {kept} were known to be kept, {} missing, {} samples sent twice; \
         {pending} kills came before the target had looked at the request",
        missing.len(),
        receiver.doubles()
    );
    assert!(
        missing.iter().all(|n| interrupted.contains(n)),
        "{missing:?} of {interrupted:?}"
    );
}

#[test]
fn fifty_kills_lose_nothing_but_the_scrapes_that_they_interrupt() {
    kills(50);
}

#[test]
#[ignore = "takes minutes: a thousand kills"]
fn a_thousand_kills_lose_nothing_but_the_scrapes_that_they_interrupt() {
    kills(1000);
}

//! The program itself: exit statuses, and what it says about itself.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

mod support;

use fake_exchange::{Feed, Format};
use serde_json::json;
use support::*;

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.json");
    let source = r#""name":"x","channels":["trade"],"symbols":["A"]"#;
    for (text, complaint) in [
        (
            r#"{"queue":{"recrods":1}}"#.to_owned(),
            "queue.recrods: unknown field `recrods`",
        ),
        (
            r#"{"queue":{"when_full":"panic"}}"#.into(),
            "queue.when_full: unknown variant `panic`",
        ),
        (
            r#"{"flush":{"seconds":0}}"#.into(),
            "flush.seconds: must be at least 0.01",
        ),
        (
            format!(r#"{{"sources":[{{"kind":"nasdaq",{source}}}]}}"#),
            "sources[0].kind: unknown variant `nasdaq`",
        ),
        (
            format!(r#"{{"sources":[{{"kind":"coinbase",{source}}}]}}"#),
            "sources[0].channels: \"trade\" is none of matches, ticker (source \"x\")",
        ),
        (
            format!(r#"{{"sources":[{{"kind":"json",{source}}}]}}"#),
            "sources[0].url: must begin with wss:// or ws://",
        ),
        (
            format!(r#"{{"sources":[{{"kind":"kraken",{source}}},{{"kind":"kraken",{source}}}]}}"#),
            "sources[1].name: \"x\" is taken",
        ),
        (
            r#"{"sync":{"endpoint":"https://s3"}}"#.into(),
            "sync.bucket: must be named",
        ),
        (String::new(), "EOF while parsing"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let checks = [
            vec!["--check-config"],
            vec!["run", "--config"],
            vec!["sync", "--config"],
        ];
        for args in checks {
            let (status, stdout, stderr) = finished(ticker().args(&args).arg(&file));
            assert_eq!((status, stdout.as_str()), (Some(64), ""), "{text}");
            assert!(
                stderr.starts_with("error: configuration ") && stderr.contains(complaint),
                "{stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
    std::fs::write(&file, "{}").unwrap();
    let (status, _, _) = finished(ticker().arg("--check-config").arg(&file));
    assert_eq!(status, Some(0));
}

#[test]
fn it_says_how_it_is_in_words_numbers_and_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(session(Format::Binance, 5000.0, 600)).unwrap();
    let config = config(
        directory.path(),
        json!([source(&feed, Format::Binance)]),
        json!({}),
    );
    let program = Program::start(&config);
    eventually("all is durable", || {
        (program.flushed() == 600).then_some(())
    });
    let file = directory.path().join("config.json");
    let (status, words, _) = finished(ticker().args(["status", "--config"]).arg(&file));
    assert_eq!(status, Some(0));
    assert!(
        words.contains("600 received, 600 flushed") && words.contains("exchange: connected"),
        "{words}"
    );
    let (_, numbers, _) = finished(ticker().args(["status", "--json", "--config"]).arg(&file));
    let numbers: serde_json::Value = serde_json::from_str(&numbers).unwrap();
    assert_eq!(
        (&numbers["service"]["flushed"], &numbers["files"]["active"]),
        (&json!(600), &json!(3))
    );
    let (_, metrics) = program.get("/metrics").unwrap();
    let of_one =
        r#"ticker_records_flushed_total{source="exchange",channel="trade",symbol="BTC-USD"} 200"#;
    assert!(metrics.contains(of_one), "{metrics}");
    assert!(
        metrics.contains(r#"ticker_source_connected{source="exchange"} 1.0"#),
        "{metrics}"
    );
    let lines = program.stop();
    assert!(
        lines
            .iter()
            .any(|l| l.contains("statistics") && l.contains("flushed=600")),
        "{lines:?}"
    );
    let (status, words, _) = finished(ticker().args(["status", "--config"]).arg(&file));
    assert_eq!(status, Some(0));
    assert!(
        words.contains("does not answer") && words.contains("0 active, 3 ready"),
        "{words}"
    );
}

#[test]
fn simulated_it_needs_no_network() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start_with(
        &config(directory.path(), json!([]), json!({})),
        &["--simulate"],
    );
    eventually("made-up trades are durable", || {
        (program.flushed() >= 10).then_some(())
    });
    program.stop();
    let ready = directory.path().join("raw/ready");
    assert_eq!(ready.read_dir().unwrap().count(), 2);
}

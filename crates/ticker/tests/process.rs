//! The program itself: exit statuses, and what it reports about itself.

mod support;

use fake_exchange::{Feed, Format};
use kit::testing::refuses;
use serde_json::json;
use support::*;

#[test]
fn a_bad_configuration_is_one_sentence_and_exit_64() {
    let source = r#""name":"x","channels":["trade"],"symbols":["A"]"#;
    let of = |kind: &str| format!(r#"{{"kind":"{kind}",{source}}}"#);
    let sources = |kinds: &[&str]| {
        let sources: Vec<String> = kinds.iter().map(|kind| of(kind)).collect();
        format!(r#"{{"sources":[{}]}}"#, sources.join(","))
    };
    refuses(
        env!("CARGO_BIN_EXE_ticker"),
        &[
            &["--check-config"],
            &["--config"],
            &["run", "--config"],
            &["sync", "--config"],
            &["status", "--config"],
        ],
        &[
            (
                r#"{"queue":{"recrods":1}}"#,
                "queue.recrods: unknown field `recrods`",
            ),
            (
                r#"{"queue":{"when_full":"panic"}}"#,
                "queue.when_full: unknown variant `panic`",
            ),
            (
                r#"{"flush":{"seconds":0}}"#,
                "flush.seconds: must be between 0.01 and 3600",
            ),
            (
                r#"{"segment":{"row_groups":40000}}"#,
                "segment.row_groups: must be between 1 and 32767",
            ),
            (
                r#"{"queue":{"records":18446744073709551615}}"#,
                "queue.records: must be between 1 and 10000000",
            ),
            (
                &sources(&["nasdaq"]),
                "sources[0].kind: unknown variant `nasdaq`",
            ),
            (
                &sources(&["coinbase"]),
                "sources[0].channels: \"trade\" is none of matches, ticker (source \"x\")",
            ),
            (
                &sources(&["json"]),
                "sources[0].url: must begin with wss:// or ws://",
            ),
            (
                &sources(&["kraken", "kraken"]),
                "sources[1].name: \"x\" is used by another source",
            ),
            (
                r#"{"sync":{"endpoint":"https://s3"}}"#,
                "sync.bucket: must be set",
            ),
            ("", "EOF while parsing"),
        ],
    );
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
    let program = start(&config);
    eventually("all is durable", || {
        (durable(&program) == 600).then_some(())
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
    let metrics = program.get("/metrics").unwrap().text;
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
    let program = start_with(
        &config(directory.path(), json!([]), json!({})),
        &["--simulate"],
    );
    eventually("made-up trades are durable", || {
        (durable(&program) >= 10).then_some(())
    });
    program.stop();
    let ready = directory.path().join("raw/ready");
    assert_eq!(ready.read_dir().unwrap().count(), 2);
}

//! From a feed to files: every format, and everything that goes wrong on the way.

mod support;

use fake_exchange::{Feed, Format, Mischief, Session, kept};
use serde_json::json;
use support::*;

#[test]
fn every_format_is_kept_whole() {
    for format in [
        Format::Coinbase,
        Format::Binance,
        Format::Kraken,
        Format::Json,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let feed = Feed::start(session(format, 20_000.0, 3000)).unwrap();
        let config = config(directory.path(), json!([source(&feed, format)]), json!({}));
        let program = start(&config);
        eventually(&format!("all of {format:?} is durable"), || {
            (durable(&program) == 3000).then_some(())
        });
        assert_eq!(program.get("/health").unwrap().status, 200);
        program.stop();
        let ready = directory.path().join("raw/ready");
        let kept = kept(&ready, column(format)).unwrap();
        for symbol in SYMBOLS {
            let expected: Vec<i64> = (1_000_001..1_001_001).collect();
            assert_eq!(kept.numbers[symbol], expected, "{format:?} {symbol}");
        }
        let active = directory.path().join("raw/active");
        assert_eq!(active.read_dir().unwrap().count(), 0);
    }
}

#[test]
fn what_was_asked_for_is_what_the_exchange_documents() {
    for (format, wanted) in [
        (
            Format::Coinbase,
            json!({ "type": "subscribe", "product_ids": SYMBOLS, "channels": ["matches", "heartbeat"] }),
        ),
        (
            Format::Kraken,
            json!({ "method": "subscribe", "params": { "channel": "trade", "symbol": SYMBOLS } }),
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let feed = Feed::start(session(format, 1000.0, 10)).unwrap();
        let config = config(directory.path(), json!([source(&feed, format)]), json!({}));
        let _program = start(&config);
        let wish = eventually("it asks for something", || feed.sent().wish);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&wish).unwrap(),
            wanted
        );
    }
}

#[test]
fn gaps_duplicates_garbage_cuts_and_silence_are_counted_and_nothing_else_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(Session {
        mischief: Mischief {
            gap: 97,
            duplicate: 61,
            garbage: 53,
            disconnect: 2003,
            silence: 3001,
            replay: 5,
        },
        ..session(Format::Coinbase, 4000.0, 7000)
    })
    .unwrap();
    let sources = json!([source(&feed, Format::Coinbase)]);
    let program = start(&config(directory.path(), sources, json!({})));
    let status = eventually("all that was sent is durable", || {
        let (status, sent) = (counts(&program)?, feed.sent());
        (sent.messages == 7000 && status["flushed"] == 7000).then_some(status)
    });
    let lines = program.stop();
    let sent = feed.sent();
    assert!(sent.cuts >= 3 && sent.silences >= 2, "{sent:?}");
    let source = &status["sources"]["exchange"];
    let total = |name: &str| -> u64 {
        let streams = status["streams"].as_array().unwrap();
        streams.iter().map(|s| s[name].as_u64().unwrap()).sum()
    };
    assert_eq!(total("missed"), sent.skipped, "{status}");
    assert_eq!(total("duplicates"), sent.duplicates, "{status}");
    assert_eq!(source["garbage"].as_u64(), Some(sent.garbage), "{status}");
    assert_eq!(source["silences"].as_u64(), Some(sent.silences), "{status}");
    assert_eq!(
        source["connects"].as_u64(),
        Some(sent.connections),
        "{status}"
    );
    assert_eq!(
        (&status["dropped"], &status["lost"]),
        (&json!(0), &json!(0))
    );
    for complaint in [
        "gap",
        "is skipped",
        "no message for 1.5 s",
        "connecting again",
    ] {
        assert!(
            lines.iter().any(|l| l.contains(complaint)),
            "{complaint} is not logged"
        );
    }
    let kept = kept(&directory.path().join("raw/ready"), "trade_id").unwrap();
    assert_eq!((kept.records(), kept.repeated()), (7000, 0));
}

#[test]
fn a_restart_does_not_keep_again_what_a_feed_repeats() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(Session {
        mischief: Mischief {
            replay: 50,
            ..Mischief::default()
        },
        ..session(Format::Kraken, 2000.0, 900)
    })
    .unwrap();
    let config = config(
        directory.path(),
        json!([source(&feed, Format::Kraken)]),
        json!({}),
    );
    let program = start(&config);
    eventually("the first part is durable", || {
        (durable(&program) == 900).then_some(())
    });
    program.kill();
    feed.change(|session| session.limit = 1800);
    let program = start(&config);
    eventually("the second part is durable", || {
        (durable(&program) == 900).then_some(())
    });
    assert_eq!(counts(&program).unwrap()["salvaged"]["records"], 900);
    program.stop();
    feed.change(|session| session.limit = 2700);
    let program = start(&config);
    eventually("the third part is durable", || {
        (durable(&program) == 900).then_some(())
    });
    program.stop();
    let kept = kept(&directory.path().join("raw/ready"), "trade_id").unwrap();
    assert_eq!((kept.records(), kept.repeated()), (2700, 0));
}

#[test]
fn a_feed_that_counts_anew_with_each_connection_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(Session {
        mischief: Mischief {
            disconnect: 500,
            ..Mischief::default()
        },
        counts_anew: true,
        ..session(Format::Json, 4000.0, 2000)
    })
    .unwrap();
    let sources = json!([source(&feed, Format::Json)]);
    let program = start(&config(directory.path(), sources, json!({})));
    let status = eventually("all that was sent is durable", || {
        let (status, sent) = (counts(&program)?, feed.sent());
        (sent.messages == 2000 && status["flushed"] == 2000).then_some(status)
    });
    program.stop();
    assert!(feed.sent().cuts >= 3, "{:?}", feed.sent());
    let streams = status["streams"].as_array().unwrap();
    assert!(streams.iter().all(|s| s["duplicates"] == 0), "{status}");
}

#[test]
fn heartbeats_do_not_make_up_for_a_refusal_or_for_records() {
    let directory = tempfile::tempdir().unwrap();
    let feed = Feed::start(Session {
        refuses: true,
        ..session(Format::Kraken, 100.0, 0)
    })
    .unwrap();
    let mut refused = source(&feed, Format::Kraken);
    refused["name"] = json!("refused");
    // Two of its symbols are never sent.
    let sends = Feed::start(Session::of(Format::Coinbase, &SYMBOLS[..1])).unwrap();
    let mut quiet = source(&sends, Format::Coinbase);
    (quiet["name"], quiet["quiet_seconds"]) = (json!("quiet"), json!(0.5));
    let sources = json!([refused, quiet]);
    let program = start(&config(directory.path(), sources, json!({})));
    let said = eventually("both are told", || {
        let health = program.get("/health")?.text;
        let told = health.contains("the exchange says: Currency pair not supported BTC-USD")
            && health.contains("no record of matches ETH-USD for more than 0.5 s");
        told.then_some(health)
    });
    assert!(said.contains("degraded"), "{said}");
    let metrics = program.get("/metrics").unwrap().text;
    let has = |line: &str| metrics.lines().any(|it| it == line);
    assert!(
        has(r#"ticker_refusals_total{source="refused"} 1"#),
        "{metrics}"
    );
    assert!(
        has(r#"ticker_quiet{source="quiet",channel="matches",symbol="ETH-USD"} 1.0"#),
        "{metrics}"
    );
    assert!(
        has(r#"ticker_quiet{source="quiet",channel="matches",symbol="BTC-USD"} 0.0"#),
        "{metrics}"
    );
    program.stop();
}

#[test]
fn a_full_queue_does_what_is_configured_and_counts_it() {
    for (policy, all) in [
        ("block", true),
        ("drop_newest", false),
        ("drop_oldest", false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let feed = Feed::start(session(Format::Binance, 0.0, 60_000)).unwrap();
        let settings = json!({ "queue": { "records": 20, "when_full": policy } });
        let sources = json!([source(&feed, Format::Binance)]);
        let program = start(&config(directory.path(), sources, settings));
        let status = eventually("everything is durable or counted", || {
            let status = counts(&program)?;
            let count = |name: &str| status[name].as_u64();
            let (flushed, dropped) = (count("flushed")?, count("dropped")?);
            (flushed + dropped == 60_000).then_some((flushed, dropped))
        });
        assert_eq!(status.1 == 0, all, "{policy}: {status:?}");
        let metrics = program.get("/metrics").unwrap().text;
        let stalls = metrics
            .lines()
            .find(|l| l.starts_with("ticker_queue_stalls_total"))
            .unwrap();
        assert_eq!(stalls.ends_with(" 0"), !all, "{policy}: {stalls}");
        program.stop();
        let kept = kept(&directory.path().join("raw/ready"), "trade_id").unwrap();
        assert_eq!((kept.records(), kept.repeated()), (status.0, 0), "{policy}");
    }
}

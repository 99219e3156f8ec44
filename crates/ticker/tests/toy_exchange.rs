//! An exchange needs only one file: here the whole service listens to an exchange that only this test knows.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kit::testing::{Running, eventually};
use serde_json::{Value, json};
use ticker::config::Config;
use ticker::feed::{Decode, Decoded, Exchange, Garbage, Nature, SourceKind, SourceSettings, Table};
use ticker::record::Record;
use tungstenite::Message;

/// Its messages are a symbol, a number and a price, with spaces between them.
struct Toy;

impl Exchange for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn channels(&self) -> &'static [(&'static str, Nature)] {
        &[("swaps", Nature::TRADES)]
    }

    fn address(&self, source: &SourceSettings) -> Option<String> {
        Some(format!("{}/swaps", source.url()))
    }

    fn subscribe(&self, source: &SourceSettings) -> Vec<String> {
        vec![format!("GIVE {}", source.symbols.join(" "))]
    }

    fn keep_alive(&self) -> Option<(Duration, &'static str)> {
        Some((Duration::from_millis(1), "STILL HERE"))
    }

    fn symbol_name(&self, _: &str, symbol: &str) -> String {
        symbol.to_lowercase()
    }

    fn decoder(&self, _: &SourceSettings, table: Table) -> Decode {
        Box::new(move |text, now, records| {
            let text = std::str::from_utf8(text).map_err(|_| Garbage::Missing("no UTF-8"))?;
            let words: Vec<&str> = text.split(' ').collect();
            let [symbol, number, price] = words[..] else {
                return Err(Garbage::Missing("not three words"));
            };
            let Some(stream) = table.find("swaps", symbol.as_bytes()) else {
                return Ok(Decoded::Other);
            };
            records.push(Record {
                trade_id: number.parse().ok().into(),
                price: price.parse().ok().into(),
                ..Record::empty(stream, now)
            });
            Ok(Decoded::Records)
        })
    }
}

fn source(port: u16, channel: &str) -> SourceSettings {
    SourceSettings {
        url: Some(format!("ws://127.0.0.1:{port}")),
        silence_seconds: 0.2,
        ..SourceSettings::new("fair", SourceKind(&Toy), &[channel], &["TIN", "LEAD"])
    }
}

#[test]
fn its_streams_are_numbered_as_it_says_and_unknown_channels_are_refused() {
    let config = Config {
        sources: vec![source(1, "swaps")],
        ..Config::default()
    };
    let streams = config.streams();
    assert_eq!(streams.len(), 2);
    assert!(streams.iter().all(|stream| stream.contiguous));
    assert_eq!(config.sources[0].check(), Ok(()));
    assert_eq!(
        source(1, "auctions").check(),
        Err("channels: \"auctions\" is none of swaps (source \"fair\")".to_owned())
    );
}

#[test]
fn it_is_asked_listened_to_and_kept_awake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    std::thread::spawn({
        let heard = heard.clone();
        move || fair(listener, &heard)
    });
    let directory = tempfile::tempdir().unwrap();
    let mut config: Config = serde_json::from_value(json!({
        "data": { "directory": directory.path(), "min_free_bytes": 0 },
        "flush": { "seconds": 0.2, "pace_seconds": 0.05 },
    }))
    .unwrap();
    config.sources = vec![source(port, "swaps")];
    let service = Running::start("ticker", config, None, ticker::run);
    let status: Value = eventually("all that was said is durable", || {
        let status = service.get("/api/status").json();
        (status["flushed"] == 3).then_some(status)
    });
    let gaps = status["streams"].as_array().unwrap().iter();
    let missed: Vec<_> = gaps
        .map(|stream| (&stream["symbol"], &stream["missed"]))
        .collect();
    assert_eq!(
        missed,
        [(&json!("TIN"), &json!(1)), (&json!("LEAD"), &json!(0))]
    );
    eventually("it is kept awake", || {
        let heard = heard.lock().unwrap();
        (heard.first()? == "GIVE TIN LEAD" && heard.get(1)? == "STILL HERE").then_some(())
    });
    service.stop();
}

/// Sends three trades after the subscription, and something irrelevant after every later message.
fn fair(listener: TcpListener, heard: &Mutex<Vec<String>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let first = heard.lock().unwrap().is_empty();
            heard.lock().unwrap().push(text.to_string());
            let answer: &[&str] = match first {
                true => &["tin 7 1.5", "lead 1 2", "gold 1 9000", "tin 9 1.25"],
                false => &["gold 2 9000"],
            };
            for text in answer {
                socket.send(Message::text(*text)).await.unwrap();
            }
        }
    });
}

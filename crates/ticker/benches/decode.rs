//! What decoding costs, by exchange, without a socket or files: ns a message, the least of several rounds.
//!
//! `cargo bench -p ticker --bench decode`

use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};
use ticker::config::Config;

const NOW: i64 = 1_764_039_600_000_000;
const MESSAGES: u32 = 200_000;
const ROUNDS: usize = 15;

fn main() -> anyhow::Result<()> {
    let of = |kind: &str, channel: &str, symbol: &str| json!({ "name": "x", "kind": kind, "channels": [channel], "symbols": [symbol] });
    let mut made_up = of("json", "deals", "BTC-USD");
    made_up["url"] = json!("wss://localhost");
    made_up["fields"] = json!({
        "channel": "kind", "symbol": "pair", "sequence": "n", "time": "at", "price": "quote.price",
        "size": "quote.size",
    });
    for (source, text) in [
        (
            of("binance", "trade", "BTCUSDT"),
            r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":12345,"p":"40123.01","q":"0.10025","T":1672515782135,"m":true,"M":true}}"#,
        ),
        (
            of("coinbase", "matches", "BTC-USD"),
            r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#,
        ),
        (
            of("kraken", "trade", "BTC/USD"),
            r#"{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":40123.4,"qty":0.10025,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}"#,
        ),
        (
            made_up,
            r#"{"kind":"deals","pair":"BTC-USD","n":12345,"at":1764039600.5,"quote":{"price":40123.01,"size":"0.10025"}}"#,
        ),
    ] {
        let kind = source["kind"].clone();
        println!("{}: {:.1} ns", kind, nanoseconds(source, text)?);
    }
    Ok(())
}

fn nanoseconds(source: Value, text: &str) -> anyhow::Result<f64> {
    let config: Config = serde_json::from_value(json!({ "sources": [source] }))?;
    let decode = config.sources[0].decoder(0);
    let mut records = Vec::new();
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..MESSAGES {
            records.clear();
            decode(black_box(text.as_bytes()), NOW, &mut records)?;
            black_box(&records);
        }
        least = least.min(began.elapsed().as_secs_f64() * 1e9 / f64::from(MESSAGES));
    }
    Ok(least)
}

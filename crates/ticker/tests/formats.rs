//! Messages as the exchanges document them, and malformed ones.

use serde_json::{Value, json};
use ticker::config::Config;
use ticker::feed::{Decode, Decoded};
use ticker::record::Record;

const NOW: i64 = 1_764_039_600_000_000;

fn decoder(source: Value) -> Decode {
    let mut source = source;
    source["name"] = json!("x");
    let config: Config = serde_json::from_value(json!({ "sources": [source] })).unwrap();
    config.sources[0].decoder(0)
}

fn records(decoder: &Decode, text: &str) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    let decoded = decoder(text.as_bytes(), NOW, &mut records);
    let decoded = decoded.map_err(|error| error.to_string())?;
    assert_eq!(decoded == Decoded::Records, !records.is_empty(), "{text}");
    Ok(records)
}

fn one(decoder: &Decode, text: &str) -> Record {
    match records(decoder, text).unwrap().as_slice() {
        [record] => *record,
        other => panic!("{other:?}"),
    }
}

fn coinbase() -> Decode {
    decoder(
        json!({ "kind": "coinbase", "channels": ["matches", "ticker"], "symbols": ["BTC-USD", "ETH-USD"] }),
    )
}

#[test]
fn a_match_is_taken_by_who_did_not_make_it() {
    let text = r#"{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66-ca53-498f-9c13-a110027a60e8","taker_order_id":"132fb6ae-456b-4654-b4e0-d681ac05cea1","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512","price":"400.23","side":"sell"}"#;
    let expected = Record {
        time: Some(1_415_348_367_028_459).into(),
        sequence: Some(50).into(),
        trade_id: Some(10).into(),
        buy: Some(true),
        price: Some(400.23).into(),
        size: Some(5.23512).into(),
        ..Record::empty(0, NOW)
    };
    assert_eq!(one(&coinbase(), text), expected);
    let last = text.replace("\"match\"", "\"last_match\"");
    assert_eq!(one(&coinbase(), &last), expected);
}

#[test]
fn a_ticker_has_both_sides_of_the_book() {
    let text = r#"{"type":"ticker","sequence":37475248783,"product_id":"ETH-USD","price":"1285.22","open_24h":"1310.79","volume_24h":"245532.79269678","low_24h":"1280.52","high_24h":"1313.8","volume_30d":"9788783.60117027","best_bid":"1285.04","best_bid_size":"0.46688654","best_ask":"1285.27","best_ask_size":"1.56637040","side":"buy","time":"2022-10-19T23:28:22.061769Z","trade_id":370843401,"last_size":"11.4396987"}"#;
    let expected = Record {
        time: Some(1_666_222_102_061_769).into(),
        sequence: Some(37_475_248_783).into(),
        trade_id: Some(370_843_401).into(),
        buy: Some(true),
        price: Some(1285.22).into(),
        size: Some(11.4396987).into(),
        bid: Some(1285.04).into(),
        bid_size: Some(0.46688654).into(),
        ask: Some(1285.27).into(),
        ask_size: Some(1.5663704).into(),
        ..Record::empty(3, NOW)
    };
    assert_eq!(one(&coinbase(), text), expected);
}

#[test]
fn binance_uses_the_same_letter_for_a_price_and_a_number() {
    let binance = decoder(json!({
        "kind": "binance", "channels": ["trade", "aggTrade", "bookTicker"], "symbols": ["BNBBTC"],
    }));
    let trade = r#"{"stream":"bnbbtc@trade","data":{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782135,"m":true,"M":true}}"#;
    let aggregate = r#"{"stream":"bnbbtc@aggTrade","data":{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":5933014,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782136,"m":false,"M":true}}"#;
    let quote = r#"{"stream":"bnbbtc@bookTicker","data":{"u":400900217,"s":"BNBBTC","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"#;
    let traded = Record {
        time: Some(1_672_515_782_135_000).into(),
        trade_id: Some(12_345).into(),
        buy: Some(false),
        price: Some(0.001).into(),
        size: Some(100.0).into(),
        ..Record::empty(0, NOW)
    };
    assert_eq!(one(&binance, trade), traded);
    let aggregated = Record {
        time: Some(1_672_515_782_136_000).into(),
        trade_id: Some(5_933_014).into(),
        buy: Some(true),
        stream: 1,
        ..traded
    };
    assert_eq!(one(&binance, aggregate), aggregated);
    let quoted = Record {
        sequence: Some(400_900_217).into(),
        bid: Some(25.3519).into(),
        bid_size: Some(31.21).into(),
        ask: Some(25.3652).into(),
        ask_size: Some(40.66).into(),
        ..Record::empty(2, NOW)
    };
    assert_eq!(one(&binance, quote), quoted);
}

#[test]
fn kraken_sends_lists() {
    let kraken = decoder(
        json!({ "kind": "kraken", "channels": ["trade", "ticker"], "symbols": ["MATIC/USD", "ALGO/USD"] }),
    );
    let trades = r#"{"channel":"trade","type":"snapshot","data":[{"symbol":"MATIC/USD","side":"buy","price":0.5147,"qty":6423.46326,"ord_type":"limit","trade_id":4665846,"timestamp":"2023-09-25T07:48:36.925533Z"},{"symbol":"MATIC/USD","side":"sell","price":0.5146,"qty":1136.19677815,"ord_type":"limit","trade_id":4665847,"timestamp":"2023-09-25T07:49:36.925603Z"},{"symbol":"DOGE/USD","side":"sell","price":1,"qty":1,"trade_id":1}]}"#;
    let found = records(&kraken, trades).unwrap();
    let ids: Vec<_> = found
        .iter()
        .map(|r| (r.stream, r.trade_id.get(), r.buy, r.price.get()))
        .collect();
    assert_eq!(
        ids,
        [
            (0, Some(4_665_846), Some(true), Some(0.5147)),
            (0, Some(4_665_847), Some(false), Some(0.5146))
        ]
    );
    let quote = r#"{"channel":"ticker","type":"snapshot","data":[{"symbol":"ALGO/USD","bid":0.10025,"bid_qty":740.0,"ask":0.10036,"ask_qty":1361.44813783,"last":0.10035,"volume":997038.98383185,"vwap":0.10148,"low":0.09979,"high":0.10285,"change":-0.00017,"change_pct":-0.17}]}"#;
    let quote = one(&kraken, quote);
    assert_eq!(quote.stream, 3);
    assert_eq!(
        [quote.bid, quote.ask_size, quote.price].map(|number| number.get()),
        [Some(0.10025), Some(1361.44813783), Some(0.10035)]
    );
}

#[test]
fn a_bad_item_costs_none_of_its_neighbours() {
    let all = |decoder: &Decode, text: &str| {
        let mut records = Vec::new();
        let decoded = decoder(text.as_bytes(), NOW, &mut records);
        let prices = records.iter().map(|record| record.price.get().unwrap());
        (prices.collect::<Vec<_>>(), decoded.is_err())
    };
    let json = decoder(json!({
        "kind": "json", "channels": ["c"], "symbols": ["A"], "fields": { "price": "p", "sequence": "n" },
    }));
    for (text, prices) in [
        (
            r#"[{"n":1,"p":"14"},{"n":2,"p":"x"},{"n":3,"p":"15"}]"#,
            vec![14.0, 15.0],
        ),
        (
            r#"[{"n":1,"p":"14"},{"p":"14.5"},{"n":3,"p":"15"}]"#,
            vec![14.0, 15.0],
        ),
        (
            r#"[{"n":1,"p":{"a":[1,{}]}},7,"x",null,{"n":3,"p":"15"}]"#,
            vec![15.0],
        ),
        // What is not JSON may be anything.
        (
            r#"[{"n":1,"p":"14"},{"n":2,"p":1 5},{"n":3,"p":"15"}]"#,
            vec![],
        ),
    ] {
        assert_eq!(all(&json, text), (prices, true), "{text}");
    }
    let kraken =
        decoder(json!({ "kind": "kraken", "channels": ["trade"], "symbols": ["BTC/USD"] }));
    let item = |rest: &str| {
        format!(r#"{{"symbol":"BTC/USD","side":"buy","timestamp":"2026-11-25T03:00:00Z",{rest}}}"#)
    };
    for bad in [
        r#""price":"x","qty":1,"trade_id":2"#,
        r#""price":7,"qty":1"#,
        r#""qty":1,"trade_id":2"#,
    ] {
        let items = [
            item(r#""price":14,"qty":1,"trade_id":1"#),
            item(bad),
            item(r#""price":15,"qty":1,"trade_id":3"#),
        ];
        let text = format!(
            r#"{{"channel":"trade","type":"update","data":[{}]}}"#,
            items.join(",")
        );
        assert_eq!(all(&kraken, &text), (vec![14.0, 15.0], true), "{text}");
    }
}

#[test]
fn what_feeds_say_about_themselves_is_no_record_and_no_garbage() {
    let kraken = decoder(json!({ "kind": "kraken", "channels": ["trade"], "symbols": ["A/B"] }));
    for (decoder, text) in [
        (
            coinbase(),
            r#"{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"]}]}"#,
        ),
        (
            coinbase(),
            r#"{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"2014-11-07T08:19:28.464459Z"}"#,
        ),
        (
            coinbase(),
            r#"{"type":"match","trade_id":1,"product_id":"DOGE-USD","price":"1","size":"1"}"#,
        ),
        (kraken, r#"{"channel":"heartbeat"}"#),
    ] {
        assert_eq!(records(&decoder, text), Ok(vec![]), "{text}");
    }
}

#[test]
fn a_refusal_is_told_in_the_exchanges_own_words() {
    let kraken = decoder(json!({ "kind": "kraken", "channels": ["trade"], "symbols": ["A/B"] }));
    for (decoder, text, said) in [
        (
            coinbase(),
            r#"{"type":"error","message":"Failed to subscribe","reason":"x"}"#,
            "Failed to subscribe",
        ),
        (
            kraken,
            r#"{"error":"Currency pair not supported A\/B","method":"subscribe","success":false}"#,
            "Currency pair not supported A/B",
        ),
    ] {
        let error = records(&decoder, text).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn fields_of_any_json_are_found_by_their_paths() {
    let json = decoder(json!({
        "kind": "json", "url": "wss://x", "channels": ["deals"], "symbols": ["A", "7"],
        "fields": { "symbol": "data.id", "sequence": "n", "time": "data.when.at", "price": "data.p", "side": "side", "size": "q" },
    }));
    let text = r#"{"more":[{"n":9}],"n":"5","data":{"when":{"zone":null,"at":1700000000123},"p":"1e2","id":7,"x":{"p":3}},"side":"SELL","q":null}"#;
    let expected = Record {
        time: Some(1_700_000_000_123_000).into(),
        sequence: Some(5).into(),
        buy: Some(false),
        price: Some(100.0).into(),
        ..Record::empty(1, NOW)
    };
    assert_eq!(one(&json, text), expected);
    assert_eq!(
        records(&json, &format!("[{text},{text}]")).unwrap().len(),
        2
    );
    for (text, complaint) in [
        (r#"{"data":{"p":1,"id":"A"}}"#, "no sequence number"),
        (
            r#"{"n":1.5,"data":{"p":1,"id":"A"}}"#,
            "must be a whole number",
        ),
        (
            r#"{"n":1,"data":{"p":"cheap","id":"A"}}"#,
            "a number was expected",
        ),
        (
            r#"{"n":1,"data":{"p":1,"id":"A"}} x"#,
            "there is something after the value",
        ),
        (r#"7"#, "an object or a list of objects"),
    ] {
        let error = records(&json, text).unwrap_err();
        assert!(error.contains(complaint), "{text}: {error}");
    }
}

#[test]
fn nothing_that_is_half_a_message_becomes_a_record() {
    let text = r#"{"type":"match","trade_id":10,"sequence":50,"time":"2014-11-07T08:19:27Z","product_id":"BTC-USD","size":"5","price":"4","side":"sell"}"#;
    let decoder = coinbase();
    for length in 0..text.len() {
        assert!(
            records(&decoder, &text[..length]).is_err(),
            "{}",
            &text[..length]
        );
    }
    for (from, to) in [
        ("\"4\"", "\"NaN\""),
        ("\"4\"", "\"inf\""),
        ("10", "\"ten\""),
        ("10", "1e99"),
        ("10", "99999999999999999999"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert!(records(&decoder, &changed).is_err(), "{changed}");
    }
}

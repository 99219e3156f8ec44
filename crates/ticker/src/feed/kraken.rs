//! Kraken's WebSocket API, version 2.
//!
//! Written from its documentation, "Spot WebSocket v2" (docs.kraken.com/api). Numbers are JSON numbers, times
//! RFC 3339. A trade's `trade_id` has no holes; a snapshot after subscribing repeats the last fifty.

use serde::Deserialize;
use serde_json::json;

use super::decode::{Decoded, Garbage, Number, Table, rfc3339};
use crate::config::SourceSettings;
use crate::record::Record;

#[derive(Deserialize)]
struct Message<'a> {
    channel: Option<&'a str>,
    #[serde(borrow, default)]
    data: Option<Vec<Item<'a>>>,
    success: Option<bool>,
    #[serde(borrow)]
    error: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    symbol: Option<&'a str>,
    side: Option<&'a str>,
    price: Option<Number>,
    qty: Option<Number>,
    trade_id: Option<i64>,
    timestamp: Option<&'a str>,
    bid: Option<Number>,
    bid_qty: Option<Number>,
    ask: Option<Number>,
    ask_qty: Option<Number>,
    last: Option<Number>,
}

/// What to say after connecting.
pub fn subscribe(source: &SourceSettings) -> Vec<String> {
    let wish = |channel: &String| {
        let what = json!({ "channel": channel, "symbol": source.symbols });
        json!({ "method": "subscribe", "params": what }).to_string()
    };
    source.channels.iter().map(wish).collect()
}

/// One message.
pub fn decode(
    table: &Table,
    text: &str,
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let message: Message = serde_json::from_str(text)?;
    if message.success == Some(false) {
        let said = message.error.unwrap_or_default();
        return Err(Garbage::Refused(said.into_owned()));
    }
    let channel = match message.channel {
        Some(channel @ ("trade" | "ticker")) => channel,
        _ => return Ok(Decoded::Other),
    };
    let before = records.len();
    for item in message.data.unwrap_or_default() {
        let symbol = item.symbol.ok_or(Garbage::Missing("no symbol"))?;
        let Some(stream) = table.find(channel, symbol) else {
            continue;
        };
        item.price
            .or(item.bid)
            .or(item.last)
            .ok_or(Garbage::Missing("no price"))?;
        if channel == "trade" {
            item.trade_id.ok_or(Garbage::Missing("no trade_id"))?;
        }
        let real = |number: Option<Number>| number.map(Number::real);
        records.push(Record {
            time: item.timestamp.and_then(rfc3339),
            trade_id: item.trade_id,
            buy: item.side.map(|side| side == "buy"),
            price: real(item.price.or(item.last)),
            size: real(item.qty),
            bid: real(item.bid),
            bid_size: real(item.bid_qty),
            ask: real(item.ask),
            ask_size: real(item.ask_qty),
            ..Record::empty(stream, now)
        });
    }
    Ok(match records.len() > before {
        true => Decoded::Records,
        false => Decoded::Other,
    })
}

//! Kraken's WebSocket API, version 2.
//!
//! Written from its documentation, "Spot WebSocket v2" (docs.kraken.com/api). Numbers are JSON numbers, times
//! RFC 3339. A trade's `trade_id` has no holes; a snapshot after subscribing repeats the last fifty.

use std::borrow::Cow;

use serde_json::json;

use super::decode::{Decoded, Garbage, Number, Table, rfc3339};
use super::reader::Reader;
use crate::config::SourceSettings;
use crate::record::Record;

#[derive(Default)]
struct Message<'a> {
    channel: Option<Cow<'a, str>>,
    data: Vec<Item<'a>>,
    success: Option<bool>,
    error: Option<Cow<'a, str>>,
}

#[derive(Default)]
struct Item<'a> {
    symbol: Option<Cow<'a, str>>,
    side: Option<Cow<'a, str>>,
    price: Option<Number>,
    qty: Option<Number>,
    trade_id: Option<i64>,
    timestamp: Option<Cow<'a, str>>,
    bid: Option<Number>,
    bid_qty: Option<Number>,
    ask: Option<Number>,
    ask_qty: Option<Number>,
    last: Option<Number>,
}

impl<'a> Message<'a> {
    fn read(text: &'a str) -> Result<Self, Garbage> {
        let mut message = Message::default();
        let mut reader = Reader::of(text);
        reader.object(|reader, name| {
            match name {
                "channel" => message.channel = reader.text()?,
                "data" if !reader.null()? => reader.list(|reader| {
                    message.data.push(Item::read(reader)?);
                    Ok(())
                })?,
                "data" => {}
                "success" => message.success = reader.truth()?,
                "error" => message.error = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(message)
    }
}

impl<'a> Item<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Garbage> {
        let mut item = Item::default();
        reader.object(|reader, name| {
            match name {
                "symbol" => item.symbol = reader.text()?,
                "side" => item.side = reader.text()?,
                "price" => item.price = reader.number()?,
                "qty" => item.qty = reader.number()?,
                "trade_id" => item.trade_id = reader.whole()?,
                "timestamp" => item.timestamp = reader.text()?,
                "bid" => item.bid = reader.number()?,
                "bid_qty" => item.bid_qty = reader.number()?,
                "ask" => item.ask = reader.number()?,
                "ask_qty" => item.ask_qty = reader.number()?,
                "last" => item.last = reader.number()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(item)
    }
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
    let message = Message::read(text)?;
    if message.success == Some(false) {
        let said = message.error.unwrap_or_default();
        return Err(Garbage::Refused(said.into_owned()));
    }
    let channel = match message.channel.as_deref() {
        Some(channel @ ("trade" | "ticker")) => channel,
        _ => return Ok(Decoded::Other),
    };
    let before = records.len();
    for item in message.data {
        let symbol = item.symbol.ok_or(Garbage::Missing("no symbol"))?;
        let Some(stream) = table.find(channel, &symbol) else {
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
            time: item.timestamp.and_then(|time| rfc3339(&time)),
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

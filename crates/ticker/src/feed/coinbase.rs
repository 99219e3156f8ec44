//! Coinbase Exchange's WebSocket feed.
//!
//! Written from its documentation, "WebSocket Channels" of the Exchange API (docs.cdp.coinbase.com/exchange). A
//! match's `side` is the maker's, a ticker's the taker's. `sequence` counts all messages of a product, those of
//! other channels too; `trade_id` has no holes. After subscribing, the last match is sent again as `last_match`.

use std::borrow::Cow;

use serde_json::json;

use super::decode::{Decoded, Garbage, Number, Table, rfc3339};
use super::reader::Reader;
use crate::config::SourceSettings;
use crate::record::Record;

#[derive(Default)]
struct Message<'a> {
    kind: Option<Cow<'a, str>>,
    product: Option<Cow<'a, str>>,
    sequence: Option<i64>,
    trade_id: Option<i64>,
    time: Option<Cow<'a, str>>,
    side: Option<Cow<'a, str>>,
    price: Option<Number>,
    size: Option<Number>,
    last_size: Option<Number>,
    best_bid: Option<Number>,
    best_bid_size: Option<Number>,
    best_ask: Option<Number>,
    best_ask_size: Option<Number>,
    message: Option<Cow<'a, str>>,
}

impl<'a> Message<'a> {
    fn read(text: &'a str) -> Result<Self, Garbage> {
        let mut message = Message::default();
        let mut reader = Reader::of(text);
        reader.object(|reader, name| {
            match name {
                "type" => message.kind = reader.text()?,
                "product_id" => message.product = reader.text()?,
                "sequence" => message.sequence = reader.whole()?,
                "trade_id" => message.trade_id = reader.whole()?,
                "time" => message.time = reader.text()?,
                "side" => message.side = reader.text()?,
                "price" => message.price = reader.number()?,
                "size" => message.size = reader.number()?,
                "last_size" => message.last_size = reader.number()?,
                "best_bid" => message.best_bid = reader.number()?,
                "best_bid_size" => message.best_bid_size = reader.number()?,
                "best_ask" => message.best_ask = reader.number()?,
                "best_ask_size" => message.best_ask_size = reader.number()?,
                "message" => message.message = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(message)
    }
}

/// What to say after connecting.
pub fn subscribe(source: &SourceSettings) -> Vec<String> {
    // The heartbeat comes every second, so that a market without trades is not taken for a dead connection.
    let mut channels = source.channels.clone();
    channels.push("heartbeat".into());
    let wish = json!({ "type": "subscribe", "product_ids": source.symbols, "channels": channels });
    vec![wish.to_string()]
}

/// One message.
pub fn decode(
    table: &Table,
    text: &str,
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let message = Message::read(text)?;
    let kind = message.kind.ok_or(Garbage::Missing("no type"))?;
    let channel = match &*kind {
        "match" | "last_match" => "matches",
        "ticker" => "ticker",
        "error" => {
            let said = message.message.unwrap_or_default();
            return Err(Garbage::Refused(said.into_owned()));
        }
        _ => return Ok(Decoded::Other),
    };
    let symbol = message.product.ok_or(Garbage::Missing("no product_id"))?;
    let Some(stream) = table.find(channel, &symbol) else {
        return Ok(Decoded::Other);
    };
    let trade = channel == "matches";
    let number = if trade {
        message.trade_id
    } else {
        message.sequence
    };
    number.ok_or(Garbage::Missing("no trade_id or sequence"))?;
    message.price.ok_or(Garbage::Missing("no price"))?;
    let real = |number: Option<Number>| number.map(Number::real);
    records.push(Record {
        time: message.time.and_then(|time| rfc3339(&time)),
        sequence: message.sequence,
        trade_id: message.trade_id,
        buy: message.side.map(|side| (side == "buy") != trade),
        price: real(message.price),
        size: real(message.size.or(message.last_size)),
        bid: real(message.best_bid),
        bid_size: real(message.best_bid_size),
        ask: real(message.best_ask),
        ask_size: real(message.best_ask_size),
        ..Record::empty(stream, now)
    });
    Ok(Decoded::Records)
}

//! Coinbase Exchange's WebSocket feed.
//!
//! Written from its documentation, "WebSocket Channels" of the Exchange API (docs.cdp.coinbase.com/exchange). A
//! match's `side` is the maker's, a ticker's the taker's. `sequence` counts all messages of a product, those of
//! other channels too; `trade_id` has no holes. After subscribing, the last match is sent again as `last_match`.

use serde_json::json;

use super::{Decode, Exchange, Nature, SourceSettings};
use crate::feed::decode::{Decoded, Garbage, Table, rfc3339};
use crate::feed::reader::{Reader, Text};
use crate::record::{Maybe, Record};

pub struct Coinbase;

impl Exchange for Coinbase {
    fn name(&self) -> &'static str {
        "coinbase"
    }

    fn url(&self) -> &'static str {
        "wss://ws-feed.exchange.coinbase.com"
    }

    fn channels(&self) -> &'static [(&'static str, Nature)] {
        &[("matches", Nature::TRADES), ("ticker", Nature::QUOTES)]
    }

    fn subscribe(&self, source: &SourceSettings) -> Vec<String> {
        // The heartbeat arrives every second, so a market without trades is not mistaken for a dead connection.
        let mut channels = source.channels.clone();
        channels.push("heartbeat".into());
        let wish =
            json!({ "type": "subscribe", "product_ids": source.symbols, "channels": channels });
        vec![wish.to_string()]
    }

    fn decoder(&self, _: &SourceSettings, table: Table) -> Decode {
        Box::new(move |text, now, records| decode(&table, text, now, records))
    }
}

/// Values that are not stored in a record directly.
#[derive(Default)]
struct Words<'a> {
    kind: Option<Text<'a>>,
    product: Option<Text<'a>>,
    time: Option<Text<'a>>,
    side: Option<Text<'a>>,
    last_size: Maybe<f64>,
    message: Option<Text<'a>>,
}

fn read<'a>(text: &'a [u8], record: &mut Record) -> Result<Words<'a>, Garbage> {
    let mut words = Words::default();
    let mut reader = Reader::of(text);
    reader.object(|reader, name| match name {
        "type" => words.kind = reader.text(),
        "product_id" => words.product = reader.text(),
        "sequence" => record.sequence = reader.whole(),
        "trade_id" => record.trade_id = reader.whole(),
        "time" => words.time = reader.text(),
        "side" => words.side = reader.text(),
        "price" => record.price = reader.real(),
        "size" => record.size = reader.real(),
        "last_size" => words.last_size = reader.real(),
        "best_bid" => record.bid = reader.real(),
        "best_bid_size" => record.bid_size = reader.real(),
        "best_ask" => record.ask = reader.real(),
        "best_ask_size" => record.ask_size = reader.real(),
        "message" => words.message = reader.text(),
        _ => reader.skip(),
    });
    reader.end()?;
    Ok(words)
}

fn decode(
    table: &Table,
    text: &[u8],
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let mut record = Record::empty(0, now);
    let words = read(text, &mut record)?;
    let kind = words.kind.ok_or(Garbage::Missing("no type"))?;
    let channel = match &*kind.meaning() {
        "match" | "last_match" => "matches",
        "ticker" => "ticker",
        "error" => {
            let said = words.message.map(|said| said.meaning().into_owned());
            return Err(Garbage::Refused(said.unwrap_or_default()));
        }
        _ => return Ok(Decoded::Other),
    };
    let symbol = words.product.ok_or(Garbage::Missing("no product_id"))?;
    let Some(stream) = table.find(channel, &symbol.bytes()) else {
        return Ok(Decoded::Other);
    };
    let trade = channel == "matches";
    let number = if trade {
        record.trade_id
    } else {
        record.sequence
    };
    let missing = Garbage::Missing("no trade_id or sequence");
    number.get().ok_or(missing)?;
    record.price.get().ok_or(Garbage::Missing("no price"))?;
    let time = words.time.and_then(|time| rfc3339(&time.meaning()));
    records.push(Record {
        stream,
        time: time.into(),
        buy: words.side.map(|side| side.is("buy") != trade),
        size: record.size.get().or(words.last_size.get()).into(),
        ..record
    });
    Ok(Decoded::Records)
}

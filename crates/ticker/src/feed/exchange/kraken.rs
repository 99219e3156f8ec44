//! Kraken's WebSocket API, version 2.
//!
//! Written from its documentation, "Spot WebSocket v2" (docs.kraken.com/api). Numbers are JSON numbers, times
//! RFC 3339. A trade's `trade_id` has no holes; a snapshot after subscribing repeats the last fifty.

use serde_json::json;

use super::{Decode, Exchange, Nature, SourceSettings};
use crate::feed::decode::{Decoded, Garbage, Table, rfc3339};
use crate::feed::reader::{Reader, Text};
use crate::record::{Maybe, Record};

pub struct Kraken;

impl Exchange for Kraken {
    fn name(&self) -> &'static str {
        "kraken"
    }

    fn url(&self) -> &'static str {
        "wss://ws.kraken.com/v2"
    }

    fn channels(&self) -> &'static [(&'static str, Nature)] {
        &[
            ("trade", Nature::TRADES),
            ("ticker", Nature::UNNUMBERED_QUOTES),
        ]
    }

    fn subscribe(&self, source: &SourceSettings) -> Vec<String> {
        let wish = |channel: &String| {
            let what = json!({ "channel": channel, "symbol": source.symbols });
            json!({ "method": "subscribe", "params": what }).to_string()
        };
        source.channels.iter().map(wish).collect()
    }

    fn decoder(&self, _: &SourceSettings, table: Table) -> Decode {
        Box::new(move |text, now, records| decode(&table, text, now, records))
    }
}

#[derive(Default)]
struct Message<'a> {
    channel: Option<Text<'a>>,
    data: Vec<Item<'a>>,
    success: Option<bool>,
    error: Option<Text<'a>>,
    /// The first error of an item.
    spoilt: Option<Garbage>,
}

/// A record, and values that are not stored in it directly.
struct Item<'a> {
    record: Record,
    symbol: Option<Text<'a>>,
    side: Option<Text<'a>>,
    time: Option<Text<'a>>,
    last: Maybe<f64>,
}

impl<'a> Message<'a> {
    fn read(text: &'a [u8], now: i64) -> Result<Self, Garbage> {
        let mut message = Message::default();
        let mut reader = Reader::of(text);
        reader.object(|reader, name| match name {
            "channel" => message.channel = reader.text(),
            "data" if !reader.null() => {
                let item = |reader: &mut Reader<'a>| Item::read(reader, now);
                reader.items(item, |item| message.data.push(item));
            }
            "data" => {}
            "success" => message.success = reader.truth(),
            "error" => message.error = reader.text(),
            _ => reader.skip(),
        });
        message.spoilt = reader.spoilt();
        reader.end()?;
        Ok(message)
    }
}

impl<'a> Item<'a> {
    fn read(reader: &mut Reader<'a>, now: i64) -> Self {
        let mut record = Record::empty(0, now);
        let (mut symbol, mut side, mut time, mut last) = (None, None, None, Maybe::NONE);
        reader.object(|reader, name| match name {
            "symbol" => symbol = reader.text(),
            "side" => side = reader.text(),
            "price" => record.price = reader.real(),
            "qty" => record.size = reader.real(),
            "trade_id" => record.trade_id = reader.whole(),
            "timestamp" => time = reader.text(),
            "bid" => record.bid = reader.real(),
            "bid_qty" => record.bid_size = reader.real(),
            "ask" => record.ask = reader.real(),
            "ask_qty" => record.ask_size = reader.real(),
            "last" => last = reader.real(),
            _ => reader.skip(),
        });
        Item {
            record,
            symbol,
            side,
            time,
            last,
        }
    }

    /// Its record, unless nobody subscribed to its symbol.
    fn record(self, table: &Table, channel: &str) -> Result<Option<Record>, Garbage> {
        let symbol = self.symbol.ok_or(Garbage::Missing("no symbol"))?;
        let Some(stream) = table.find(channel, &symbol.bytes()) else {
            return Ok(None);
        };
        let record = self.record;
        let price = record.price.get().or(self.last.get());
        price
            .or(record.bid.get())
            .ok_or(Garbage::Missing("no price"))?;
        if channel == "trade" {
            let number = record.trade_id.get();
            number.ok_or(Garbage::Missing("no trade_id"))?;
        }
        let time = self.time.and_then(|time| rfc3339(&time.meaning()));
        Ok(Some(Record {
            stream,
            time: time.into(),
            buy: self.side.map(|side| side.is("buy")),
            price: price.into(),
            ..record
        }))
    }
}

fn decode(
    table: &Table,
    text: &[u8],
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let message = Message::read(text, now)?;
    if message.success == Some(false) {
        let said = message.error.map(|said| said.meaning().into_owned());
        return Err(Garbage::Refused(said.unwrap_or_default()));
    }
    let channel = match message.channel.map(Text::meaning).as_deref() {
        Some("trade") => "trade",
        Some("ticker") => "ticker",
        _ => return Ok(Decoded::Other),
    };
    let before = records.len();
    let mut spoilt = message.spoilt;
    for item in message.data {
        match item.record(table, channel) {
            Ok(Some(record)) => records.push(record),
            Ok(None) => {}
            Err(error) => drop(spoilt.get_or_insert(error)),
        }
    }
    match spoilt {
        Some(error) => Err(error),
        None if records.len() > before => Ok(Decoded::Records),
        None => Ok(Decoded::Other),
    }
}

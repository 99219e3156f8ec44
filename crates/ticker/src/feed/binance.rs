//! Binance's combined streams.
//!
//! Written from its documentation, "WebSocket Streams" of the Spot API (developers.binance.com). Streams are named
//! in the address, `btcusdt@trade` for instance; each message is `{"stream": …, "data": …}`. Times are in ms. `m`
//! says that the buyer is the maker. `t` and `a` have no holes, `u` has.

use std::borrow::Cow;

use super::decode::{Decoded, Garbage, Number, Table};
use super::reader::Reader;
use crate::config::SourceSettings;
use crate::record::Record;

/// Fields of all three kinds; `a` is a trade's number in one of them and a price in another.
#[derive(Default)]
struct Data<'a> {
    symbol: Option<Cow<'a, str>>,
    trade: Option<i64>,
    price: Option<Number>,
    quantity: Option<Number>,
    traded: Option<i64>,
    maker_buys: Option<bool>,
    update: Option<i64>,
    bid: Option<Number>,
    bid_size: Option<Number>,
    ask_or_aggregate: Option<Number>,
    ask_size: Option<Number>,
}

impl<'a> Data<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Garbage> {
        let mut data = Data::default();
        reader.object(|reader, name| {
            match name {
                "s" => data.symbol = reader.text()?,
                "t" => data.trade = reader.whole()?,
                "p" => data.price = reader.number()?,
                "q" => data.quantity = reader.number()?,
                "T" => data.traded = reader.whole()?,
                "m" => data.maker_buys = reader.truth()?,
                "u" => data.update = reader.whole()?,
                "b" => data.bid = reader.number()?,
                "B" => data.bid_size = reader.number()?,
                "a" => data.ask_or_aggregate = reader.number()?,
                "A" => data.ask_size = reader.number()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(data)
    }
}

/// The address that subscribes to everything wanted. Symbols are in small letters there, and in capitals elsewhere.
pub fn url(source: &SourceSettings) -> String {
    let names: Vec<String> = source
        .channels
        .iter()
        .flat_map(|channel| {
            let symbols = source.symbols.iter();
            symbols.map(move |symbol| format!("{}@{channel}", symbol.to_lowercase()))
        })
        .collect();
    format!("{}/stream?streams={}", source.url(), names.join("/"))
}

/// One message.
pub fn decode(
    table: &Table,
    text: &str,
    now: i64,
    records: &mut Vec<Record>,
) -> Result<Decoded, Garbage> {
    let (mut name, mut data) = (None, None);
    let mut reader = Reader::of(text);
    reader.object(|reader, member| {
        match member {
            "stream" => name = reader.text()?,
            "data" if !reader.null()? => data = Some(Data::read(reader)?),
            "data" => {}
            _ => reader.skip()?,
        }
        Ok(())
    })?;
    reader.end()?;
    let (Some(name), Some(data)) = (name, data) else {
        return Ok(Decoded::Other);
    };
    let (_, channel) = name
        .split_once('@')
        .ok_or(Garbage::Missing("a stream without a channel"))?;
    let symbol = data.symbol.ok_or(Garbage::Missing("no symbol"))?;
    let Some(stream) = table.find(channel, &symbol) else {
        return Ok(Decoded::Other);
    };
    let real = |number: Option<Number>| number.map(Number::real);
    let mut record = Record::empty(stream, now);
    if channel == "bookTicker" {
        let update = data.update.ok_or(Garbage::Missing("no update number"))?;
        data.bid
            .or(data.ask_or_aggregate)
            .ok_or(Garbage::Missing("no price"))?;
        record.sequence = Some(update);
        record.bid = real(data.bid);
        record.bid_size = real(data.bid_size);
        record.ask = real(data.ask_or_aggregate);
        record.ask_size = real(data.ask_size);
    } else {
        let aggregate = data.ask_or_aggregate.and_then(Number::whole);
        let number = data
            .trade
            .or(aggregate)
            .ok_or(Garbage::Missing("no trade number"))?;
        let price = data.price.ok_or(Garbage::Missing("no price"))?;
        record.trade_id = Some(number);
        record.time = data.traded.map(|ms| ms.saturating_mul(1000));
        record.price = Some(price.real());
        record.size = real(data.quantity);
        record.buy = data.maker_buys.map(|maker| !maker);
    }
    records.push(record);
    Ok(Decoded::Records)
}

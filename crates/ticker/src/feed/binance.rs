//! Binance's combined streams.
//!
//! Written from its documentation, "WebSocket Streams" of the Spot API (developers.binance.com). Streams are named
//! in the address, `btcusdt@trade` for instance; each message is `{"stream": …, "data": …}`. Times are in ms. `m`
//! says that the buyer is the maker. `t` and `a` have no holes, `u` has.

use serde::Deserialize;

use super::decode::{Decoded, Garbage, Number, Table};
use crate::config::SourceSettings;
use crate::record::Record;

#[derive(Deserialize)]
struct Message<'a> {
    stream: Option<&'a str>,
    data: Option<Data<'a>>,
}

/// Fields of all three kinds; `a` is a trade's number in one of them and a price in another.
#[derive(Deserialize)]
struct Data<'a> {
    #[serde(rename = "s")]
    symbol: Option<&'a str>,
    #[serde(rename = "t")]
    trade: Option<i64>,
    #[serde(rename = "p")]
    price: Option<Number>,
    #[serde(rename = "q")]
    quantity: Option<Number>,
    #[serde(rename = "T")]
    traded: Option<i64>,
    #[serde(rename = "m")]
    maker_buys: Option<bool>,
    #[serde(rename = "u")]
    update: Option<i64>,
    #[serde(rename = "b")]
    bid: Option<Number>,
    #[serde(rename = "B")]
    bid_size: Option<Number>,
    #[serde(rename = "a")]
    ask_or_aggregate: Option<Number>,
    #[serde(rename = "A")]
    ask_size: Option<Number>,
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
    let message: Message = serde_json::from_str(text)?;
    let (Some(name), Some(data)) = (message.stream, message.data) else {
        return Ok(Decoded::Other);
    };
    let (_, channel) = name
        .split_once('@')
        .ok_or(Garbage::Missing("a stream without a channel"))?;
    let symbol = data.symbol.ok_or(Garbage::Missing("no symbol"))?;
    let Some(stream) = table.find(channel, symbol) else {
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

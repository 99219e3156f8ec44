//! Messages → records.

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::{binance, coinbase, json, kraken};
use crate::config::{SourceKind, SourceSettings};
use crate::record::Record;

/// What a message was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// Records, appended to the list.
    Records,
    /// Nothing to keep: something the feed says about itself, or a symbol or channel nobody asked for.
    Other,
}

/// Why a message could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum Garbage {
    /// It is not what the format says.
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
    /// A value that is needed is missing, or is nonsense.
    #[error("{0}")]
    Missing(&'static str),
    /// The exchange refuses something.
    #[error("the exchange says: {0}")]
    Refused(String),
}

/// How to talk to one source.
#[derive(Debug)]
pub struct Decoder {
    kind: SourceKind,
    table: Table,
    json: json::Paths,
}

/// Which stream a channel and a symbol are.
#[derive(Debug)]
pub struct Table {
    channels: Vec<String>,
    symbols: std::collections::HashMap<String, usize>,
    first: u32,
}

impl Table {
    /// The streams of `source`, the first of which is `first`.
    pub fn new(source: &SourceSettings, first: u32) -> Self {
        let symbols = source.symbols.iter().cloned().enumerate();
        Table {
            channels: source.channels.clone(),
            symbols: symbols.map(|(index, symbol)| (symbol, index)).collect(),
            first,
        }
    }

    /// The stream, if it was asked for.
    pub fn find(&self, channel: &str, symbol: &str) -> Option<u32> {
        let channel = self.channels.iter().position(|c| c == channel)?;
        let symbol = self.symbols.get(symbol)?;
        Some(self.first + (channel * self.symbols.len() + symbol) as u32)
    }
}

impl Decoder {
    /// For `source`, whose first stream is `first`.
    pub fn new(source: &SourceSettings, first: u32) -> Self {
        Decoder {
            kind: source.kind,
            table: Table::new(source, first),
            json: json::Paths::new(source),
        }
    }

    /// Where to connect to.
    pub fn url(&self, source: &SourceSettings) -> String {
        match self.kind {
            SourceKind::Binance => binance::url(source),
            _ => source.url(),
        }
    }

    /// What to say after connecting.
    pub fn subscribe(&self, source: &SourceSettings) -> Vec<String> {
        match self.kind {
            SourceKind::Coinbase => coinbase::subscribe(source),
            SourceKind::Kraken => kraken::subscribe(source),
            SourceKind::Json => source.subscribe.iter().map(ToString::to_string).collect(),
            SourceKind::Binance | SourceKind::Simulated => Vec::new(),
        }
    }

    /// Appends what `text`, received at `now` (µs since 1970), holds to `records`.
    pub fn decode(
        &self,
        text: &str,
        now: i64,
        records: &mut Vec<Record>,
    ) -> Result<Decoded, Garbage> {
        match self.kind {
            SourceKind::Coinbase => coinbase::decode(&self.table, text, now, records),
            SourceKind::Binance => binance::decode(&self.table, text, now, records),
            SourceKind::Kraken => kraken::decode(&self.table, text, now, records),
            SourceKind::Json => json::decode(&self.json, &self.table, text, now, records),
            SourceKind::Simulated => Ok(Decoded::Other),
        }
    }
}

/// A number as JSON has it, or in a string as exchanges write it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole one.
    Whole(i64),
    /// Any other.
    Real(f64),
}

impl Number {
    /// As a price or size.
    pub fn real(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Real(number) => number,
        }
    }

    /// As a sequence number.
    pub fn whole(self) -> Option<i64> {
        match self {
            Number::Whole(number) => Some(number),
            Number::Real(_) => None,
        }
    }

    /// A number in a string.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Some(Number::Whole(number));
        }
        let number: f64 = text.parse().ok()?;
        number.is_finite().then_some(Number::Real(number))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl Visitor<'_> for AnyNumber {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or a string that is one")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Whole(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                i64::try_from(number)
                    .map(Number::Whole)
                    .map_err(|_| E::custom(format_args!("{number} is too large")))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number::Real(number))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
                Number::parse(text)
                    .ok_or_else(|| E::custom(format_args!("{text:?} is not a number")))
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}

/// RFC 3339 in UTC as µs since 1970.
pub fn rfc3339(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

/// A number of seconds, ms, µs or ns since 1970, told apart by how large it is, as µs.
pub fn since_1970(number: f64) -> i64 {
    let exponent = match number.abs() {
        n if n < 1e11 => 1e6,
        n if n < 1e14 => 1e3,
        n if n < 1e17 => 1.0,
        _ => 1e-3,
    };
    (number * exponent) as i64
}

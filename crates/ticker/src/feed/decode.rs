//! Messages → records.

use foldhash::HashMap;

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
    #[error("{what}, at byte {at}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        at: usize,
    },
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
    channels: Vec<(String, HashMap<Vec<u8>, u32>)>,
}

impl Table {
    /// The streams of `source`, the first of which is `first`. `name` says what a source calls a symbol in a channel.
    pub fn new(source: &SourceSettings, first: u32, name: impl Fn(&str, &str) -> String) -> Self {
        let mut stream = first..;
        let channel = |channel: &String| {
            let names = source.symbols.iter().map(|symbol| name(channel, symbol));
            let streams = names.map(String::into_bytes).zip(&mut stream).collect();
            (channel.clone(), streams)
        };
        Table {
            channels: source.channels.iter().map(channel).collect(),
        }
    }

    /// The stream, if it was asked for.
    pub fn find(&self, channel: &str, name: &[u8]) -> Option<u32> {
        let (_, streams) = self.channels.iter().find(|(name, _)| name == channel)?;
        streams.get(name).copied()
    }

    /// The stream, where names alone tell channels apart; and its channel.
    pub fn find_name(&self, name: &[u8]) -> Option<(u32, &str)> {
        let mut channels = self.channels.iter();
        channels.find_map(|(channel, streams)| Some((*streams.get(name)?, channel.as_str())))
    }
}

impl Decoder {
    /// For `source`, whose first stream is `first`.
    pub fn new(source: &SourceSettings, first: u32) -> Self {
        Decoder {
            kind: source.kind,
            table: Table::new(source, first, |channel, symbol| match source.kind {
                SourceKind::Binance => binance::name(channel, symbol),
                _ => symbol.to_owned(),
            }),
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
        text: &[u8],
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

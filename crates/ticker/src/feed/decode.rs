//! Messages → records.

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
        if let Some(number) = Number::short(text.as_bytes()) {
            return Some(number);
        }
        match text.parse() {
            Ok(number) => Some(Number::Whole(number)),
            Err(_) => Number::real_of(text),
        }
    }

    /// Digits, perhaps with a point among them, as nearly all prices are. Fifteen of them are a whole number that a
    /// float holds exactly, and so is the power of ten: what the division gives is the float nearest to the text.
    fn short(text: &[u8]) -> Option<Self> {
        const POWERS: [f64; 16] = [
            1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
        ];
        if text.len() > 16 || !text.first()?.is_ascii_digit() {
            return None;
        }
        let (mut digits, mut point) = (0, None);
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'0'..=b'9' => digits = digits * 10 + i64::from(byte - b'0'),
                b'.' if point.is_none() => point = Some(text.len() - 1 - at),
                _ => return None,
            }
        }
        Some(match point {
            Some(decimals) => Number::Real(digits as f64 / POWERS[decimals]),
            None => Number::Whole(digits),
        })
    }

    /// A number in a string that is not whole.
    pub fn real_of(text: &str) -> Option<Self> {
        let number: f64 = text.parse().ok()?;
        number.is_finite().then_some(Number::Real(number))
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

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn a_number_in_a_string_is_what_the_standard_library_says() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200_000 {
            let length = random.usize(..20);
            let text: String = (0..length)
                .map(|_| char::from(b"00123456789.."[random.usize(..13)]))
                .collect();
            let real = text.parse().ok();
            assert_eq!(Number::parse(&text).map(Number::real), real, "{text}");
            let whole = text.parse().ok();
            assert_eq!(
                Number::parse(&text).and_then(Number::whole),
                whole,
                "{text}"
            );
        }
    }
}

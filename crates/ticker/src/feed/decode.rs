//! Shared parts of the message decoders: the kind of a message, its stream and its time.

use foldhash::HashMap;

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// Records, appended to the list.
    Records,
    /// Nothing to keep: a message about the feed itself, or about a symbol or channel that was not subscribed to.
    Other,
}

/// Why a message could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Garbage {
    /// It violates the format.
    #[error("{what}, at byte {at}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// The position, in bytes.
        at: usize,
    },
    /// A required value is missing or invalid.
    #[error("{0}")]
    Missing(&'static str),
    /// The exchange reports an error.
    #[error("the exchange says: {0}")]
    Refused(String),
}

/// Finds the stream of a channel and a symbol.
#[derive(Debug)]
pub struct Table {
    channels: Vec<(String, HashMap<Vec<u8>, u32>)>,
}

impl Table {
    /// The streams of these channels and symbols, the first of which is `first`. `name` returns the name that messages
    /// use for a symbol in a channel.
    pub fn new(
        channels: &[String],
        symbols: &[String],
        first: u32,
        name: impl Fn(&str, &str) -> String,
    ) -> Self {
        let mut stream = first..;
        let channel = |channel: &String| {
            let names = symbols.iter().map(|symbol| name(channel, symbol));
            let streams = names.map(String::into_bytes).zip(&mut stream).collect();
            (channel.clone(), streams)
        };
        Table {
            channels: channels.iter().map(channel).collect(),
        }
    }

    /// The stream, if it was subscribed to.
    pub fn find(&self, channel: &str, name: &[u8]) -> Option<u32> {
        let (_, streams) = self.channels.iter().find(|(name, _)| name == channel)?;
        streams.get(name).copied()
    }

    /// The stream and its channel, where names alone distinguish channels.
    pub fn find_name(&self, name: &[u8]) -> Option<(u32, &str)> {
        let mut channels = self.channels.iter();
        channels.find_map(|(channel, streams)| Some((*streams.get(name)?, channel.as_str())))
    }
}

/// Converts RFC 3339 in UTC to µs since 1970.
pub fn rfc3339(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339_weak(text).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

/// Converts seconds, ms, µs or ns since 1970, distinguished by their magnitude, to µs.
pub fn since_1970(number: f64) -> i64 {
    let exponent = match number.abs() {
        n if n < 1e11 => 1e6,
        n if n < 1e14 => 1e3,
        n if n < 1e17 => 1.0,
        _ => 1e-3,
    };
    (number * exponent) as i64
}

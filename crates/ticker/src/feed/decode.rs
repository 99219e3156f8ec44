//! What decoders of messages are made with: what a message was, whose it is, when it was.

use foldhash::HashMap;

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

/// Which stream a channel and a symbol are.
#[derive(Debug)]
pub struct Table {
    channels: Vec<(String, HashMap<Vec<u8>, u32>)>,
}

impl Table {
    /// Streams of these channels and symbols, the first of which is `first`. `name` says how messages call a symbol in
    /// a channel.
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

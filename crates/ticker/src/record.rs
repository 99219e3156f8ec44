//! What is kept of a message, and the streams that records belong to.

use crate::config::{Config, SourceKind, SourceSettings};

/// Which of a record's numbers tells duplicates and gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberedBy {
    /// `sequence`.
    Sequence,
    /// `trade_id`.
    TradeId,
}

/// What kind of columns a stream's files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Trades that happened.
    Trade,
    /// The best prices.
    Quote,
}

/// One channel of one symbol of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The source's name.
    pub source: String,
    /// The channel.
    pub channel: String,
    /// The symbol.
    pub symbol: String,
    /// The columns of its files.
    pub kind: Kind,
    /// Which number tells duplicates and gaps, if the source has one.
    pub numbered: Option<NumberedBy>,
    /// Whether the numbers have no holes, so that a hole is a gap.
    pub contiguous: bool,
}

/// What is kept of a message: plain numbers, nothing on the heap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// Which of the streams it belongs to.
    pub stream: u32,
    /// When it arrived here, in µs since 1970.
    pub received: i64,
    /// When it happened there, in µs since 1970.
    pub time: Option<i64>,
    /// The source's number for it.
    pub sequence: Option<i64>,
    /// The trade's number.
    pub trade_id: Option<i64>,
    /// Who took: `Some(true)` the buyer, `Some(false)` the seller.
    pub buy: Option<bool>,
    /// The price.
    pub price: Option<f64>,
    /// The size.
    pub size: Option<f64>,
    /// The best bid.
    pub bid: Option<f64>,
    /// The size at the best bid.
    pub bid_size: Option<f64>,
    /// The best ask.
    pub ask: Option<f64>,
    /// The size at the best ask.
    pub ask_size: Option<f64>,
}

impl Record {
    /// One with nothing in it yet.
    pub fn empty(stream: u32, received: i64) -> Self {
        Record {
            stream,
            received,
            time: None,
            sequence: None,
            trade_id: None,
            buy: None,
            price: None,
            size: None,
            bid: None,
            bid_size: None,
            ask: None,
            ask_size: None,
        }
    }

    /// The number that tells duplicates and gaps.
    pub fn number(&self, by: NumberedBy) -> Option<i64> {
        match by {
            NumberedBy::Sequence => self.sequence,
            NumberedBy::TradeId => self.trade_id,
        }
    }
}

/// All streams of a configuration, in its order.
pub fn streams(config: &Config) -> Vec<Stream> {
    config.sources.iter().flat_map(streams_of).collect()
}

fn streams_of(source: &SourceSettings) -> impl Iterator<Item = Stream> {
    source.channels.iter().flat_map(move |channel| {
        source.symbols.iter().map(move |symbol| {
            let (kind, numbered, contiguous) = nature(source, channel);
            Stream {
                source: source.name.clone(),
                channel: channel.clone(),
                symbol: symbol.clone(),
                kind,
                numbered,
                contiguous,
            }
        })
    })
}

/// What the exchanges' documentation says of their numbers.
fn nature(source: &SourceSettings, channel: &str) -> (Kind, Option<NumberedBy>, bool) {
    use NumberedBy::{Sequence, TradeId};
    match (source.kind, channel) {
        // Its sequence numbers count what other channels carry too; trades alone have no holes.
        (SourceKind::Coinbase, "matches") => (Kind::Trade, Some(TradeId), true),
        (SourceKind::Coinbase, _) => (Kind::Quote, Some(Sequence), false),
        (SourceKind::Binance, "bookTicker") => (Kind::Quote, Some(Sequence), false),
        (SourceKind::Binance | SourceKind::Simulated, _) => (Kind::Trade, Some(TradeId), true),
        (SourceKind::Kraken, "trade") => (Kind::Trade, Some(TradeId), true),
        (SourceKind::Kraken, _) => (Kind::Quote, None, false),
        (SourceKind::Json, _) => {
            let fields = &source.fields;
            let kind = if fields.bid.is_some() || fields.ask.is_some() {
                Kind::Quote
            } else {
                Kind::Trade
            };
            let numbered = fields.sequence.is_some().then_some(Sequence);
            (kind, numbered, fields.contiguous)
        }
    }
}

//! Records, which hold the values of a message, and the streams that they belong to.

/// Which of a record's numbers reveals duplicates and gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberedBy {
    /// `sequence`.
    Sequence,
    /// `trade_id`.
    TradeId,
}

/// The kind of columns in a stream's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Trades that happened.
    Trade,
    /// The best bid and ask.
    Quote,
}

/// A stream: one channel of one symbol of one source.
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
    /// Which number reveals duplicates and gaps, if the source has one.
    pub numbered: Option<NumberedBy>,
    /// Whether the numbers are consecutive, so that a missing number is a gap.
    pub contiguous: bool,
    /// Whether the numbers go on over connections; otherwise they begin anew with each.
    pub lasting: bool,
}

/// An optional number in the space of a number: an `Option` takes twice the space, and records are moved by the
/// thousand.
#[derive(Clone, Copy)]
pub struct Maybe<T>(T);

/// A type with a value that never occurs in data and therefore can represent none.
pub trait Niche: Copy + PartialEq + std::fmt::Debug {
    /// The value that represents none.
    const NONE: Self;
    /// Whether this value represents none.
    fn is_none(self) -> bool;
}

impl Niche for i64 {
    const NONE: i64 = i64::MIN;
    #[inline]
    fn is_none(self) -> bool {
        self == Self::NONE
    }
}

impl Niche for f64 {
    const NONE: f64 = f64::NAN;
    #[inline]
    fn is_none(self) -> bool {
        self.is_nan()
    }
}

impl<T: Niche> Maybe<T> {
    /// No number.
    pub const NONE: Self = Maybe(T::NONE);

    /// The number.
    #[inline]
    pub fn get(self) -> Option<T> {
        (!self.0.is_none()).then_some(self.0)
    }
}

impl<T: Niche> Default for Maybe<T> {
    #[inline]
    fn default() -> Self {
        Self::NONE
    }
}

impl<T: Niche> From<Option<T>> for Maybe<T> {
    #[inline]
    fn from(number: Option<T>) -> Self {
        number.map_or(Self::NONE, Maybe)
    }
}

impl<T: Niche> PartialEq for Maybe<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Niche> std::fmt::Debug for Maybe<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// The values of a message: plain numbers, nothing on the heap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// The stream that it belongs to.
    pub stream: u32,
    /// When it was received, in µs since 1970.
    pub received: i64,
    /// When the event happened, in µs since 1970.
    pub time: Maybe<i64>,
    /// The source's sequence number.
    pub sequence: Maybe<i64>,
    /// The trade's ID.
    pub trade_id: Maybe<i64>,
    /// The taker: `Some(true)` is the buyer, `Some(false)` the seller.
    pub buy: Option<bool>,
    /// The price.
    pub price: Maybe<f64>,
    /// The size.
    pub size: Maybe<f64>,
    /// The best bid.
    pub bid: Maybe<f64>,
    /// The size at the best bid.
    pub bid_size: Maybe<f64>,
    /// The best ask.
    pub ask: Maybe<f64>,
    /// The size at the best ask.
    pub ask_size: Maybe<f64>,
}

impl Record {
    /// A record without any values.
    pub fn empty(stream: u32, received: i64) -> Self {
        Record {
            stream,
            received,
            time: Maybe::NONE,
            sequence: Maybe::NONE,
            trade_id: Maybe::NONE,
            buy: None,
            price: Maybe::NONE,
            size: Maybe::NONE,
            bid: Maybe::NONE,
            bid_size: Maybe::NONE,
            ask: Maybe::NONE,
            ask_size: Maybe::NONE,
        }
    }

    /// The number that reveals duplicates and gaps.
    pub fn number(&self, by: NumberedBy) -> Option<i64> {
        match by {
            NumberedBy::Sequence => self.sequence.get(),
            NumberedBy::TradeId => self.trade_id.get(),
        }
    }
}

//! What is kept of a message, and the streams that records belong to.

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

/// A number, or none, in the room of a number: an `Option` takes that of two, and records are moved by the thousand.
#[derive(Clone, Copy)]
pub struct Maybe<T>(T);

/// A type with a value that nothing ever has, which therefore can stand for none.
pub trait Niche: Copy + PartialEq + std::fmt::Debug {
    /// That value.
    const NONE: Self;
    /// Whether this is it.
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

/// What is kept of a message: plain numbers, nothing on the heap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record {
    /// Which of the streams it belongs to.
    pub stream: u32,
    /// When it arrived here, in µs since 1970.
    pub received: i64,
    /// When it happened there, in µs since 1970.
    pub time: Maybe<i64>,
    /// The source's number for it.
    pub sequence: Maybe<i64>,
    /// The trade's number.
    pub trade_id: Maybe<i64>,
    /// Who took: `Some(true)` the buyer, `Some(false)` the seller.
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
    /// One with nothing in it yet.
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

    /// The number that tells duplicates and gaps.
    pub fn number(&self, by: NumberedBy) -> Option<i64> {
        match by {
            NumberedBy::Sequence => self.sequence.get(),
            NumberedBy::TradeId => self.trade_id.get(),
        }
    }
}

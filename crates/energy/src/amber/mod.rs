//! Amber Electric's public API: its data, and the requests to it.
//!
//! Source: its OpenAPI description, version 2.0.0 (<https://api.amber.com.au/v1>, documented at
//! <https://app.amber.com.au/developers/documentation>), and observed behaviour: an unknown token gives 403;
//! `startTime` is one second late (14:00:01Z) while `endTime` is exact; the usage of a day appears on the next day;
//! `[]` stands both for data not published yet and for data no longer kept; the limit is 50 requests in 300 s, shared
//! by all programs that use the account.

mod client;
mod rows;

use serde::{Deserialize, Serialize};

pub use client::{Amber, AmberError, Answered, Limit};
pub use rows::{Rows, price, rows, site, usage};

/// The purpose of a meter's channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// Energy that the house draws.
    General,
    /// Loads that run at certain hours only, such as hot water.
    ControlledLoad,
    /// Energy that the house feeds in.
    FeedIn,
}

/// How certain a price is: a more certain price replaces a less certain one, never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A forecast.
    Forecast,
    /// The price of the current interval.
    Current,
    /// A settled price.
    Actual,
}

/// Amber's rating of how cheap a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Extremely low; formerly also called `negative`.
    #[serde(alias = "negative")]
    ExtremelyLow,
    /// Very low.
    VeryLow,
    /// Low.
    Low,
    /// Average.
    Neutral,
    /// High.
    High,
    /// A price spike.
    Spike,
}

/// Whether the price spikes, or may spike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpikeStatus {
    /// No spike.
    #[default]
    None,
    /// A spike is possible.
    Potential,
    /// There is a spike.
    Spike,
}

/// The price of one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// The channel.
    pub channel: Channel,
    /// The start of the interval, in seconds since 1970.
    pub start: i64,
    /// The length of the interval in minutes.
    pub minutes: u16,
    /// How certain it is.
    pub kind: Kind,
    /// The price in cents per kWh, with GST; negative if it is earned.
    pub per_kwh: f64,
    /// The part of it for the energy alone, in cents.
    pub spot_per_kwh: Option<f64>,
    /// Amber's own forecast, which is better than the market's.
    pub predicted: Option<f64>,
    /// The percentage of renewable energy in the grid.
    pub renewables: Option<f64>,
    /// The rating.
    pub level: Option<Level>,
    /// Whether there is a spike.
    pub spike: SpikeStatus,
    /// Whether the price of the current interval may still change.
    pub estimate: bool,
}

/// The energy through one channel of the meter in one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// The purpose of the channel.
    pub channel: Channel,
    /// The channel's name on the meter, such as E1.
    pub identifier: String,
    /// The start of the interval, in seconds since 1970.
    pub start: i64,
    /// The length of the interval in minutes.
    pub minutes: u16,
    /// The energy in kWh, never negative: the channel determines the direction.
    pub kwh: f64,
    /// The cost in cents, with GST; negative if it is earned.
    pub cost: f64,
    /// Whether the value is an estimate because the meter could not be read.
    pub estimated: bool,
}

/// A site that Amber supplies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Amber's ID of the site.
    pub id: String,
    /// The name of the grid operator.
    pub network: String,
    /// `pending`, `active` or `closed`.
    pub status: String,
    /// The length of the billed intervals in minutes.
    pub interval_minutes: u16,
}

impl Price {
    /// The end of the interval, in seconds since 1970.
    pub fn end(&self) -> i64 {
        self.start + i64::from(self.minutes) * 60
    }
}

/// The word for a value in Amber's JSON and in the cache.
pub fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

//! Amber Electric's public API: what it tells, and how it is asked.
//!
//! Source: its OpenAPI description, version 2.0.0 (<https://api.amber.com.au/v1>, documented at
//! <https://app.amber.com.au/developers/documentation>), and what it does besides: a token that it does not know is
//! 403; `startTime` is a second late (14:00:01Z) while `endTime` is exact; usage of a day comes on the next; `[]` is
//! what is not published yet as well as what is kept no longer; 50 requests in 300 s, shared with whoever else uses
//! the account.

mod client;
mod rows;

use serde::{Deserialize, Serialize};

pub use client::{Amber, AmberError, Answered, Limit};
pub use rows::{Rows, price, rows, site, usage};

/// What a meter's channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// What the house draws.
    General,
    /// What runs at certain hours only, such as hot water.
    ControlledLoad,
    /// What the house gives.
    FeedIn,
}

/// How sure a price is; the surer one replaces the other, never the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Expected.
    Forecast,
    /// Of the interval that runs.
    Current,
    /// Settled.
    Actual,
}

/// Amber's word for how cheap a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Also what was once `negative`.
    #[serde(alias = "negative")]
    ExtremelyLow,
    /// Very low.
    VeryLow,
    /// Low.
    Low,
    /// Neither.
    Neutral,
    /// High.
    High,
    /// Out of all proportion.
    Spike,
}

/// Whether the price is out of all proportion, or may become so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SpikeStatus {
    /// No.
    #[default]
    None,
    /// It may.
    Potential,
    /// It is.
    Spike,
}

/// The price of one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// Of what.
    pub channel: Channel,
    /// When the interval begins, in seconds since 1970.
    pub start: i64,
    /// How long it lasts.
    pub minutes: u16,
    /// How sure it is.
    pub kind: Kind,
    /// Cents to pay per kWh, with GST: negative for what is earned.
    pub per_kwh: f64,
    /// Cents of that for the energy alone.
    pub spot_per_kwh: Option<f64>,
    /// Amber's own forecast, better than the market's.
    pub predicted: Option<f64>,
    /// Percent of the grid's energy that is renewable.
    pub renewables: Option<f64>,
    /// How cheap that is.
    pub level: Option<Level>,
    /// Whether it is a spike.
    pub spike: SpikeStatus,
    /// Whether the current price may still change.
    pub estimate: bool,
}

/// What went through one channel of the meter in one interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// What the channel is for.
    pub channel: Channel,
    /// The channel's name on the meter, such as E1.
    pub identifier: String,
    /// When the interval begins, in seconds since 1970.
    pub start: i64,
    /// How long it lasts.
    pub minutes: u16,
    /// kWh, never negative: the channel tells the direction.
    pub kwh: f64,
    /// Cents to pay, with GST: negative for what is earned.
    pub cost: f64,
    /// Whether the meter could not be read, and this is a guess.
    pub estimated: bool,
}

/// A place that Amber supplies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Amber's id.
    pub id: String,
    /// The grid's name.
    pub network: String,
    /// `pending`, `active` or `closed`.
    pub status: String,
    /// Length of the intervals that are billed.
    pub interval_minutes: u16,
}

impl Price {
    /// When the interval ends, in seconds since 1970.
    pub fn end(&self) -> i64 {
        self.start + i64::from(self.minutes) * 60
    }
}

/// The word that stands for a value in Amber's JSON and in the cache.
pub fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

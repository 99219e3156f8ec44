//! A simulated house and market, for trying the service without an account.

use kit::clock;

use crate::amber::{Channel, Kind, Level, Price, Site, SpikeStatus, Usage};
use crate::cache::Cache;
use crate::sync::{KEY, State};

const DAY: i64 = 86_400;
const INTERVAL: i64 = 1800;

/// Fills the cache as a sync at this time, in seconds since 1970, would have done.
pub fn fill(cache: &mut Cache, now: i64) -> anyhow::Result<()> {
    let this = now - now % INTERVAL;
    let starts = |from: i64, to: i64| (from..to).step_by(INTERVAL as usize);
    let prices: Vec<Price> = starts(this - 2 * DAY, this + DAY)
        .flat_map(|start| {
            let kind = match start {
                past if past < this => Kind::Actual,
                present if present == this => Kind::Current,
                _ => Kind::Forecast,
            };
            [
                price(start, kind, Channel::General),
                price(start, kind, Channel::FeedIn),
            ]
        })
        .collect();
    cache.keep_prices(&prices)?;
    let usage: Vec<Usage> = starts(this - 8 * DAY, this).flat_map(usage).collect();
    cache.keep_usage(&usage)?;
    let site = Site {
        id: "SIMULATED".into(),
        network: "made up".into(),
        status: "active".into(),
        interval_minutes: 30,
    };
    cache.set(KEY, &State::fresh(clock::now_ms(), site))
}

/// Hours since midnight in the east of Australia.
fn hour(start: i64) -> f64 {
    ((start + 10 * 3600) % DAY) as f64 / 3600.0
}

/// A smooth peak around an hour of the day.
fn bump(hour: f64, at: f64, width: f64) -> f64 {
    (-((hour - at) / width).powi(2)).exp()
}

/// Low prices around noon, high ones in the evening, and a spike on some days.
fn price(start: i64, kind: Kind, channel: Channel) -> Price {
    let hour = hour(start);
    let wobble = ((start / INTERVAL * 7919) % 100) as f64 / 25.0;
    let is_spike = (start / DAY) % 3 == 0 && (18.0..18.9).contains(&hour);
    let spot = 9.0 - 13.0 * bump(hour, 12.5, 3.0)
        + 22.0 * bump(hour, 18.5, 2.0)
        + 8.0 * bump(hour, 7.5, 1.5)
        + wobble
        + if is_spike { 180.0 } else { 0.0 };
    let per_kwh = match channel {
        Channel::FeedIn => -spot * 0.95,
        _ => spot + 14.0,
    };
    let level = match spot + 14.0 {
        p if p > 100.0 => Level::Spike,
        p if p > 38.0 => Level::High,
        p if p > 28.0 => Level::Neutral,
        p if p > 20.0 => Level::Low,
        p if p > 12.0 => Level::VeryLow,
        _ => Level::ExtremelyLow,
    };
    Price {
        channel,
        start,
        minutes: (INTERVAL / 60) as u16,
        kind,
        per_kwh: (per_kwh * 100.0).round() / 100.0,
        spot_per_kwh: Some(spot),
        predicted: None,
        renewables: Some((25.0 + 55.0 * bump(hour, 12.5, 4.0)).round()),
        level: Some(level),
        spike: if is_spike {
            SpikeStatus::Spike
        } else {
            SpikeStatus::None
        },
        estimate: kind != Kind::Actual,
    }
}

fn usage(start: i64) -> [Usage; 2] {
    let hour = hour(start);
    let sun = 1.6 * bump(hour, 12.5, 2.5);
    let drawn = 0.15 + 0.5 * bump(hour, 7.5, 1.0) + 0.9 * bump(hour, 19.0, 2.0);
    let of = |channel, identifier: &str, kwh: f64| Usage {
        channel,
        identifier: identifier.into(),
        start,
        minutes: (INTERVAL / 60) as u16,
        kwh,
        cost: kwh * price(start, Kind::Actual, channel).per_kwh,
        estimated: false,
    };
    [
        of(Channel::General, "E1", (drawn - sun).max(0.02)),
        of(Channel::FeedIn, "B1", (sun - drawn).max(0.0)),
    ]
}

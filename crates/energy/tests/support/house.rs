//! A house with a dashboard, in a time zone where it is always a little after five in the afternoon.

#![allow(dead_code, reason = "each who tells a story uses its part")]

use energy::amber::{Channel, Kind, Level, Price, Site, SpikeStatus, Usage};
use energy::cache::Cache;
use energy::config::{CACHE_FILE, Config};
use energy::sync::{KEY, State};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use kit::testing::{Answer, Running};

const HOUR: i64 = 3600;
const HALF: i64 = 1800;

/// What the cache has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Story {
    /// Everything: high prices in the evening, and 10 cents from 2 to 3:30 at night.
    Usual,
    /// No prices from 8 to 11 in the evening, no usage of yesterday from 9 to 2 in the afternoon.
    Gaps,
    /// 15 dollars from 6 to 7 in the evening; from 6 to 7 in the morning, 150 cents are earned by using energy.
    Spike,
    /// What was known nine hours ago, which ends at 7 in the evening.
    Old,
    /// Nothing.
    New,
}

/// A dashboard with its cache.
pub struct House {
    dashboard: Running,
    zone: TimeZone,
    _directory: tempfile::TempDir,
}

impl House {
    /// One whose cache has this.
    pub fn new(story: Story) -> Self {
        let name = where_it_is_five(Timestamp::from_millisecond(kit::clock::now_ms()).unwrap());
        let zone = TimeZone::get(&name).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(CACHE_FILE);
        fill(&mut Cache::open(&file).unwrap(), story, &now(&zone));
        let mut config = Config::default();
        config.cache.file = Some(file);
        config.display.time_zone = Some(name);
        House {
            dashboard: Running::start("energy", config, None, energy::run),
            zone,
            _directory: directory,
        }
    }

    /// The address of a path.
    pub fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.dashboard.address)
    }

    /// The answer to a GET request.
    pub fn get(&self, path: &str) -> Answer {
        self.dashboard.get(path)
    }

    /// The name of today.
    pub fn today(&self) -> String {
        now(&self.zone).strftime("%A").to_string()
    }

    /// The name of tomorrow.
    pub fn tomorrow(&self) -> String {
        now(&self.zone)
            .saturating_add(1.day())
            .strftime("%A")
            .to_string()
    }

    /// Ends the dashboard.
    pub fn stop(self) {
        self.dashboard.stop();
    }
}

fn now(zone: &TimeZone) -> Zoned {
    let now = Timestamp::from_millisecond(kit::clock::now_ms()).unwrap();
    now.to_zoned(zone.clone())
}

/// The zone where it is between five and six in the afternoon. The signs in these names are the other way round.
fn where_it_is_five(now: Timestamp) -> String {
    let hour = i64::from(now.to_zoned(TimeZone::UTC).hour());
    let ahead = (17 - hour).rem_euclid(24);
    match if ahead > 12 { ahead - 24 } else { ahead } {
        0 => "Etc/GMT".into(),
        east @ 1.. => format!("Etc/GMT-{east}"),
        west => format!("Etc/GMT+{}", -west),
    }
}

fn fill(cache: &mut Cache, story: Story, now: &Zoned) {
    if story == Story::New {
        return;
    }
    let midnight = now.start_of_day().unwrap().timestamp().as_second();
    let now = now.timestamp().as_second();
    let this = now - now.rem_euclid(HALF);
    let end = match story {
        Story::Old => midnight + 19 * HOUR,
        _ => this + 16 * HOUR,
    };
    let prices: Vec<Price> = (midnight..end)
        .step_by(HALF as usize)
        .filter(|start| story != Story::Gaps || !(20..23).contains(&((start - midnight) / HOUR)))
        .flat_map(|start| {
            let kind = match start {
                _ if story == Story::Old && start >= midnight + 8 * HOUR => Kind::Forecast,
                past if past < this => Kind::Actual,
                present if present == this => Kind::Current,
                _ => Kind::Forecast,
            };
            let cents = cents(story, (start - midnight) as f64 / HOUR as f64);
            [
                price(Channel::General, start, kind, cents),
                price(Channel::FeedIn, start, kind, -4.5),
            ]
        })
        .collect();
    cache.keep_prices(&prices).unwrap();
    let usage: Vec<Usage> = (0..48)
        .filter(|half| story != Story::Gaps || !(18..28).contains(half))
        .flat_map(|half| {
            let start = midnight - 24 * HOUR + half * HALF;
            let sunny = (20..30).contains(&half);
            let of = |channel, identifier: &str, kwh: f64, cents: f64| Usage {
                channel,
                identifier: identifier.into(),
                start,
                minutes: 30,
                kwh,
                cost: kwh * cents,
                estimated: false,
            };
            [
                of(
                    Channel::General,
                    "E1",
                    if half > 34 { 0.9 } else { 0.3 },
                    25.0,
                ),
                of(Channel::FeedIn, "B1", if sunny { 1.1 } else { 0.0 }, -4.5),
            ]
        })
        .collect();
    cache.keep_usage(&usage).unwrap();
    let site = Site {
        id: "SITE".into(),
        network: "Ausgrid".into(),
        status: "active".into(),
        interval_minutes: 30,
    };
    let mut state = State::fresh(now * 1000, site.clone());
    if story == Story::Old {
        state = State::fresh((now - 9 * HOUR) * 1000, site);
        state.error = Some("cannot reach Amber".into());
    }
    cache.set(KEY, &state).unwrap();
}

/// The price at this many hours after today's midnight.
fn cents(story: Story, hour: f64) -> f64 {
    match hour {
        18.0..18.5 if story == Story::Spike => 1540.3,
        18.5..19.0 if story == Story::Spike => 620.0,
        30.0..31.0 if story == Story::Spike => -150.0,
        26.0..27.5 => 10.0,
        16.0..21.0 => 45.0,
        _ => 25.0,
    }
}

fn price(channel: Channel, start: i64, kind: Kind, per_kwh: f64) -> Price {
    Price {
        channel,
        start,
        minutes: 30,
        kind,
        per_kwh,
        spot_per_kwh: None,
        predicted: None,
        renewables: Some(43.0),
        level: Some(match per_kwh {
            cents if cents > 100.0 => Level::Spike,
            cents if cents > 38.0 => Level::High,
            cents if cents > 20.0 => Level::Low,
            _ => Level::ExtremelyLow,
        }),
        spike: if per_kwh > 100.0 {
            SpikeStatus::Spike
        } else {
            SpikeStatus::None
        },
        estimate: kind != Kind::Actual,
    }
}

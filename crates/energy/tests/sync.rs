//! Single runs of the sync, with an Amber that answers well, badly or not at all.

#[path = "support/amber.rs"]
mod amber;

use std::time::{Duration, Instant};

use amber::{FakeAmber, Mood, SITE, TOKEN, cents};
use energy::amber::{Channel, Kind};
use energy::cache::Cache;
use energy::config::Config;
use energy::sync::{KEY, Outcome, State, run_once};
use kit::Secret;

/// 2026-11-25 13:02:30 in Sydney, in milliseconds since 1970.
const NOW: i64 = 1_795_572_150_000;
const MINUTE: i64 = 60_000;
const INTERVAL: i64 = 300;

/// A house with a cache, and a server that plays Amber.
struct House {
    amber: FakeAmber,
    cache: Cache,
    config: Config,
    now: i64,
}

impl House {
    fn new() -> Self {
        let amber = FakeAmber::start();
        amber.is_at(NOW / 1000);
        let mut config = Config::default();
        config.amber.url = amber.url("127.0.0.1");
        config.amber.timeout_seconds = 20;
        config.cache.retention_days = 20;
        House {
            amber,
            cache: Cache::in_memory().unwrap(),
            config,
            now: NOW,
        }
    }

    fn look(&mut self) -> Outcome {
        self.look_with(TOKEN)
    }

    fn look_with(&mut self, token: &str) -> Outcome {
        let token = (!token.is_empty()).then(|| Secret::new(token));
        // A second between attempts lasts a millisecond.
        run_once(
            &mut self.cache,
            &self.config,
            token,
            self.now,
            Duration::from_millis(1),
        )
        .unwrap()
    }

    /// Sets the clocks of the house and of Amber forward.
    fn later(&mut self, minutes: i64) {
        self.now += minutes * MINUTE;
        self.amber.is_at(self.now / 1000);
    }

    fn state(&self) -> State {
        self.cache.setting(KEY).unwrap()
    }

    /// The price of drawn energy in the current interval.
    fn price(&self) -> Option<(f64, Kind)> {
        let now = self.now / 1000;
        let prices = self.cache.prices(now, now + 1).unwrap();
        let general = prices
            .into_iter()
            .find(|price| price.channel == Channel::General)?;
        Some((general.per_kwh, general.kind))
    }

    /// Syncs until there are no past data left to request.
    fn catch_up(&mut self) {
        for _ in 0..8 {
            let before = self.amber.asked().len();
            assert_eq!(self.look(), Outcome::Done);
            self.amber.allows(50);
            self.later(5);
            if self.amber.asked().len() == before + 1 {
                return;
            }
        }
        panic!("it never comes to an end: {:?}", self.asked(0));
    }

    /// The paths asked for since the last call, without their queries.
    fn asked(&self, since: usize) -> Vec<String> {
        let all = self.amber.asked();
        let path = |asked: &String| asked.split('?').next().unwrap().replace(SITE, "SITE");
        all[since..].iter().map(path).collect()
    }
}

#[test]
fn the_price_now_comes_first_and_the_past_after_it() {
    let mut house = House::new();
    house.config.cache.retention_days = 730;
    assert_eq!(house.look(), Outcome::Done);
    assert_eq!(
        house.price(),
        Some((cents(NOW / 1000 / INTERVAL * INTERVAL), Kind::Current))
    );
    let asked = house.asked(0);
    assert_eq!(
        asked[..3],
        ["/sites", "/sites/SITE/prices/current", "/sites/SITE/usage"]
    );
    assert_eq!(
        asked.len(),
        6,
        "four weeks of the past in one run: {asked:?}"
    );
    let state = house.state();
    assert_eq!(
        (state.success, state.error, state.attempts),
        (Some(NOW), None, 1)
    );
    assert_eq!(state.site.unwrap().network, "Ausgrid");
}

#[test]
fn a_new_device_knows_yesterday_after_its_first_look_and_asks_for_no_day_twice() {
    use energy::days;
    let mut house = House::new();
    house.config.cache.retention_days = 730;
    house.look();
    let today = days::market_day(NOW / 1000);
    let yesterday = days::after(today, -1);
    let (_, usage) = house.cache.settled(yesterday, yesterday).unwrap();
    assert!(usage.contains(&yesterday));
    house.later(5);
    house.catch_up();
    let asked = house.amber.asked();
    let mut past: Vec<String> = (asked.iter())
        .filter(|path| path.contains("/usage?"))
        .flat_map(|path| {
            let date = |name: &str| path.split_once(name).unwrap().1[..10].parse().unwrap();
            days::every(date("startDate="), date("endDate=")).map(|day| day.to_string())
        })
        .collect();
    past.sort();
    let all = days::every(days::after(today, -89), today).map(|day| day.to_string());
    assert!(past.into_iter().eq(all), "{asked:?}");
}

#[test]
fn in_the_long_run_one_question_does() {
    let mut house = House::new();
    house.catch_up();
    let before = house.amber.asked().len();
    let (prices, usage) = house.cache.count().unwrap();
    // 19 days of usage and 7 of prices, two channels, 288 intervals a day.
    assert_eq!(usage, 19 * 2 * 288);
    assert!(prices >= 7 * 2 * 288 + 2 * 16 * 12, "{prices}");
    for _ in 0..12 {
        assert_eq!(house.look(), Outcome::Done);
        house.later(5);
    }
    let asked = house.asked(before);
    let usage = asked.iter().filter(|path| path.ends_with("/usage")).count();
    assert_eq!((asked.len(), usage), (14, 2), "an hour: {asked:?}");
}

#[test]
fn a_day_that_was_missed_is_fetched_when_amber_can_be_reached_again() {
    let mut house = House::new();
    house.catch_up();
    house.later(4 * 24 * 60);
    house.catch_up();
    let end = house.now / 1000 / INTERVAL * INTERVAL - 600;
    let prices = house.cache.prices(end - 5 * 86_400, end).unwrap();
    let actual = prices
        .iter()
        .filter(|price| price.kind == Kind::Actual && price.channel == Channel::General);
    assert_eq!(actual.count(), 5 * 288, "no hole");
}

#[test]
fn a_settled_price_is_never_replaced_by_a_guess() {
    let mut house = House::new();
    house.look();
    house.later(10);
    house.look();
    let then = NOW / 1000;
    let settled = house.cache.prices(then, then + 1).unwrap();
    assert!(
        settled.iter().all(|price| price.kind == Kind::Actual),
        "{settled:?}"
    );
    // Amber's clock is set back: it calls the same interval a forecast.
    house.amber.is_at(then - 3600);
    house.look();
    assert_eq!(house.cache.prices(then, then + 1).unwrap(), settled);
}

#[test]
fn without_a_token_amber_is_not_asked_and_someone_is_told_what_to_do() {
    let mut house = House::new();
    let Outcome::Failed(why) = house.look_with("") else {
        panic!("without a token?")
    };
    assert!(why.contains("energy.amber-token in lichen.toml"), "{why}");
    assert_eq!(house.amber.asked().len(), 0);
    assert_eq!(house.state().error, Some(why));
}

#[test]
fn a_refused_token_is_not_shown_again_but_another_one_is_tried_at_once() {
    let mut house = House::new();
    let Outcome::Failed(why) = house.look_with("psk_old") else {
        panic!("any token?")
    };
    assert!(
        why.starts_with("Amber refuses the token (status 403): set a valid one"),
        "{why}"
    );
    assert_eq!(house.amber.asked().len(), 1, "it was asked once");
    for _ in 0..5 {
        house.later(5);
        assert!(matches!(house.look_with("psk_old"), Outcome::NotYet(_)));
    }
    assert_eq!(house.amber.asked().len(), 1);
    assert_eq!(house.look_with(TOKEN), Outcome::Done);
    // Later the old token is tried again, too, since the fault may have been Amber's.
    let before = house.amber.asked().len();
    house.look_with("psk_old");
    house.later(61);
    house.look_with("psk_old");
    assert_eq!(house.amber.asked().len(), before + 2);
    assert!(
        !format!("{:?}", house.state()).contains("psk_"),
        "a token is not kept"
    );
}

#[test]
fn a_limit_is_kept_across_runs_for_as_long_as_amber_says() {
    for (headers, minutes) in [
        ("Retry-After: 540\r\n", 9),
        ("RateLimit-Reset: 240\r\n", 4),
        ("", 5),
    ] {
        let mut house = House::new();
        house.look();
        house.amber.becomes(Mood::Status(429, headers.into()));
        house.later(5);
        let before = house.amber.asked().len();
        let Outcome::Failed(why) = house.look() else {
            panic!("429 is no answer")
        };
        assert_eq!(
            why,
            format!(
                "Amber's rate limit is reached: retry after {} s",
                minutes * 60
            )
        );
        assert_eq!(house.amber.asked().len(), before + 1, "asked once");
        house.amber.becomes(Mood::Friendly);
        house.later(minutes - 1);
        assert!(matches!(house.look(), Outcome::NotYet(_)));
        assert_eq!(house.amber.asked().len(), before + 1);
        house.later(1);
        assert_eq!(house.look(), Outcome::Done);
        assert_eq!(house.state().error, None);
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_us() {
    let mut house = House::new();
    house
        .amber
        .becomes(Mood::Status(429, "Retry-After: 3600\r\n".into()));
    house.look();
    house.amber.becomes(Mood::Friendly);
    house.later(-600);
    assert_eq!(house.look(), Outcome::Done);
}

#[test]
fn what_is_left_of_a_shared_limit_is_left_to_others() {
    let mut house = House::new();
    house.amber.allows(13);
    assert_eq!(house.look(), Outcome::Done);
    assert_eq!(
        house.asked(0).len(),
        3,
        "site, price now, one week: {:?}",
        house.asked(0)
    );
}

#[test]
fn a_server_that_is_out_of_order_is_tried_three_times_and_then_left_alone() {
    let mut house = House::new();
    house.look();
    let price = house.price();
    for status in [500, 502, 503] {
        house.amber.becomes(Mood::Status(status, String::new()));
        let before = house.amber.asked().len();
        assert_eq!(
            house.look(),
            Outcome::Failed(format!("Amber's server failed (status {status})"))
        );
        assert_eq!(house.amber.asked().len(), before + 3);
    }
    // If Amber says how long it will take, nothing is sent before that, neither now nor in the next run.
    house
        .amber
        .becomes(Mood::Status(503, "Retry-After: 600\r\n".into()));
    let before = house.amber.asked().len();
    house.look();
    house.later(5);
    assert!(matches!(house.look(), Outcome::NotYet(_)));
    assert_eq!(house.amber.asked().len(), before + 1);
    assert!(house.price().is_some(), "the cache still knows: {price:?}");
    assert_eq!(house.state().success, Some(NOW), "and since when");
}

#[test]
fn rows_that_make_no_sense_are_counted_and_the_others_kept() {
    let mut house = House::new();
    house.look();
    house.later(5);
    house.amber.becomes(Mood::Spoilt);
    assert_eq!(house.look(), Outcome::Done);
    let rejected = house.state().rejected;
    assert!(rejected > 50, "{rejected}");
    assert!(house.price().is_some());
}

#[test]
fn a_body_that_breaks_off_is_used_as_far_as_it_goes() {
    let mut house = House::new();
    house.look();
    house.later(5);
    house.amber.becomes(Mood::Cut(5000));
    assert_eq!(house.look(), Outcome::Done);
    assert_eq!(
        house.price().unwrap().1,
        Kind::Current,
        "it was within the first bytes"
    );
    // Each answer is cut off within a row: the current prices, and the past weeks of usage and prices.
    let rejected = house.state().rejected;
    assert!((1..=5).contains(&rejected), "{rejected}");
}

#[test]
fn nonsense_leaves_the_cache_as_it_is() {
    let mut house = House::new();
    house.look();
    let before = (house.cache.count().unwrap(), house.price());
    for body in [
        "",
        "<html>busy</html>",
        r#"{"message":"hello"}"#,
        "[",
        "[1,2,3]",
        "[]",
        "null",
    ] {
        house.amber.becomes(Mood::Says(body.into()));
        let outcome = house.look();
        assert!(matches!(outcome, Outcome::Failed(_)), "{body}: {outcome:?}");
        assert_eq!(
            (house.cache.count().unwrap(), house.price()),
            before,
            "{body}"
        );
    }
}

#[test]
fn requests_that_amber_does_not_understand_are_told_with_its_words() {
    let mut house = House::new();
    house.config.amber.site_id = Some("01NOSUCHSITE".into());
    assert_eq!(
        house.look(),
        Outcome::Failed("Amber does not know this site".into())
    );
    house.config.amber.site_id = None;
    house.amber.becomes(Mood::Status(422, String::new()));
    let outcome = house.look();
    assert_eq!(
        outcome,
        Outcome::Failed(r#"Amber answered with status 422: {"message":"no"}"#.into())
    );
}

#[test]
fn a_silent_server_costs_its_time_limit_and_no_more() {
    let mut house = House::new();
    house.config.amber.timeout_seconds = 1;
    house.amber.becomes(Mood::Silent);
    let started = Instant::now();
    assert_eq!(
        house.look(),
        Outcome::Failed("Amber did not answer within 1 s".into())
    );
    let took = started.elapsed();
    assert!(took.as_secs() >= 3, "three attempts: {took:?}");
}

#[test]
fn without_a_network_the_cache_knows_since_when_and_recovers_with_the_first_look() {
    let mut house = House::new();
    house.look();
    house.amber.down();
    house.later(60);
    // This is the message for people; the journal has the details.
    assert_eq!(house.look(), Outcome::Failed("cannot reach Amber".into()));
    assert_eq!(house.state().success, Some(NOW));
    assert_eq!(
        house.price().unwrap().1,
        Kind::Forecast,
        "what was expected of now an hour ago"
    );
    house.amber.up();
    assert_eq!(house.look(), Outcome::Done);
    assert_eq!(house.price().unwrap().1, Kind::Current);
}

#[test]
fn a_site_that_goes_from_30_minutes_to_5_keeps_what_was_settled() {
    use energy::amber::Price;
    let mut house = House::new();
    let half_hour = |start: i64, kind: Kind| Price {
        channel: Channel::General,
        start,
        minutes: 30,
        kind,
        per_kwh: 99.0,
        spot_per_kwh: None,
        predicted: None,
        renewables: None,
        level: None,
        spike: Default::default(),
        estimate: false,
    };
    let this = NOW / 1000 / 1800 * 1800;
    let old = [
        half_hour(this - 1800, Kind::Actual),
        half_hour(this, Kind::Current),
        half_hour(this + 1800, Kind::Forecast),
    ];
    house.cache.keep_prices(&old).unwrap();
    assert_eq!(house.look(), Outcome::Done);
    let general = |from, to| {
        let mut prices = house.cache.prices(from, to).unwrap();
        prices.retain(|price| price.channel == Channel::General);
        prices
    };
    // Amber settles the old half hour again in intervals of 5 minutes. A value that is at least as certain replaces it.
    let ahead = general(this, this + 3600);
    assert!(ahead.iter().all(|price| price.minutes == 5), "{ahead:?}");
    assert_eq!(ahead.len(), 12);
}

#[test]
fn days_are_billed_whole_when_clocks_are_changed() {
    use energy::days;
    use jiff::tz::TimeZone;
    let sydney = TimeZone::get("Australia/Sydney").unwrap();
    // A few days after clocks went forward (4 October) and back (5 April) in 2026.
    for (now, day, hours) in [(1_791_430_200, (10, 4), 23), (1_775_700_600, (4, 5), 25)] {
        let mut house = House::new();
        house.now = now * 1000;
        house.amber.is_at(now);
        house.catch_up();
        let span = days::span(jiff::civil::date(2026, day.0, day.1), &sydney);
        let totals = house.cache.totals(span.0, span.1).unwrap().unwrap();
        assert_eq!(totals.minutes, hours * 60, "{day:?}");
        assert!(
            (totals.kwh - 0.1 * 12.0 * hours as f64).abs() < 1e-6,
            "{totals:?}"
        );
        assert!(
            (totals.fed_in_kwh - 0.05 * 12.0 * hours as f64).abs() < 1e-6,
            "{totals:?}"
        );
        assert!(totals.cost > 0.0 && totals.earned > 0.0);
    }
}

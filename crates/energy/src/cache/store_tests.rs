//! The cache keeps the more certain value, and deletes only what is old.

use super::*;
use crate::amber::{Channel, SpikeStatus};

fn price(start: i64, kind: Kind, per_kwh: f64) -> Price {
    Price {
        channel: Channel::General,
        start,
        minutes: 5,
        kind,
        per_kwh,
        spot_per_kwh: None,
        predicted: None,
        renewables: None,
        level: None,
        spike: SpikeStatus::None,
        estimate: false,
    }
}

fn used(start: i64, kwh: f64, estimated: bool) -> Usage {
    Usage {
        channel: Channel::General,
        identifier: "E1".into(),
        start,
        minutes: 5,
        kwh,
        cost: kwh * 20.0,
        estimated,
    }
}

#[test]
fn what_is_surer_stays_whatever_order_answers_come_in() {
    let mut cache = Cache::in_memory().unwrap();
    let now = |cache: &Cache| cache.prices(0, 300).unwrap()[0].per_kwh;
    assert_eq!(
        cache.keep_prices(&[price(0, Kind::Actual, 10.0)]).unwrap(),
        1
    );
    assert_eq!(
        cache
            .keep_prices(&[price(0, Kind::Forecast, 99.0)])
            .unwrap(),
        0
    );
    assert_eq!(now(&cache), 10.0);
    assert_eq!(
        cache.keep_prices(&[price(0, Kind::Actual, 11.0)]).unwrap(),
        1,
        "Amber corrects itself"
    );
    assert_eq!(
        cache.keep_prices(&[price(0, Kind::Actual, 11.0)]).unwrap(),
        0,
        "no news, no write"
    );
    cache.keep_usage(&[used(0, 1.0, false)]).unwrap();
    assert_eq!(cache.keep_usage(&[used(0, 2.0, true)]).unwrap(), 0);
    assert_eq!(cache.usage(0, 1).unwrap()[0].kwh, 1.0);
}

#[test]
fn settled_intervals_of_another_length_are_not_pushed_out_by_guesses() {
    let mut cache = Cache::in_memory().unwrap();
    let half_hour = Price {
        minutes: 30,
        ..price(0, Kind::Actual, 10.0)
    };
    cache.keep_prices(std::slice::from_ref(&half_hour)).unwrap();
    cache
        .keep_prices(&[
            price(300, Kind::Forecast, 99.0),
            price(1800, Kind::Forecast, 12.0),
        ])
        .unwrap();
    let all = cache.prices(0, 3600).unwrap();
    assert_eq!(all, [half_hour, price(1800, Kind::Forecast, 12.0)]);
}

#[test]
fn a_day_is_settled_when_every_channel_has_all_of_it() {
    let mut cache = Cache::in_memory().unwrap();
    let day = jiff::civil::date(2026, 9, 24);
    let (from, to) = days::market(day);
    let starts: Vec<i64> = (from..to).step_by(300).collect();
    let prices: Vec<Price> = starts
        .iter()
        .map(|s| price(*s, Kind::Actual, 1.0))
        .collect();
    let settled = |cache: &Cache| {
        let (prices, usage) = cache.settled(day, day).unwrap();
        (prices.len(), usage.len())
    };
    cache.keep_prices(&prices[1..]).unwrap();
    assert_eq!(settled(&cache), (0, 0));
    cache.keep_prices(&prices).unwrap();
    assert_eq!(settled(&cache), (1, 0));
    let mut usage: Vec<Usage> = starts.iter().map(|s| used(*s, 0.1, false)).collect();
    usage[7].estimated = true;
    cache.keep_usage(&usage).unwrap();
    assert_eq!(settled(&cache), (1, 0), "a guess is not for good");
    usage[7].estimated = false;
    cache.keep_usage(&usage).unwrap();
    assert_eq!(settled(&cache), (1, 1));
    cache
        .keep_prices(&[Price {
            channel: Channel::FeedIn,
            ..prices[0].clone()
        }])
        .unwrap();
    assert_eq!(settled(&cache), (0, 1), "the other channel has a hole");
}

#[test]
fn the_old_is_forgotten_by_ambers_time_not_by_ours() {
    let mut cache = Cache::in_memory().unwrap();
    let day = 86_400;
    cache
        .keep_prices(&[
            price(0, Kind::Actual, 1.0),
            price(9 * day, Kind::Actual, 1.0),
        ])
        .unwrap();
    cache.keep_usage(&[used(day, 1.0, false)]).unwrap();
    assert_eq!(
        cache.forget(10).unwrap(),
        0,
        "nothing is older than ten days before the newest"
    );
    cache
        .keep_prices(&[price(12 * day, Kind::Forecast, 1.0)])
        .unwrap();
    assert_eq!(
        cache.forget(10).unwrap(),
        0,
        "a forecast is no news of the past"
    );
    cache
        .keep_prices(&[price(12 * day, Kind::Actual, 1.0)])
        .unwrap();
    assert_eq!(cache.forget(10).unwrap(), 2);
    assert_eq!(cache.count().unwrap(), (2, 0));
}

#[test]
fn many_may_be_the_first_to_open_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(crate::config::CACHE_FILE);
    let threads: Vec<_> = (0..8)
        .map(|start| {
            let path = path.clone();
            std::thread::spawn(move || {
                Cache::open(&path)
                    .unwrap()
                    .keep_prices(&[price(start * 300, Kind::Actual, 1.0)])
                    .unwrap()
            })
        })
        .collect();
    assert_eq!(
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<usize>(),
        8
    );
}

#[test]
fn the_module_declares_the_version_of_the_schema() {
    let module = include_str!("../../../../modules/services/energy.nix");
    assert!(module.contains(&format!("version = \"{}\";", SCHEMA.version)));
}

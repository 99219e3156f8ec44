use std::collections::BTreeSet;
use std::process::Command;

use jiff::ToSpan;
use proptest::prelude::*;

use super::*;

const DAY_MS: i64 = 86_400_000;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(text: &str) -> Calendar {
    text.parse().unwrap()
}

fn schedule(windows: &[(&str, &str)], zone: &str) -> Schedule {
    let window = |(start, stop): &(&str, &str)| Window {
        start: calendar(start),
        stop: calendar(stop),
    };
    Schedule::new(&ScheduleSettings {
        always: false,
        windows: windows.iter().map(window).collect(),
        time_zone: Some(zone.into()),
    })
}

#[test]
fn the_moments_before_and_after_a_given_one() {
    // 2026-11-30 is a Monday.
    let now = at("2026-11-30T09:00:00Z");
    for (text, last, next) in [
        (
            "Mon..Fri 08:00",
            "2026-11-30T08:00:00Z",
            "2026-12-01T08:00:00Z",
        ),
        (
            "Sat,Sun 10:30",
            "2026-11-29T10:30:00Z",
            "2026-12-05T10:30:00Z",
        ),
        (
            "*-*-01 22:15:30",
            "2026-11-01T22:15:30Z",
            "2026-12-01T22:15:30Z",
        ),
        (
            "02-29 12:00",
            "2024-02-29T12:00:00Z",
            "2028-02-29T12:00:00Z",
        ),
        ("*:0/15", "2026-11-30T09:00:00Z", "2026-11-30T09:15:00Z"),
        ("8..17/3:30", "2026-11-30T08:30:00Z", "2026-11-30T11:30:00Z"),
        ("*:*:50", "2026-11-30T08:59:50Z", "2026-11-30T09:00:50Z"),
        ("daily", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("Mon", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"),
        (
            "Tue *-*-01..07 6:00",
            "2026-11-03T06:00:00Z",
            "2026-12-01T06:00:00Z",
        ),
    ] {
        let calendar = calendar(text);
        let found = (
            calendar.last(now, &TimeZone::UTC),
            calendar.next(now, &TimeZone::UTC),
        );
        assert_eq!(found, (Some(at(last)), Some(at(next))), "{text}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (text, complaint) in [
        ("", "an expression such as `Mon..Fri 08:00` is needed"),
        ("Mon..Fry 08:00", "`Fry` is not a weekday"),
        ("Fri..Mon 08:00", "`Fri..Mon` runs backwards"),
        ("25:00", "25 is no hour: it must be between 0 and 23"),
        (
            "08:00 Europe/Berlin",
            "a time zone is set for the whole schedule",
        ),
        ("08:00 09:00", "`09:00` is neither a date nor a time"),
        ("2027-01-01 08:00", "a year (2027) is not supported: use *"),
        ("*-*~01 08:00", "days counted from the end of a month (~)"),
        ("*-02-30 08:00", "never comes"),
        ("08:00:00.5", "fractions of a second"),
        ("08:0/0", "has no step"),
        ("sometimes", "`sometimes` is not a weekday"),
    ] {
        let refused = text.parse::<Calendar>().unwrap_err();
        assert!(refused.contains(complaint), "{text}: {refused}");
    }
}

#[test]
fn local_times_follow_summer_time() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let eight = calendar("08:00");
    let next = |now| eight.next(at(now), &zone);
    assert_eq!(
        next("2026-03-28T12:00:00Z"),
        Some(at("2026-03-29T06:00:00Z"))
    );
    assert_eq!(
        next("2026-10-24T12:00:00Z"),
        Some(at("2026-10-25T07:00:00Z"))
    );
    // 02:30 comes twice on that day: the first time counts.
    let twice = calendar("02:30");
    let last = |now| twice.last(at(now), &zone);
    assert_eq!(
        last("2026-10-25T01:10:00Z"),
        Some(at("2026-10-25T00:30:00Z"))
    );
    // 02:30 is skipped on that day: it is when clocks show 03:30.
    let skipped = calendar("02:30");
    let last = |now| skipped.last(at(now), &zone);
    assert_eq!(
        last("2026-03-29T01:15:00Z"),
        Some(at("2026-03-28T01:30:00Z"))
    );
    assert_eq!(
        last("2026-03-29T01:45:00Z"),
        Some(at("2026-03-29T01:30:00Z"))
    );
}

/// What systemd says is the next moment.
fn by_systemd(text: &str, now: Timestamp) -> Option<String> {
    let output = Command::new("systemd-analyze")
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .arg("calendar")
        .arg(format!("--base-time={}", now.strftime("%Y-%m-%d %H:%M:%S")))
        .arg(text)
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Next elapse: "));
    Some(line?.to_owned())
}

#[test]
fn systemd_says_the_same() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("not compared: there is no systemd-analyze here");
        return;
    }
    for now in [
        "2026-11-30T09:00:00Z",
        "2024-02-28T23:59:59Z",
        "2026-12-31T23:00:30Z",
    ] {
        for text in [
            "Mon..Fri 08:00",
            "Mon,Wed..Thu,Sun 23:59:59",
            "*-*-01 00:00",
            "02-29 12:00",
            "*:0/15",
            "8..17/3:30",
            "*-1,7-1..7/2 6:5:4",
            "Sunday *-*-25..31 *:30:15",
            "weekly",
            "quarterly",
        ] {
            let now = at(now);
            let ours = calendar(text).next(now, &TimeZone::UTC).unwrap();
            let ours = ours.strftime("%a %Y-%m-%d %H:%M:%S UTC").to_string();
            assert_eq!(by_systemd(text, now), Some(ours), "{text} after {now}");
        }
    }
}

#[test]
fn a_device_that_boots_within_a_window_records() {
    let schedule = schedule(
        &[
            ("Mon..Fri 08:00", "Mon..Fri 22:00"),
            ("Sat 10:00", "Sat 12:00"),
        ],
        "UTC",
    );
    for (now, records) in [
        ("2026-11-30T07:59:59Z", false),
        ("2026-11-30T08:00:00Z", true),
        ("2026-11-30T21:59:59Z", true),
        ("2026-11-30T22:00:00Z", false),
        ("2026-12-05T09:00:00Z", false),
        ("2026-12-05T11:00:00Z", true),
        ("2026-12-06T11:00:00Z", false),
    ] {
        let plan = schedule.plan(at(now).as_millisecond()).unwrap();
        assert_eq!(plan.on, records, "{now}");
    }
}

#[test]
fn windows_may_overlap_and_reach_over_midnight() {
    let windows = [("22:00", "02:00"), ("01:00", "06:00")];
    let schedule = schedule(&windows, "UTC");
    let on = |now: &str| schedule.plan(at(now).as_millisecond()).unwrap().on;
    let hours: Vec<bool> = (0..24)
        .map(|hour| on(&format!("2026-11-30T{hour:02}:30:00Z")))
        .collect();
    let wanted: Vec<bool> = (0..24).map(|hour| !(6..22).contains(&hour)).collect();
    assert_eq!(hours, wanted);
}

#[test]
fn who_spoke_last_is_believed() {
    let plan = |on, since_ms| Some(Plan { on, since_ms });
    for (plan, wish, records) in [
        (None, None, false),
        (None, Some((true, 5)), true),
        (plan(true, 10), None, true),
        (plan(true, 10), Some((false, 5)), true),
        (plan(true, 10), Some((false, 15)), false),
        (plan(false, 10), Some((true, 15)), true),
        (plan(false, 10), Some((true, 5)), false),
    ] {
        assert_eq!(wanted(plan, wish), records, "{plan:?} {wish:?}");
    }
}

#[test]
fn a_stop_by_hand_is_remembered_when_the_clock_is_set_right_afterwards() {
    let always = Schedule::new(&ScheduleSettings {
        always: true,
        windows: Vec::new(),
        time_zone: Some("UTC".into()),
    });
    let clock = Clock::new();
    let wish = Wish {
        on: false,
        by: By::Button,
        at: clock.moment(),
    };
    let wants = || {
        let given_ms = wish.given_ms(&clock.moment(), &clock);
        always.wants(Some((wish.on, given_ms)), clock.now_ms())
    };
    assert!(always.wants(None, clock.now_ms()));
    assert!(!wants());
    clock.jump(400 * DAY_MS);
    assert!(!wants());
}

#[test]
fn a_wish_from_a_future_that_never_came_counts_as_given_when_it_was_known() {
    let clock = Clock::new();
    let known = clock.moment();
    let wish = Wish {
        on: false,
        by: By::Http,
        at: Moment {
            boot: "another".into(),
            up_ms: 0,
            at_ms: clock.now_ms() + 5 * DAY_MS,
        },
    };
    let always = Schedule::new(&ScheduleSettings {
        always: true,
        time_zone: Some("UTC".into()),
        ..ScheduleSettings::default()
    });
    let wants = |days: i64| {
        let given_ms = wish.given_ms(&known, &clock);
        always.wants(Some((wish.on, given_ms)), clock.now_ms() + days * DAY_MS)
    };
    assert!(wish.is_to_come(&clock) && !wants(0));
    // The next midnight is not that of years to come.
    assert!(wants(1));

    // A clock that was behind when the service began is put right: the wish was not from the future at all.
    clock.jump(7 * DAY_MS);
    assert!(!wish.is_to_come(&clock));
    assert_eq!(wish.given_ms(&known, &clock), wish.at.at_ms);
    assert!(wants(0), "two midnights have passed since");
}

/// Each moment within two days of a day, found by looking at every minute.
fn moments(times: &str, day: &str, zone: &TimeZone) -> BTreeSet<Timestamp> {
    let (hours, minutes) = times.split_once(':').unwrap();
    let has = |list: &str, number: i8| {
        list == "*" || list.split(',').any(|each| each.parse() == Ok(number))
    };
    let day = at(day).to_zoned(TimeZone::UTC).date().at(0, 0, 0, 0);
    let shown = (-2 * 24 * 60..3 * 24 * 60).map(|minute: i64| day + minute.minutes());
    let named = shown.filter(|at| has(hours, at.hour()) && has(minutes, at.minute()));
    named.map(|at| zone.to_timestamp(at).unwrap()).collect()
}

#[test]
fn no_moment_is_missed_where_clocks_are_set() {
    for (set, zone) in [
        ("2021-03-28T01:00:00Z", "Europe/Berlin"),
        ("2021-10-31T01:00:00Z", "Europe/Berlin"),
        // Half an hour.
        ("2026-04-04T15:00:00Z", "Australia/Lord_Howe"),
        ("2026-10-03T15:30:00Z", "Australia/Lord_Howe"),
        // At midnight.
        ("2026-04-05T03:00:00Z", "America/Santiago"),
        ("2026-09-06T04:00:00Z", "America/Santiago"),
    ] {
        let zone = TimeZone::get(zone).unwrap();
        for text in [
            "02:30",
            "*:*",
            "2:10,35",
            "1,2:05,55",
            "00:15",
            "23:45",
            "3:00",
        ] {
            let (calendar, all) = (calendar(text), moments(text, set, &zone));
            for minute in -5 * 60..5 * 60 {
                let now = at(set) + minute.minutes();
                let told = (calendar.last(now, &zone), calendar.next(now, &zone));
                let last = all.range(..=now).next_back().copied();
                let next = all.range(now + 1.second()..).next().copied();
                assert_eq!(told, (last, next), "{text} at {now}");
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_lies_between_the_last_moment_and_the_next(
        seconds in 1_600_000_000i64..2_000_000_000,
        text in prop_oneof![Just("Mon..Fri 08:00"), Just("*:7/20:5"), Just("*-*-31 01:02:03"), Just("02:30"), Just("*-*-* *:*:*")],
    ) {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let (now, calendar) = (Timestamp::from_second(seconds).unwrap(), calendar(text));
        let (last, next) = (calendar.last(now, &zone).unwrap(), calendar.next(now, &zone).unwrap());
        prop_assert!(last <= now && now < next);
        // The one that follows the last is the next.
        prop_assert_eq!(calendar.next(last, &zone), Some(next));
    }
}

use super::*;
use proptest::prelude::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

const USUAL: Patience = Patience {
    reconnect_after: 2 * MINUTE,
    reload_driver_after: 10 * MINUTE,
    reboot_after: Some(HOUR),
};

/// What is done in a silence of so many seconds, with the minute in which it is, looking every half minute.
fn silent(
    healer: &mut Healer,
    seconds: u64,
    radio: bool,
    reboots: Option<u32>,
) -> Vec<(u64, Step)> {
    let times = (0..=seconds).step_by(30);
    let look = |at: u64| {
        let step = healer.observe(Duration::from_secs(at), Reach::Silent, radio, reboots);
        Some((at / MINUTE, step?))
    };
    times.filter_map(look).collect()
}

#[test]
fn each_step_follows_when_the_one_before_did_not_help() {
    use Step::{Reboot, Reconnect, ReloadDriver};
    let steps = silent(&mut Healer::new(USUAL), HOUR, true, Some(0));
    assert_eq!(
        steps,
        [
            (2, Reconnect),
            (4, Reconnect),
            (8, Reconnect),
            (10, ReloadDriver),
            (16, Reconnect),
            (20, ReloadDriver),
            (32, Reconnect),
            (40, ReloadDriver),
            (60, Reboot),
        ]
    );
}

#[test]
fn a_cable_has_no_driver_to_reload() {
    let steps = silent(&mut Healer::new(USUAL), HOUR, false, Some(0));
    assert!(steps.iter().all(|(_, step)| *step != Step::ReloadDriver));
    assert_eq!(steps.last(), Some(&(60, Step::Reboot)));
}

#[test]
fn reboots_that_do_not_help_become_rare_and_never_stop() {
    let first = |reboots| {
        let steps = silent(&mut Healer::new(USUAL), 30 * HOUR, true, Some(reboots));
        let reboot = steps.iter().find(|(_, step)| *step == Step::Reboot);
        reboot.unwrap().0 / 60
    };
    let hours = [0, 1, 2, 3, 4, 5, 100].map(first);
    assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24]);
}

#[test]
fn who_has_never_had_a_gateway_or_does_not_want_it_is_not_rebooted() {
    let never = Patience {
        reboot_after: None,
        ..USUAL
    };
    for (patience, reboots) in [(USUAL, None), (never, Some(0))] {
        let steps = silent(&mut Healer::new(patience), 48 * HOUR, true, reboots);
        assert!(steps.iter().all(|(_, step)| *step != Step::Reboot));
        assert!(steps.last().unwrap().0 > 47 * 60, "it keeps trying");
    }
}

#[test]
fn an_answer_ends_it() {
    let mut healer = Healer::new(USUAL);
    assert_eq!(silent(&mut healer, 3 * MINUTE, true, Some(0)).len(), 1);
    let at = Duration::from_secs;
    let (since, last) = healer.silence().unwrap();
    assert_eq!((since, last), (at(0), Some(Step::Reconnect)));
    assert_eq!(healer.observe(at(200), Reach::Answers, true, Some(0)), None);
    assert!(healer.silence().is_none());
    // The next silence is another one.
    assert_eq!(healer.observe(at(400), Reach::Silent, true, Some(0)), None);
    assert_eq!(healer.observe(at(500), Reach::Silent, true, Some(0)), None);
    let step = healer.observe(at(520), Reach::Silent, true, Some(0));
    assert_eq!(step, Some(Step::Reconnect));
}

fn patience() -> impl Strategy<Value = Patience> {
    let reboot = proptest::option::of(1u64..200_000);
    (1u64..5000, 1u64..20_000, reboot).prop_map(
        |(reconnect_after, reload_driver_after, reboot_after)| Patience {
            reconnect_after,
            reload_driver_after,
            reboot_after,
        },
    )
}

proptest! {
    /// Whatever is seen: nothing is done while a gateway answers, each step has time to help, none comes before its time,
    /// and as long as it is silent, the next one comes.
    #[test]
    fn it_is_patient_and_does_not_give_up(
        patience in patience(),
        looks in proptest::collection::vec((1u64..120, 0..10), 1..2000),
        radio in any::<bool>(),
        reboots in proptest::option::of(0u32..50),
    ) {
        let mut healer = Healer::new(patience);
        let (mut now, mut since, mut last_step) = (0, None, None);
        for (pause, seen) in looks {
            now += pause;
            let reach = match seen {
                0 => Reach::Answers,
                1 => Reach::Unknown,
                _ => Reach::Silent,
            };
            let step = healer.observe(Duration::from_secs(now), reach, radio, reboots);
            match reach {
                Reach::Answers => (since, last_step) = (None, None),
                Reach::Silent => since = since.or(Some(now)),
                Reach::Unknown => {}
            }
            let quiet = last_step.or(since).map_or(0, |then: u64| now - then);
            let Some(step) = step else {
                let longest = LONGEST.as_secs().max(patience.reconnect_after);
                let patient = longest + 2 * patience.reconnect_after;
                prop_assert!(reach != Reach::Silent || quiet <= patient, "nothing for {quiet} s");
                continue;
            };
            prop_assert_eq!(reach, Reach::Silent);
            let silent = now - since.unwrap();
            let least = match step {
                Step::Reconnect => patience.reconnect_after,
                Step::ReloadDriver => patience.reload_driver_after,
                Step::Reboot => patience.reboot_after.unwrap(),
            };
            prop_assert!(silent >= least, "{step:?} after {silent} s");
            prop_assert!(last_step.is_none() || quiet >= patience.reconnect_after);
            prop_assert!(radio || step != Step::ReloadDriver);
            prop_assert!(reboots.is_some() || step != Step::Reboot);
            last_step = Some(now);
        }
    }
}

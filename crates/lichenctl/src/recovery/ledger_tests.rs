use super::*;
use durable::{cut, scratch};
use proptest::prelude::*;

fn boot(id: &str) -> Boot {
    Boot {
        id: id.into(),
        ..Boot::default()
    }
}

/// The hardware says nothing: a power cut, unless something was said.
fn judge(ending: Option<Ending>) -> (Reason, String) {
    ending.map_or((Reason::Power, String::new()), |e| (e.reason, e.why))
}

fn reasons(ledger: &Ledger) -> Vec<Reason> {
    ledger.resets.iter().map(|reset| reset.reason).collect()
}

#[test]
fn each_boot_after_the_first_has_a_reason() {
    let mut ledger = Ledger::default();
    assert!(
        !ledger.begin(&boot("a"), judge),
        "nothing was reset before the first boot"
    );
    assert!(!ledger.begin(&boot("a"), judge), "it was asked twice");
    assert!(ledger.begin(&boot("b"), judge));
    ledger.end(Reason::Update, "into generation 2".into());
    ledger.end(Reason::Asked, String::new());
    assert!(ledger.begin(&boot("c"), judge));
    assert_eq!(reasons(&ledger), [Reason::Power, Reason::Update]);
    assert_eq!(ledger.resets[1].why, "into generation 2");
    assert!(!ledger.ends(), "what was said is used up");
}

#[test]
fn a_soft_reboot_is_a_reset_that_the_kernel_knows_nothing_of() {
    let mut ledger = Ledger::default();
    ledger.begin(&boot("a"), judge);
    ledger.end(Reason::Update, String::new());
    let stale = |_| (Reason::Watchdog, String::new());
    assert!(ledger.begin(&boot("a"), stale));
    assert_eq!(reasons(&ledger), [Reason::Update]);
}

#[test]
fn the_history_is_bounded_and_the_counts_are_not() {
    let mut ledger = Ledger::default();
    for n in 0..=40 {
        ledger.begin(&boot(&n.to_string()), judge);
    }
    assert_eq!(ledger.resets.len(), KEPT);
    assert_eq!(ledger.counts[&Reason::Power], 40);
}

#[test]
fn recovery_goes_back_from_a_generation_once() {
    let mut ledger = Ledger::default();
    let [one, two, three, four] = [1, 2, 3, 4].map(Generation);
    assert_eq!(ledger.before(one, &[one]), None);
    ledger.bless(one, two);
    // The third was never blessed.
    ledger.bless(two, four);
    let all = [one, two, three, four];
    assert_eq!(ledger.before(four, &all), Some(two));
    assert_eq!(ledger.before(four, &[one, four]), Some(one), "one is gone");
    assert_eq!(ledger.before(one, &all), None);
    ledger.leave(four);
    assert_eq!(ledger.before(four, &all), None, "its trial failed");
    ledger.bless(four, two);
    assert_eq!(ledger.before(two, &all), Some(one), "and never to and fro");
    ledger.bless(two, four);
    assert_eq!(
        ledger.before(four, &all),
        Some(two),
        "somebody blessed it again"
    );
}

#[test]
fn a_cut_leaves_the_old_ledger_or_the_new_one() {
    let spend = |ledger: &mut Ledger| ledger.spend(None);
    for n in 0.. {
        let dir = scratch();
        let root = Root::new(dir.path());
        Ledger::change(&root, spend).unwrap();
        let done = cut::at(n, || Ledger::change(&root, spend).unwrap()).is_some();
        let spent = Ledger::load(&root).spent();
        assert!(spent == 2 || spent == 1 && !done, "{n}: {spent}");
        if done {
            break;
        }
    }
}

#[test]
fn a_damaged_ledger_is_an_empty_one() {
    let dir = scratch();
    let root = Root::new(dir.path());
    Ledger::change(&root, |ledger| ledger.spend(None)).unwrap();
    durable::atomic_write(&root.at(FILE), b"{\"spent\": 7", 0o600).unwrap();
    assert_eq!(Ledger::load(&root), Ledger::default());
    // What a later version writes besides is ignored.
    durable::atomic_write(&root.at(FILE), b"{\"boot\": \"a\", \"moon\": 1}", 0o600).unwrap();
    assert_eq!(Ledger::load(&root).boot, "a");
}

#[derive(Clone, Debug)]
enum Event {
    /// The device runs for so many seconds, and counts every ten minutes.
    Run(u64),
    /// A service fails; recovery reboots if it may.
    Fail,
    /// The plug is pulled, and put back after so many seconds.
    Cut(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0..2 * DAY).prop_map(Event::Run),
        (0..3600u64).prop_map(Event::Run),
        Just(Event::Fail),
        Just(Event::Fail),
        (0..DAY).prop_map(Event::Cut),
    ];
    proptest::collection::vec(event, 0..60)
}

proptest! {
    /// Whatever power cuts do, and without a look at the clock, no day has more reboots than the limit.
    #[test]
    fn no_day_has_more_reboots_than_the_limit(events in events(), limit in 0..6usize) {
        let mut ledger = Ledger::default();
        let (mut now, mut uptime, mut boots) = (0, 0, 0);
        let mut reboots = Vec::new();
        ledger.begin(&boot("0"), judge);
        for event in events {
            let mut restart = |ledger: &mut Ledger| {
                boots += 1;
                ledger.begin(&boot(&boots.to_string()), judge);
            };
            match event {
                Event::Run(seconds) => {
                    for _ in 0..seconds / 600 {
                        uptime += 600;
                        ledger.run_until(uptime);
                    }
                    uptime += seconds % 600;
                    now += seconds;
                }
                Event::Fail => {
                    ledger.run_until(uptime);
                    if ledger.spent() < limit {
                        ledger.spend(None);
                        reboots.push(now);
                        restart(&mut ledger);
                        uptime = 0;
                    }
                }
                Event::Cut(seconds) => {
                    now += seconds;
                    restart(&mut ledger);
                    uptime = 0;
                }
            }
        }
        for window in reboots.windows(limit + 1) {
            prop_assert!(window[limit] - window[0] >= DAY, "{window:?}");
        }
    }

    /// A device that only runs may reboot again after a day.
    #[test]
    fn what_was_spent_comes_back_after_a_day_of_running(cuts in proptest::collection::vec(1..12u64, 0..20)) {
        let mut ledger = Ledger::default();
        ledger.begin(&boot("a"), judge);
        ledger.spend(None);
        let mut counted = 0;
        for (n, hours) in cuts.into_iter().enumerate() {
            ledger.begin(&boot(&n.to_string()), judge);
            ledger.run_until(hours * 3600);
            counted += hours * 3600;
            prop_assert_eq!(ledger.spent(), usize::from(counted < DAY));
        }
    }
}

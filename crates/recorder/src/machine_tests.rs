use proptest::prelude::*;

use super::*;

fn fault(fault: Fault) -> Event {
    Event::Fault(fault, Some(format!("{fault:?}")))
}

fn mended(fault: Fault) -> Event {
    Event::Fault(fault, None)
}

/// Each row: what happens, what has to be done about it, and the state afterwards.
fn follows(rows: Vec<(Event, &[Effect], State)>) {
    let mut machine = Machine::default();
    for (step, (event, effects, state)) in rows.into_iter().enumerate() {
        assert_eq!(machine.on(event.clone()), effects, "step {step}: {event:?}");
        assert_eq!(machine.state(), state, "step {step}: {event:?}");
    }
}

use Effect::{Close, Open};
use Event::{Booted, Long, Processing, Wanted};
use State::{Error, Ready, Recording};

#[test]
fn a_day_without_trouble() {
    follows(vec![
        (Booted, &[], Ready),
        (Wanted(true), &[Open], Recording),
        (Wanted(true), &[], Recording),
        (Processing(1), &[], Recording),
        (Wanted(false), &[Close], State::Processing),
        (Processing(2), &[], State::Processing),
        (Processing(0), &[], Ready),
        (Wanted(false), &[], Ready),
    ]);
}

#[test]
fn a_wish_made_while_it_boots_is_fulfilled_once_it_has_booted() {
    follows(vec![
        (Wanted(true), &[], State::Booting),
        (Processing(1), &[], State::Booting),
        (Booted, &[Open], Recording),
    ]);
}

#[test]
fn a_recording_outlives_its_camera_but_none_begins_without_one() {
    follows(vec![
        (Booted, &[], Ready),
        (fault(Fault::Camera), &[], Error),
        (Wanted(true), &[], Error),
        (mended(Fault::Camera), &[Open], Recording),
        (fault(Fault::Camera), &[], Recording),
        (Wanted(false), &[Close], Error),
        (Wanted(true), &[], Error),
        (mended(Fault::Camera), &[Open], Recording),
    ]);
}

#[test]
fn a_full_disk_ends_the_recording_and_room_lets_it_begin_again() {
    for broken in [Fault::Space, Fault::Card] {
        follows(vec![
            (Booted, &[], Ready),
            (Wanted(true), &[Open], Recording),
            (fault(broken), &[Close], Error),
            (Processing(1), &[], Error),
            (mended(broken), &[Open], Recording),
            (fault(broken), &[Close], Error),
            (Wanted(false), &[], Error),
            (mended(broken), &[], State::Processing),
        ]);
    }
}

#[test]
fn a_long_session_is_followed_by_the_next_one_if_there_is_no_obstacle() {
    follows(vec![
        (Booted, &[], Ready),
        (Long, &[], Ready),
        (Wanted(true), &[Open], Recording),
        (Long, &[Close, Open], Recording),
        (fault(Fault::Camera), &[], Recording),
        (Long, &[Close], Error),
        (mended(Fault::Camera), &[Open], Recording),
    ]);
}

#[test]
fn a_refusal_names_what_is_the_matter() {
    let mut machine = Machine::default();
    assert_eq!(machine.refusal(), Some(Refused::Booting));
    machine.on(Booted);
    assert_eq!(machine.refusal(), None);
    machine.on(Event::Fault(Fault::Space, Some("1 GB free".into())));
    assert_eq!(machine.refusal().unwrap().to_string(), "1 GB free");
}

fn events() -> impl Strategy<Value = Event> {
    let faults = prop_oneof![Just(Fault::Space), Just(Fault::Card), Just(Fault::Camera)];
    prop_oneof![
        Just(Booted),
        Just(Long),
        any::<bool>().prop_map(Wanted),
        (0usize..3).prop_map(Processing),
        (faults, any::<bool>()).prop_map(|(name, broken)| match broken {
            true => fault(name),
            false => mended(name),
        }),
    ]
}

proptest! {
    #[test]
    fn whatever_happens(history in proptest::collection::vec(events(), 0..60)) {
        let mut machine = Machine::default();
        let mut open = false;
        let (mut booted, mut wanted) = (false, false);
        for event in history {
            booted |= event == Booted;
            if let Wanted(is) = event {
                wanted = is;
            }
            for effect in machine.on(event) {
                // Sessions never overlap, and each that was begun is ended.
                prop_assert_eq!(open, effect == Close);
                open = effect == Open;
            }
            prop_assert_eq!(open, machine.state() == Recording);
            let broken: Vec<Fault> = machine.faults().map(|(fault, _)| fault).collect();
            if open {
                prop_assert!(booted && wanted);
                prop_assert!(broken.iter().all(|fault| *fault == Fault::Camera));
            } else {
                // What is wanted and possible is done.
                prop_assert!(!booted || !wanted || !broken.is_empty());
            }
        }
    }
}

use super::*;
use durable::{atomic_write, scratch};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;

fn state(seq: u64, good: u64, trial: Option<(u64, u64)>) -> State {
    let trial = trial.map(|(generation, tries)| Trial {
        generation: Generation(generation),
        tries,
    });
    State {
        seq,
        good: Generation(good),
        trial,
    }
}

fn slots(zero: &[u8], one: &[u8]) -> tempfile::TempDir {
    let dir = scratch();
    atomic_write(&path(dir.path(), 0), zero, 0o644).unwrap();
    atomic_write(&path(dir.path(), 1), one, 0o644).unwrap();
    dir
}

fn device(zero: State, one: State) -> tempfile::TempDir {
    slots(&slot::encode(zero), &slot::encode(one))
}

fn sum(state: State) -> (u64, Option<(u64, u64)>) {
    (state.good.0, state.trial.map(|t| (t.generation.0, t.tries)))
}

/// A slot as an earlier version wrote it, and its meaning.
pub(crate) fn fixture(path: &Path) -> (Vec<u8>, String) {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut bytes = Vec::new();
    let mut expected = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("expect: ") {
            Some(words) => expected = words.to_owned(),
            None => bytes.extend(
                line.split_whitespace()
                    .map(|b| u8::from_str_radix(b, 16).unwrap()),
            ),
        }
    }
    (bytes, expected)
}

pub(crate) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/state-v1");

/// Every slot that was ever written stays readable. Adding a file to the folder is adding a test.
#[test]
fn old_slots_stay_readable() {
    let mut seen = 0;
    for entry in fs::read_dir(FIXTURES).unwrap() {
        let path = entry.unwrap().path();
        let (bytes, expected) = fixture(&path);
        let found = match slot::decode(&bytes) {
            Err(error) => format!("invalid: {error}"),
            Ok(State {
                seq,
                good,
                trial: None,
            }) => format!("seq={seq} good={good}"),
            Ok(State {
                seq,
                good,
                trial: Some(t),
            }) => {
                format!(
                    "seq={seq} good={good} next={} tries={}",
                    t.generation, t.tries
                )
            }
        };
        assert_eq!(found, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} fixtures found");
}

#[test]
fn the_higher_valid_slot_wins() {
    let bad = [0xff; SLOT_SIZE];
    let (low, high) = (
        slot::encode(state(4, 1, None)),
        slot::encode(state(5, 2, None)),
    );
    let tie = slot::encode(state(5, 3, None));
    for (zero, one, good) in [
        (&low[..], &high[..], Some(2)),
        (&high, &low, Some(2)),
        (&high, &tie, Some(2)),
        (&tie, &high, Some(3)),
        (&bad, &low, Some(1)),
        (&low, &bad, Some(1)),
        (&low, &high[..511], Some(1)),
        (b"", &high, Some(2)),
        (&bad, &bad, None),
        (&[0; 512], &[0; 512], None),
    ] {
        let dir = slots(zero, one);
        let loaded = BootState::load(dir.path()).ok().map(|s| s.state().good.0);
        assert_eq!(loaded, good);
    }
}

#[test]
fn no_valid_slot_says_what_is_wrong_with_each() {
    let dir = slots(&[0xff; SLOT_SIZE], b"short");
    fs::remove_file(path(dir.path(), 1)).unwrap();
    let error = BootState::load(dir.path()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("st0.env has a wrong checksum") && text.contains("st1.env cannot be read"),
        "{text}"
    );
    assert!(error.hint().contains("findmnt /boot"));
}

type Verb = fn(BootState) -> Result<BootState, StateError>;
type Sum = (u64, Option<(u64, u64)>);

/// Every verb on every kind of state: good only, trial pending, trial used up, trial of the good one.
#[test]
fn every_verb_on_every_state() {
    let boot7: Verb = |s| s.boot(Generation(7), 3);
    let boot1: Verb = |s| s.boot(Generation(1), 3);
    let now7: Verb = |s| s.try_now(Generation(7));
    let now1: Verb = |s| s.try_now(Generation(1));
    let bless1: Verb = |s| s.bless(Generation(1));
    let bless2: Verb = |s| s.bless(Generation(2));
    let bless7: Verb = |s| s.bless(Generation(7));
    let give_up2: Verb = |s| s.give_up(Generation(2));
    let rollback: Verb = |s| s.rollback();

    let good: Sum = (1, None);
    let pending: Sum = (1, Some((2, 3)));
    let tried: Sum = (1, Some((2, 0)));
    let of_good: Sum = (1, Some((1, 2)));
    let new: Sum = (1, Some((7, 3)));
    let once: Sum = (1, Some((7, 0)));
    let table: [(&str, Verb, [Option<Sum>; 4]); 9] = [
        // verb                         good            pending         used up         trial of the good one
        (
            "boot 7",
            boot7,
            [Some(new), Some(new), Some(new), Some(new)],
        ),
        (
            "boot 1",
            boot1,
            [Some(good), Some(good), Some(good), Some(good)],
        ),
        (
            "try 7 now",
            now7,
            [Some(once), Some(once), Some(once), Some(once)],
        ),
        (
            "try 1 now",
            now1,
            [Some(good), Some(good), Some(good), Some(good)],
        ),
        (
            "bless 1",
            bless1,
            [Some(good), Some(pending), Some(tried), Some(good)],
        ),
        (
            "bless 2",
            bless2,
            [None, Some((2, None)), Some((2, None)), None],
        ),
        ("bless 7", bless7, [None, None, None, None]),
        (
            "give up 2",
            give_up2,
            [Some(good), Some(tried), Some(tried), Some(of_good)],
        ),
        (
            "rollback",
            rollback,
            [Some(good), Some(good), Some(good), Some(good)],
        ),
    ];
    for (name, verb, expected) in table {
        for (before, expected) in [good, pending, tried, of_good].into_iter().zip(expected) {
            let dir = device(state(8, before.0, before.1), state(7, 99, None));
            let result = BootState::load(dir.path()).unwrap().state;
            let after = verb(BootState::load(dir.path()).unwrap());
            assert_eq!(
                after.as_ref().ok().map(|s| sum(s.state())),
                expected,
                "{name} on {before:?}"
            );
            // Without a decision nothing is written; otherwise the other slot is, with the next number.
            if let Ok(after) = after {
                let written = after.write().unwrap().state();
                assert_eq!(
                    written.seq,
                    if sum(result) == sum(written) { 8 } else { 9 },
                    "{name} on {before:?}"
                );
                assert_eq!(BootState::load(dir.path()).unwrap().state(), written);
            }
        }
    }
    let dir = device(state(1, 1, None), state(0, 1, None));
    let error = BootState::load(dir.path())
        .unwrap()
        .boot(Generation(2), 0)
        .unwrap_err();
    assert!(matches!(error, StateError::NoTries(Generation(2))));
}

#[test]
fn what_the_boot_script_makes_of_each_state() {
    for (before, booted, after) in [
        (state(4, 1, None), 1, None),
        (
            state(4, 1, Some((2, 3))),
            2,
            Some(state(5, 1, Some((2, 2)))),
        ),
        (
            state(4, 1, Some((2, 1))),
            2,
            Some(state(5, 1, Some((2, 0)))),
        ),
        (state(4, 1, Some((2, 0))), 1, None),
        (state(4, 1, Some((1, 3))), 1, None), // never count for one that is good
    ] {
        assert_eq!(before.at_boot(), (Generation(booted), after), "{before:?}");
    }
    assert_eq!(
        state(4, 1, Some((2, 0))).out_of_tries(),
        Some(Generation(2))
    );
    assert_eq!(state(4, 1, Some((2, 1))).out_of_tries(), None);
    assert_eq!(state(4, 2, Some((2, 0))).out_of_tries(), None);
}

/// A generation that never becomes healthy is booted as often as it has tries, then never again.
#[test]
fn an_unblessed_generation_is_left_after_its_tries() {
    let mut state = state(4, 1, Some((2, 3)));
    let mut booted = Vec::new();
    for _ in 0..6 {
        let (generation, written) = state.at_boot();
        booted.push(generation.0);
        state = written.unwrap_or(state);
    }
    assert_eq!(booted, [2, 2, 2, 1, 1, 1]);
}

#[test]
fn verbs_in_a_row_are_one_write() {
    let dir = device(state(1, 1, None), state(0, 1, None));
    let loaded = BootState::load(dir.path()).unwrap();
    let written = loaded
        .boot(Generation(2), 3)
        .unwrap()
        .boot(Generation(3), 2)
        .unwrap()
        .write()
        .unwrap();
    assert_eq!(written.state(), state(2, 1, Some((3, 2))));
}

#[test]
fn only_the_other_slot_is_touched_and_in_place() {
    use std::os::unix::fs::MetadataExt;
    let dir = device(state(1, 1, None), state(0, 1, None));
    let inodes = || {
        [0, 1].map(|n| {
            fs::metadata(path(dir.path(), n))
                .map(|m| (m.ino(), m.len()))
                .unwrap()
        })
    };
    let content = |n| fs::read(path(dir.path(), n)).unwrap();
    let (before, zero) = (inodes(), content(0));

    let first = BootState::load(dir.path())
        .unwrap()
        .boot(Generation(0x1f), 3)
        .unwrap()
        .write()
        .unwrap();
    assert_eq!(
        (inodes(), content(0)),
        (before, zero),
        "the current slot is as it was"
    );
    let one = content(1);
    first.bless(Generation(0x1f)).unwrap().write().unwrap();
    assert_eq!((inodes(), content(1)), (before, one));
    assert_eq!(
        BootState::load(dir.path()).unwrap().state(),
        state(3, 0x1f, None)
    );
}

/// However much of the new slot reached the card, the state is the old one or the new one.
#[test]
fn a_torn_write_costs_the_change_never_the_state() {
    let (old, new) = (state(5, 1, None), state(6, 1, Some((2, 3))));
    let (before, after) = (slot::encode(state(4, 1, Some((9, 1)))), slot::encode(new));
    for n in 0..=SLOT_SIZE {
        for torn in [
            [&after[..n], &before[n..]].concat(),
            [&before[..n], &after[n..]].concat(),
        ] {
            let dir = slots(&slot::encode(old), &torn);
            let found = BootState::load(dir.path()).unwrap().state();
            assert!(found == old || found == new, "{n}: {found:?}");
        }
    }
}

#[test]
fn a_missing_or_short_slot_is_healed() {
    for damage in [None, Some(&b"short"[..]), Some(&[7; 600])] {
        let dir = device(state(5, 1, None), state(4, 1, None));
        match damage {
            None => fs::remove_file(path(dir.path(), 1)).unwrap(),
            Some(bytes) => atomic_write(&path(dir.path(), 1), bytes, 0o644).unwrap(),
        }
        BootState::load(dir.path())
            .unwrap()
            .boot(Generation(2), 3)
            .unwrap()
            .write()
            .unwrap();
        assert_eq!(
            fs::metadata(path(dir.path(), 1)).unwrap().len(),
            SLOT_SIZE as u64
        );
        assert_eq!(
            BootState::load(dir.path()).unwrap().state(),
            state(6, 1, Some((2, 3)))
        );
    }
}

#[test]
fn a_write_that_fails_names_the_slot() {
    let dir = device(state(5, 1, None), state(4, 1, None));
    let decided = BootState::load(dir.path())
        .unwrap()
        .boot(Generation(2), 3)
        .unwrap();
    fs::remove_file(path(dir.path(), 1)).unwrap();
    fs::create_dir(path(dir.path(), 1)).unwrap();
    let error = decided.write().unwrap_err();
    assert!(error.to_string().contains("st1.env"), "{error}");
}

#[test]
fn a_slot_is_what_u_boot_writes() {
    // The fixture was made by U-Boot's own tool; `env export -c` sorts by key, values are hex.
    let bytes = slot::encode(state(0xab, 0x10, Some((0x11, 3))));
    assert!(bytes[4..].starts_with(b"good=10\0next=11\0seq=ab\0tries=3\0\0"));
    assert_eq!(fixture(&Path::new(FIXTURES).join("trial.txt")).0, bytes);
}

#[test]
fn numbers_are_hex_digits_and_nothing_else() {
    let known: BTreeMap<&str, Option<u64>> = [
        ("a", Some(10)),
        ("FF", Some(255)),
        ("0", Some(0)),
        ("", None),
        ("+1", None),
        ("-1", None),
        ("0x1", None),
        (" 1", None),
        ("ffffffffffffffff", Some(u64::MAX)),
        ("10000000000000000", None),
    ]
    .into();
    for (text, number) in known {
        assert_eq!(Generation::from_hex(text).map(|g| g.0), number, "{text:?}");
    }
}

fn any_state() -> impl Strategy<Value = State> {
    (any::<u64>(), any::<u64>(), any::<Option<(u64, u64)>>()).prop_map(|(s, g, t)| state(s, g, t))
}

proptest! {
    #[test]
    fn what_is_written_is_read(state in any_state()) {
        prop_assert_eq!(slot::decode(&slot::encode(state)).unwrap(), state);
    }

    #[test]
    fn no_single_flipped_bit_goes_unnoticed(state in any_state(), bit in 0..SLOT_SIZE * 8) {
        let mut bytes = slot::encode(state);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(matches!(slot::decode(&bytes), Err(SlotError::Checksum)));
    }

    #[test]
    fn garbage_never_panics(mut data in proptest::collection::vec(any::<u8>(), 508)) {
        let mut bytes = crc32fast::hash(&data).to_le_bytes().to_vec();
        bytes.append(&mut data);
        let _ = slot::decode(&bytes);
    }
}

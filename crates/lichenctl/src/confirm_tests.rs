use super::*;
use crate::state::{State, encode};
use durable::atomic_write;

const SLOW: u64 = 30;

struct Device {
    _dir: tempfile::TempDir,
    root: Root,
}

/// Generation 1 is good, generation 2 on trial with three tries; `booted` runs.
fn device(booted: u64) -> Device {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    for folder in ["boot/gen", "run/lichen", "proc", "var/lib"] {
        fs::create_dir_all(root.at(folder)).unwrap();
    }
    let slot = |seq, file: &str| {
        let state = State {
            seq,
            good: Generation(1),
            trial: Some(Trial {
                generation: Generation(2),
                tries: 3,
            }),
        };
        atomic_write(&root.at("boot").join(file), &encode(state), 0o600).unwrap();
    };
    slot(1, "st0.env");
    slot(0, "st1.env");
    let device = Device { _dir: dir, root };
    device.boot(booted);
    device
}

impl Device {
    fn boot(&self, generation: u64) {
        let arguments = format!(
            "lichen.generation={generation} lichen.toplevel={}\n",
            path(generation)
        );
        atomic_write(&self.root.at("proc/cmdline"), arguments.as_bytes(), 0o644).unwrap();
    }

    fn demand(&self, generation: u64, within: Option<u64>) {
        demand(
            &self.root,
            Generation(generation),
            &path(generation),
            within,
        )
        .unwrap();
    }

    fn tries(&self) -> u64 {
        let state = BootState::load(&self.root.at("boot")).unwrap().state();
        state.trial.unwrap().tries
    }

    fn wait(&self) -> Result<()> {
        let (generation, awaited) = demanded(&self.root).unwrap();
        wait_trial(&self.root, generation, &awaited)
    }
}

fn path(generation: u64) -> String {
    format!("/nix/store/{generation}-climate")
}

#[test]
fn a_trial_that_nobody_confirms_is_over_whatever_tries_are_left() {
    let device = device(2);
    device.demand(2, Some(0));
    let error = device.wait().unwrap_err();
    assert_eq!(error.to_string(), Unconfirmed(0).to_string());
    assert_eq!(device.tries(), 0);
    let state = BootState::load(&device.root.at("boot")).unwrap().state();
    assert_eq!(state.at_boot(), (Generation(1), None));
    assert_eq!(state.out_of_tries(), Some(Generation(2)));
    let late = confirm(&device.root).unwrap_err();
    assert!(late.is::<ConfirmError>(), "{late}");
}

#[test]
fn a_confirmed_trial_goes_on_and_needs_no_second_confirmation() {
    let device = device(2);
    device.demand(2, Some(SLOW));
    let (generation, awaited) = demanded(&device.root).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_trial(&device.root, generation, &awaited));
        assert_eq!(confirm(&device.root).unwrap().within, SLOW);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(device.tries(), 3);
    assert_eq!(demanded(&device.root), None);
}

#[test]
fn what_does_not_run_yet_can_not_be_confirmed() {
    let device = device(1);
    device.demand(2, Some(SLOW));
    assert_eq!(pending(&device.root).unwrap().toplevel, path(2));
    let early = confirm(&device.root).unwrap_err();
    assert_eq!(
        early.to_string(),
        "generation 2 needs a confirmation, but is not running yet"
    );
    device.boot(2);
    confirm(&device.root).unwrap();
    assert_eq!(pending(&device.root), None);
}

#[test]
fn a_live_switch_waits_for_whoever_removes_the_file() {
    let device = device(1);
    let root = &device.root;
    let awaited = |within| Awaited {
        generation: None,
        toplevel: path(1),
        within,
    };
    assert!(
        wait_live(root, &awaited(0), None)
            .unwrap_err()
            .is::<Unconfirmed>()
    );
    let canary = root.at("run/canary");
    for (file, by_hand) in [(None, false), (Some(canary.as_path()), true)] {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait_live(root, &awaited(SLOW), file));
            let begin = Instant::now();
            while !(if by_hand {
                fs::remove_file(&canary).is_ok()
            } else {
                confirm(root).is_ok()
            }) {
                assert!(begin.elapsed() < Duration::from_secs(SLOW));
                std::thread::yield_now();
            }
            waiting.join().unwrap().unwrap();
        });
    }
}

#[test]
fn what_other_trials_needed_is_forgotten_at_boot() {
    let device = device(1);
    for generation in [2, 3, 4] {
        device.demand(generation, Some(SLOW));
    }
    let trial = |tries| {
        Some(Trial {
            generation: Generation(3),
            tries,
        })
    };
    let left = |booted, trial| {
        forget_others(&device.root, Generation(booted), trial).unwrap();
        let all = (1..9).filter(|n| of_trial(&device.root, Generation(*n)).exists());
        all.collect::<Vec<_>>()
    };
    assert_eq!(left(2, trial(1)), [2, 3]);
    assert_eq!(left(3, trial(0)), [3]);
    assert_eq!(left(1, trial(0)), Vec::<u64>::new());
}

#[test]
fn no_cut_lets_a_trial_go_unconfirmed() {
    // There is a second deploy before the first one has been booted.
    for n in 0.. {
        let device = device(1);
        device.demand(2, Some(SLOW));
        let deploy = || {
            demand(&device.root, Generation(3), &path(3), Some(SLOW)).unwrap();
            let state = BootState::load(&device.root.at("boot")).unwrap();
            state.boot(Generation(3), 3).unwrap().write().unwrap();
        };
        let done = cut::at(n, deploy).is_some();
        let next = BootState::load(&device.root.at("boot"))
            .unwrap()
            .state()
            .at_boot()
            .0;
        device.boot(next.0);
        forget_others(&device.root, next, None).unwrap();
        assert_eq!(demanded(&device.root).unwrap().1.toplevel, path(next.0));
        if done {
            assert_eq!(next, Generation(3));
            break;
        }
    }
    // A power cut while giving up: either the slot records it, or the generation still has to be confirmed.
    for n in 0.. {
        let device = device(2);
        device.demand(2, Some(0));
        let done = cut::at(n, || device.wait()).is_some();
        assert!(device.tries() == 0 || demanded(&device.root).is_some());
        if done {
            break;
        }
    }
}

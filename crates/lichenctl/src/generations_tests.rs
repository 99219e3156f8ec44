use super::*;
use crate::state::Trial;
use crate::state::tests::{FIXTURES, fixture};
use durable::atomic_write;
use std::path::Path;

#[test]
fn generations_are_listed_with_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    for folder in ["boot/gen", "proc"] {
        fs::create_dir_all(root.at(folder)).unwrap();
    }
    let put = |path: &str, bytes: &[u8]| atomic_write(&root.at(path), bytes, 0o644).unwrap();
    put(
        "boot/st0.env",
        &fixture(&Path::new(FIXTURES).join("trial.txt")).0,
    );
    put(
        "proc/cmdline",
        b"lichen.generation=10 panic=10 lichen.generation=3\n",
    );
    put("boot/gen/f.env", b"kdir=k1\nargs=panic=10\n");
    put(
        "boot/gen/10.env",
        b"kdir=k1\nargs=panic=10 lichen.toplevel=/nix/store/a-climate quiet\n",
    );
    put(
        "boot/gen/11.env",
        b"kdir=k2\nargs=lichen.toplevel=/nix/store/b-climate\n",
    );
    put("boot/gen/notes.env", b"not ours");
    // What comes with the image has the date of the FAT's beginning.
    for (file, seconds) in [
        ("f", 315_532_800),
        ("10", 315_532_800),
        ("11", 1_796_061_600),
    ] {
        let file = fs::File::open(root.at(format!("boot/gen/{file}.env"))).unwrap();
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(at).unwrap();
    }
    root.put(
        "nix/store/b-climate/nixos-version",
        "25.11.20261129.1a2b3c\n",
    );

    let generations = list(&root).unwrap();
    let text = generations.to_string();
    let expected = "  15  names no toplevel  \n  \
                    16  /nix/store/a-climate  running, good\n  \
                    17  /nix/store/b-climate  25.11.20261129.1a2b3c  2026-11-30T18:00:00Z  on trial, 3 tries left\n";
    assert_eq!(text, expected);
    let json = serde_json::to_string(&generations).unwrap();
    assert_eq!(
        serde_json::from_str::<Generations>(&json).unwrap(),
        generations
    );
}

#[test]
fn what_runs_is_what_was_switched_to_last() {
    let booted = Booted {
        generation: Some(Generation(3)),
        toplevel: Some("/nix/store/a".into()),
    };
    let env = |toplevel: &str| Env {
        toplevel: Some(toplevel.into()),
        kernel: None,
    };
    let on_boot = || {
        vec![
            (Generation(3), env("/nix/store/a")),
            (Generation(4), env("/nix/store/b")),
            (Generation(5), env("/nix/store/a")),
        ]
    };
    let running = |current: Option<&str>| {
        let running = Running::of(booted.clone(), current.map(str::to_owned), on_boot);
        (running.generation.map(|g| g.0), running.toplevel.unwrap())
    };
    // If two generations have this toplevel and nobody switched, the booted one counts.
    assert_eq!(running(None), (Some(3), "/nix/store/a".into()));
    assert_eq!(
        running(Some("/nix/store/a")),
        (Some(3), "/nix/store/a".into())
    );
    assert_eq!(
        running(Some("/nix/store/b")),
        (Some(4), "/nix/store/b".into())
    );
    assert_eq!(running(Some("/nix/store/c")), (None, "/nix/store/c".into()));
}

#[test]
fn after_a_soft_reboot_its_root_says_what_was_booted() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    let put = |path: &str, text: &str| {
        fs::create_dir_all(root.at(path).parent().unwrap()).unwrap();
        atomic_write(&root.at(path), text.as_bytes(), 0o644).unwrap();
    };
    let booted = |generation, toplevel: &str| Booted {
        generation: Some(Generation(generation)),
        toplevel: Some(toplevel.into()),
    };
    let state = State {
        seq: 7,
        good: Generation(2),
        trial: Some(Trial {
            generation: Generation(16),
            tries: 0,
        }),
    };
    let failed = || failed_trial(&root, state).map(|failed| failed.0);
    put(
        "proc/cmdline",
        "lichen.generation=2 lichen.trial=2 lichen.toplevel=/nix/store/a\n",
    );
    assert_eq!(
        (Booted::read(&root), Booted::soon(&root)),
        (booted(2, "/nix/store/a"), None)
    );
    assert_eq!(failed(), Some(16), "nobody is at it");

    let text = Booted::text(Generation(16), "/nix/store/b");
    put("run/nextroot/.booted", &text);
    assert_eq!(Booted::read(&root), booted(2, "/nix/store/a"));
    assert_eq!(Booted::soon(&root), Some(booted(16, "/nix/store/b")));
    assert_eq!(failed(), None, "it is about to be tried");

    fs::remove_file(root.at("run/nextroot/.booted")).unwrap();
    put(".booted", &text);
    assert_eq!(Booted::read(&root), booted(16, "/nix/store/b"));
    assert_eq!(failed(), None, "it is being tried");
}

#[test]
fn without_boot_it_is_an_error_with_a_hint() {
    let error = list(&Root::new("/nonexistent")).unwrap_err();
    assert!(
        error.downcast_ref::<crate::state::StateError>().is_some(),
        "{error:#}"
    );
}

#[test]
fn the_running_generation_is_good_on_trial_or_neither() {
    let state = |good, trial: Option<u64>| {
        let trial = trial.map(|n| Trial {
            generation: Generation(n),
            tries: 0,
        });
        Some(State {
            seq: 1,
            good: Generation(good),
            trial,
        })
    };
    for (running, state, expected) in [
        (Some(1), state(1, None), Standing::Good),
        (Some(1), state(1, Some(2)), Standing::Good),
        (Some(2), state(1, Some(2)), Standing::Trial),
        (Some(3), state(1, Some(2)), Standing::Other),
        (Some(3), state(1, None), Standing::Other),
        (None, state(1, None), Standing::Unknown),
        (Some(1), None, Standing::Unknown),
    ] {
        assert_eq!(standing(running.map(Generation), state), expected);
    }
}

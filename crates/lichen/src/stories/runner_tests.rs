use super::super::inputs::Inputs;
use super::*;
use std::os::unix::fs::PermissionsExt;

/// A program that behaves as the stories do: the first argument is a story.
const PROGRAM: &str = r#"#!/bin/sh
image=$(sed -n 's/.*"image climate": "\(.*\)",*/\1/p' "$LICHEN_INPUTS")
echo "$1" >> begun; echo "begun as $(wc -l < begun)"
case $1 in
  honest) echo "input image climate" >> "$LICHEN_USES"; cat "$image" > /dev/null
          echo "boot cold" >> "$LICHEN_USES"; echo "day the weather" >> "$LICHEN_USES" ;;
  secret) cat "$image" > /dev/null ;;
  red)    echo "input image climate" >> "$LICHEN_USES"; echo "it is red"; exit 101 ;;
  room)   echo "room 4000000000 2200000000" >> "$LICHEN_USES"; echo "no space for this story"; exit 101 ;;
  absent) echo "test result: ok. 0 passed"; exit 0 ;;
  one)    touch one; for n in $(seq 500); do [ -e other ] && break; sleep 0.02; done; [ -e other ] || exit 1 ;;
  other)  touch other; for n in $(seq 500); do [ -e one ] && break; sleep 0.02; done; [ -e one ] || exit 1 ;;
  busy)   n=0; while [ $n -lt 200000 ]; do n=$((n + 1)); done ;;
esac
echo "test result: ok. 1 passed; 0 failed"
"#;

fn run(stories: &[&str]) -> Vec<Done> {
    run_until(None, stories).0
}

/// Runs stories of a minute each; returns what became of them, and those that it was too late to start.
fn run_until(until: Option<Instant>, stories: &[&str]) -> (Vec<Done>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let [program, image, inputs_file] =
        ["stories", "climate.img", "inputs.json"].map(|name| folder.path().join(name));
    fs::write(&program, PROGRAM).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(&image, "bytes").unwrap();
    let mut inputs = Inputs::default();
    inputs.file("image climate", &image).unwrap();
    inputs.write(&inputs_file).unwrap();
    let audit = Audit::of(&inputs).unwrap();
    let runner = Runner {
        program: &program,
        folder: folder.path(),
        inputs: &inputs_file,
        logs: folder.path(),
        audit: &audit,
        until,
    };
    let next = |name: &&str| Next {
        name: (*name).to_owned(),
        takes: Duration::from_secs(60),
    };
    let mut ended = Vec::new();
    let late = runner.run(stories.iter().map(next).collect(), |done, _| {
        ended.push(done);
        Ok(())
    });
    let late = late.unwrap().into_iter().map(|next| next.name);
    (ended, late.collect())
}

#[test]
fn a_story_is_green_with_what_it_used_and_what_it_cost() {
    let done = run(&["honest"]).remove(0);
    assert!(done.green, "{}", done.said);
    assert_eq!(done.inputs, BTreeSet::from(["image climate".to_owned()]));
    assert_eq!(done.day.as_deref(), Some("the weather"));
    assert_eq!((done.cost.cold_boots, done.cost.warm_boots), (1, 0));
    assert!(done.unaccounted.is_empty());
}

#[test]
fn an_image_that_is_read_past_the_inputs_is_noticed() {
    let done = run(&["secret"]).remove(0);
    assert!(done.green, "{}", done.said);
    assert_eq!(
        done.unaccounted,
        BTreeSet::from(["image climate".to_owned()])
    );
}

#[test]
fn what_fails_and_what_is_not_there_are_red() {
    let ended = run(&["red", "absent"]);
    assert!(ended.iter().all(|done| !done.green));
    assert!(ended.iter().any(|done| done.said.contains("it is red")));
}

#[test]
fn a_story_without_room_says_what_it_needs() {
    let done = run(&["room"]).remove(0);
    assert!(!done.green, "{}", done.said);
    let lacks = done.lacks.expect("it has no room");
    assert_eq!(lacks.to_string(), "needs 4.0 GB, 2.2 GB is free");
}

#[test]
fn the_seconds_of_processor_are_those_that_it_took() {
    let done = run(&["busy"]).remove(0);
    assert!(done.cost.processor > 0.01, "{:?}", done.cost);
    assert_eq!(
        processor("1 (a b) c) S 0 0 0 0 0 0 0 0 0 0 100 200 300 400 0 0"),
        10.0
    );
}

#[test]
fn two_run_at_a_time() {
    // Each waits for the other.
    let ended = run(&["one", "other"]);
    assert!(ended.iter().all(|done| done.green), "{ended:?}");
}

#[test]
fn they_begin_in_the_given_order() {
    // Two at a time, so that the third begins when one of them is over.
    let ended = run(&["busy", "red", "honest"]);
    let honest = ended.iter().find(|done| done.name == "honest").unwrap();
    assert!(honest.said.contains("begun as 3"), "{ended:?}");
}

#[test]
fn what_would_end_too_late_is_not_begun() {
    let minutes = |n: u64| Some(Instant::now() + Duration::from_secs(n * 60));
    let (ended, late) = run_until(minutes(0), &["honest", "red"]);
    assert!(ended.is_empty(), "{ended:?}");
    assert_eq!(late.len(), 2);
    let (ended, late) = run_until(minutes(10), &["honest", "red"]);
    assert_eq!((ended.len(), late.len()), (2, 0));
}

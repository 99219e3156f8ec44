use super::*;

/// The standard error of an old lichenctl without events, when it switched and nobody confirmed; put together from the
/// messages in its source. Devices in use still print this.
const BEFORE_EVENTS: &str = "\
live switch
  from     /nix/store/a-lichen-climate
  to       /nix/store/b-lichen-climate (generation 2)
  layer    app changes, 84.1 kB
  restart  climate.service
switching live to generation 2 (/nix/store/b-lichen-climate)
restarting climate.service
waiting for it to be healthy
waiting for `lichenctl confirm` within 30 s
generation 2 failed: not confirmed within 30 s: whoever deployed it may be cut off; going back
restarting climate.service
back on what ran before, which is healthy
error: generation 2 failed: not confirmed within 30 s: whoever deployed it may be cut off; back on what ran before, which is healthy
hint: `journalctl -b -p warning` shows what the units said
";

fn said(text: &str) -> Event {
    Event::Said { text: text.into() }
}

fn heard(text: &str) -> (Vec<Event>, Failure) {
    let mut listener = Listener::default();
    let events = text
        .lines()
        .filter_map(|line| listener.hear(line))
        .collect();
    (events, listener.failure())
}

#[test]
fn a_device_from_before_events_is_understood() {
    let (events, failure) = heard(BEFORE_EVENTS);
    assert_eq!(events[0], said("live switch"));
    let awaited: Vec<_> = events
        .iter()
        .filter(|event| !matches!(event, Event::Said { .. }))
        .collect();
    assert_eq!(awaited, [&Event::AwaitingConfirmation { within: 30 }]);
    assert_eq!(events.len(), 12, "neither error nor hint is passed on");
    assert!(
        failure
            .error
            .ends_with("back on what ran before, which is healthy")
    );
    assert!(failure.hint.unwrap().starts_with("`journalctl"));
}

#[test]
fn a_device_with_events_is_understood_as_one_from_before_them() {
    let failure = Failure {
        error: "DATA has no room:\n1 byte is free".into(),
        hint: Some("`lichenctl gc`".into()),
    };
    let events = [
        said("live switch"),
        said("{\"looks\": \"like JSON\"}"),
        Event::AwaitingConfirmation { within: 30 },
        Event::Failed(failure.clone()),
    ];
    let lines: String = events.iter().map(|event| event.json() + "\n").collect();
    assert_eq!(heard(&lines), (events[..3].to_vec(), failure));
    let short = Event::Failed(Failure {
        error: "DATA has no room".into(),
        hint: Some("`lichenctl gc`".into()),
    });
    for event in [&events[0], &events[2], &short] {
        assert_eq!(
            heard(&event.json()),
            heard(&event.to_string()),
            "a host that asked for no events hears the same"
        );
    }
}

#[test]
fn the_lines_of_version_1_are_read_by_every_later_one() {
    let lines = r#"{"lichen":1,"event":"said","text":"stopping x"}
{"lichen":1,"event":"awaiting-confirmation","within":30}
{"lichen":1,"event":"failed","error":"no room","hint":"gc"}"#;
    let (events, failure) = heard(lines);
    assert_eq!(
        events,
        [
            said("stopping x"),
            Event::AwaitingConfirmation { within: 30 }
        ]
    );
    assert_eq!(
        failure,
        Failure {
            error: "no room".into(),
            hint: Some("gc".into())
        }
    );
}

#[test]
fn words_of_a_device_with_events_steer_nothing() {
    let (events, failure) = heard(&format!(
        "{}\nwaiting for `lichenctl confirm` within 5 s\nerror: of some program\n",
        said("live switch").json()
    ));
    assert!(
        events
            .iter()
            .all(|event| matches!(event, Event::Said { .. }))
    );
    assert_eq!(events.len(), 3);
    assert_eq!(failure.error, "error: of some program", "the last line");
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let (events, _) = heard(
        "{\"lichen\":2,\"event\":\"copied\",\"bytes\":7}\n{\"lichen\":2,\"event\":\"said\",\"text\":\"x\",\"more\":1}\n",
    );
    assert_eq!(events, [said("x")]);
}

#[test]
fn without_an_error_the_last_line_says_what_happened() {
    assert_eq!(
        heard("sh: lichenctl: not found\n\n").1.error,
        "sh: lichenctl: not found"
    );
    assert_eq!(heard("").1.hint, None);
}

#[test]
fn events_are_for_those_who_ask() {
    for (value, asked) in [
        (None, false),
        (Some(""), false),
        (Some("0"), false),
        (Some("1"), true),
        (Some("2"), true),
        (Some("yes"), false),
    ] {
        assert_eq!(is_asked(value), asked, "{value:?}");
    }
}

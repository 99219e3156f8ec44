use super::*;
use crate::durable::atomic_write;
use crate::provision::{Applied, Problem};
use crate::state::Trial;
use crate::update::Last;

fn put(root: &Root, path: &str, text: &str) {
    let path = root.at(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    atomic_write(&path, text.as_bytes(), 0o644).unwrap();
}

fn status() -> Status {
    let state = State {
        seq: 5,
        good: Generation(12),
        trial: None,
    };
    Status {
        hostname: Some("rack7".into()),
        generation: Some(Generation(12)),
        toplevel: Some("/nix/store/x-climate".into()),
        booted: Some(Generation(12)),
        standing: Standing::Good,
        boot: Some(state),
        boot_error: None,
        next_boot: Some(Generation(12)),
        failed_trial: None,
        soft_reboot: None,
        confirmation: None,
        system: Some("running".into()),
        failed_units: Some(Vec::new()),
        uptime_seconds: Some(3 * 86400 + 4 * 3600 + 5),
        facts: Facts {
            appliance: Some("climate".into()),
            problems: Some(Vec::new()),
            memory: Some(Usage {
                size: 1 << 30,
                used: 1 << 28,
                available: 3 << 28,
            }),
            errors: Some(Vec::new()),
        },
        provision: Some(Report {
            applied: Applied {
                wifi: Some("attic".into()),
                authorized_keys: 1,
                ..Applied::default()
            },
            ..Report::default()
        }),
        update: None,
        data: Some(Usage {
            size: 30 << 30,
            used: 3 << 30,
            available: 27 << 30,
        }),
        soc_celsius: Some(54.23),
        undervoltage: None,
        throttled: None,
    }
}

#[test]
fn one_screen_says_how_the_device_is() {
    let expected = "\
host        rack7, up 3 d 4 h
appliance   climate
generation  12, good
toplevel    /nix/store/x-climate
next boot   generation 12
health      healthy
units       running, none failed
provision   Wi-Fi attic, 1 SSH key
DATA        3.0 of 30.0 GiB used (10 %)
memory      0.2 of 1.0 GiB used (25 %)
SoC         54.2 °C
";
    assert_eq!(status().to_string(), expected);
}

#[test]
fn what_is_wrong_is_on_the_same_screen() {
    let mut status = status();
    let trial = Trial {
        generation: Generation(13),
        tries: 1,
    };
    status.boot = Some(State {
        trial: Some(trial),
        ..status.boot.unwrap()
    });
    status.next_boot = Some(Generation(13));
    assert!(
        status
            .to_string()
            .contains("next boot   generation 13 on trial (1 try left), then 12"),
        "{status}"
    );
    status.next_boot = Some(Generation(12));
    status.failed_trial = Some(Generation(13));
    status.failed_units = Some(vec!["climate.service".into(), "x.mount".into()]);
    status.undervoltage = Some(true);
    let report = status.provision.as_mut().unwrap();
    report.file = Fate::Rejected;
    report.problems = vec![Problem {
        line: Some(3),
        key: "hostname".into(),
        message: "is wrong".into(),
    }];
    report.faults = vec!["cannot write /x".into()];
    let text = status.to_string();
    for part in [
        "the trial of generation 13 failed",
        "2 failed: climate.service x.mount",
        "lichen.toml: line 3: hostname: is wrong",
        "cannot write /x",
        "the power supply is too weak",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn who_follows_a_channel_sees_what_came_of_it() {
    let mut status = status();
    let mut see = |last: Option<(bool, Option<u64>)>| {
        status.update = Some(Following {
            channel: "stable".into(),
            last: last.map(|(ok, _)| Last {
                at: 1764021100,
                ok,
                said: "stable 7 runs already".into(),
            }),
            seconds_ago: last.and_then(|(_, ago)| ago),
        });
        let text = status.to_string();
        text.lines()
            .find(|l| l.starts_with("update"))
            .map(str::to_owned)
    };
    for (last, line) in [
        (None, "stable, not looked for yet"),
        (
            Some((true, Some(7200))),
            "stable, looked for 2 h 0 min ago: stable 7 runs already",
        ),
        // By a clock that has gone back since.
        (
            Some((false, None)),
            "stable, looked for: failed: stable 7 runs already",
        ),
    ] {
        assert_eq!(see(last).unwrap(), format!("update      {line}"));
    }
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

#[test]
fn nothing_known_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let status = collect(&Root::new(dir.path()));
    assert_eq!(
        (status.standing, status.soc_celsius, status.data),
        (Standing::Unknown, None, None)
    );
    assert!(
        status
            .to_string()
            .contains("next boot   unknown: no valid boot state"),
        "{status}"
    );
    let json = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}

#[test]
fn the_boards_own_sensors_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::new(dir.path());
    put(&root, "sys/class/thermal/thermal_zone0/type", "rp1\n");
    put(&root, "sys/class/thermal/thermal_zone0/temp", "1000\n");
    put(
        &root,
        "sys/class/thermal/thermal_zone1/type",
        "cpu-thermal\n",
    );
    put(&root, "sys/class/thermal/thermal_zone1/temp", "48312\n");
    put(&root, "sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    put(&root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    put(&root, "proc/uptime", "93.51 180.00\n");
    let status = collect(&root);
    assert_eq!(
        (status.soc_celsius, status.undervoltage, status.throttled),
        (Some(48.312), Some(true), None)
    );
    assert_eq!(status.uptime_seconds, Some(93));
    put(
        &root,
        "sys/devices/platform/soc/soc:firmware/get_throttled",
        "50004\n",
    );
    let status = collect(&root);
    assert_eq!(
        (status.undervoltage, status.throttled),
        (Some(false), Some(true))
    );
}

#[test]
fn an_awaited_confirmation_is_shown() {
    let waiting = Status {
        confirmation: Some(crate::confirm::Awaited {
            generation: Some(Generation(13)),
            toplevel: "/nix/store/y-climate".into(),
            within: 60,
        }),
        ..status()
    };
    let text = waiting.to_string();
    let line = "confirm     generation 13 stays if `lichenctl confirm` comes within 60 s of its being healthy\n";
    assert!(text.contains(line), "{text}");
}

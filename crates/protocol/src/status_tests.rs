use super::*;
use crate::lichen_toml::Problem;
use crate::link::{Gateway, Peer};
use crate::provision::Applied;

fn said(name: &str, said: &str) -> Service {
    Service {
        name: name.into(),
        said: said.into(),
    }
}

fn status() -> Status {
    let state = BootState {
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
        busy: Some(false),
        confirmation: None,
        system: Some("running".into()),
        failed_units: Some(Vec::new()),
        uptime_seconds: Some(3 * 86400 + 4 * 3600 + 5),
        facts: Facts {
            appliance: Some("climate".into()),
            problems: Some(Vec::new()),
            services: Some(vec![said("climate", "ok"), said("x", "3 wait")]),
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
        recovery: None,
        vitals: None,
        link: None,
        tunnels: Vec::new(),
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
services    climate: ok
            x: 3 wait
provision   Wi-Fi attic, 1 SSH key
DATA        3.0 of 30.0 GiB used (10 %)
memory      0.2 of 1.0 GiB used (25 %)
SoC         54.2 °C; undervoltage and throttling cannot be told
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
    status.boot = Some(BootState {
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
fn the_network_and_the_key_of_a_tunnel_are_on_the_same_screen() {
    let mut status = status();
    status.link = Some(Link {
        gateways: vec![Gateway {
            interface: "eth0".into(),
            address: "10.0.2.2".into(),
            answers: Some(true),
        }],
        ..Link::default()
    });
    status.tunnels = vec![Tunnel {
        interface: "wg0".into(),
        public_key: Some("OWN=".into()),
        peers: vec![Peer {
            public_key: "HOME=".into(),
            endpoint: Some("192.0.2.1:51820".into()),
            handshake_seconds_ago: Some(35),
        }],
    }];
    let expected = "\
network     10.0.2.2 on eth0 answers
WireGuard   wg0: OWN=
              peer HOME= at 192.0.2.1:51820: handshake 35 s ago
";
    let text = status.to_string();
    assert!(text.contains(expected), "{text}");
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
                refusal: None,
            }),
            seconds_ago: last.and_then(|(_, ago)| ago),
            reached_seconds_ago: None,
            behind_seconds: None,
        });
        let text = status.to_string();
        text.lines()
            .find(|l| l.starts_with("update"))
            .map(str::to_owned)
    };
    for (last, line) in [
        (None, "stable, not checked yet"),
        (
            Some((true, Some(7200))),
            "stable, checked 2 h 0 min ago: stable 7 runs already",
        ),
        // The clock has been set back since.
        (
            Some((false, None)),
            "stable, checked: failed: stable 7 runs already",
        ),
    ] {
        assert_eq!(see(last).unwrap(), format!("update      {line}"));
    }
}

#[test]
fn an_awaited_confirmation_is_shown() {
    let waiting = Status {
        confirmation: Some(Awaited {
            generation: Some(Generation(13)),
            toplevel: "/nix/store/y-climate".into(),
            within: 60,
        }),
        ..status()
    };
    let text = waiting.to_string();
    let line = "confirm     generation 13 stays only if `lichenctl confirm` arrives within 60 s after it becomes healthy\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_channel_that_is_out_of_reach_or_ahead_is_told_with_its_time() {
    let mut following = Following {
        channel: "stable".into(),
        last: Some(Last {
            at: 1764021100,
            ok: false,
            said: "https://x: no route".into(),
            refusal: Some(Refusal::Unreachable),
        }),
        seconds_ago: Some(7200),
        reached_seconds_ago: Some(9 * 86400),
        behind_seconds: None,
    };
    assert_eq!(
        update_words(&following),
        "stable, checked 2 h 0 min ago: failed: https://x: no route; it was reached 9 d 0 h ago"
    );
    following.behind_seconds = Some(3600);
    following.last.as_mut().unwrap().refusal = Some(Refusal::Failed);
    assert_eq!(
        update_words(&following),
        "stable, checked 2 h 0 min ago: failed: https://x: no route; the device has been behind it for 1 h 0 min"
    );
}

#[test]
fn what_the_device_knows_of_itself_is_on_the_screen() {
    use crate::vitals::{Card, Fallback, Time, Wifi};
    let mut status = status();
    status.undervoltage = Some(false);
    status.throttled = Some(true);
    status.vitals = Some(Vitals {
        version: Some("26.11.20261124".into()),
        fallbacks: 2,
        fallback: Some(Fallback {
            from: Generation(11),
            why: "generation 11 is not healthy".into(),
            at: 1764021100,
            seconds_ago: Some(7200),
        }),
        card: Some(Card {
            disk: "mmcblk0".into(),
            written: Some(5_000_000),
            io_errors: Some(0),
            ..Card::default()
        }),
        wifi: Some(vec![Wifi {
            interface: "wlan0".into(),
            signal_dbm: Some(-56),
        }]),
        time: Some(Time {
            synchronized: true,
            error_seconds: Some(0.25),
        }),
    });
    let text = status.to_string();
    for line in [
        "toplevel    /nix/store/x-climate, version 26.11.20261124\n",
        "fell back   from generation 11, 2 h 0 min ago: generation 11 is not healthy\n",
        "card        mmcblk0: 5000 kB written since boot, 1578 kB a day; no errors\n",
        "Wi-Fi       wlan0: -56 dBm\n",
        "time        synchronised, wrong by at most 0.2 s\n",
        "SoC         54.2 °C, throttled\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    status.vitals = Some(Vitals::default());
    let text = status.to_string();
    for line in [
        "card        unknown\n",
        "Wi-Fi       unknown\n",
        "time        unknown\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

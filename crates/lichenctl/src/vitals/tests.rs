use super::*;
use crate::fallback::fell_back;
use crate::record::now;
use crate::vitals::certificates::Certificate;
use durable::scratch;
use protocol::status::Last;
use protocol::vitals::{Card, Fallback, Wifi};
use std::os::unix::fs::symlink;

const DISK: &str = "sys/devices/mmcblk0";
const EXT4: &str = "sys/fs/ext4/mmcblk0p2";
const ERROR: &str = "3,7,9,-;I/O error, dev mmcblk0, sector 9 op 0x1:(WRITE) flags 0x800\n";

/// A device with a card, Wi-Fi and a processor that tells its temperature.
fn device(root: &Root) {
    root.put("proc/uptime", "7200.00 9.00\n");
    let at_data = "30 1 179:2 / /run/data rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n";
    root.put("proc/self/mountinfo", at_data);
    root.put(format!("{DISK}/size"), "60000000\n");
    root.put(format!("{DISK}/stat"), " 9 9 9 9  9 9 2000 9 9 9 9\n");
    root.put(format!("{DISK}/device/name"), "SC32G\n");
    root.put(format!("{DISK}/mmcblk0p2/partition"), "2\n");
    fs::create_dir_all(root.at("sys/dev/block")).unwrap();
    let partition = "../../devices/mmcblk0/mmcblk0p2";
    symlink(partition, root.at("sys/dev/block/179:2")).unwrap();
    root.put(format!("{EXT4}/lifetime_write_kbytes"), "5000\n");
    root.put(format!("{EXT4}/errors_count"), "0\n");
    root.put(format!("{EXT4}/last_error_time"), "0\n");
    root.put("dev/kmsg", "6,1,2,-;Booting Linux\n");
    let wifi = " wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0\n";
    root.put("proc/net/wireless", wifi);
    root.put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    root.put("sys/class/thermal/thermal_zone0/temp", "48312\n");
}

fn samples(root: &Root) -> Vec<String> {
    publish(root).unwrap();
    let text = fs::read_to_string(root.at(METRICS)).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(str::to_owned).collect()
}

fn value(samples: &[String], name: &str) -> Option<String> {
    let prefix = format!("{name} ");
    let found = samples.iter().find_map(|line| line.strip_prefix(&prefix));
    found.map(str::to_owned)
}

#[test]
fn a_device_knows_its_card_and_its_wifi() {
    let dir = scratch();
    let root = Root::new(dir.path());
    device(&root);
    let vitals = collect(&root);
    let card = Card {
        disk: "mmcblk0".into(),
        model: Some("SC32G".into()),
        size: Some(60_000_000 * 512),
        written: Some(2000 * 512),
        lifetime_written: Some(5000 * 1024),
        io_errors: Some(0),
        data_errors: Some(0),
        last_data_error: None,
        read_only: Some(false),
    };
    assert_eq!(vitals.card, Some(card));
    let wifi = Wifi {
        interface: "wlan0".into(),
        signal_dbm: Some(-56),
    };
    assert_eq!(vitals.wifi, Some(vec![wifi]));
}

#[test]
fn a_card_that_dies_is_seen_in_the_metrics_and_stays_counted() {
    let dir = scratch();
    let root = Root::new(dir.path());
    device(&root);
    let well = samples(&root);
    assert_eq!(value(&well, "lichen_card_io_errors_total").unwrap(), "0");
    assert_eq!(value(&well, "lichen_data_read_only").unwrap(), "0");

    root.put("dev/kmsg", ERROR);
    root.put(format!("{EXT4}/errors_count"), "2\n");
    root.put(format!("{EXT4}/last_error_time"), "1764021100\n");
    let at_data = "30 1 179:2 / /run/data rw,noatime shared:1 - ext4 /dev/mmcblk0p2 ro\n";
    root.put("proc/self/mountinfo", at_data);
    // The kernel's messages are looked at by `status` as well, between two minutes.
    assert_eq!(collect(&root).card.unwrap().io_errors, Some(1));
    for _minute in 0..2 {
        let ill = samples(&root);
        assert_eq!(value(&ill, "lichen_card_io_errors_total").unwrap(), "1");
        assert_eq!(value(&ill, "lichen_data_errors").unwrap(), "2");
        let last = value(&ill, "lichen_data_last_error_timestamp_seconds");
        assert_eq!(last.unwrap(), "1764021100");
        assert_eq!(value(&ill, "lichen_data_read_only").unwrap(), "1");
    }
    root.put("dev/kmsg", "6,900,9,-;usb 1-1: new device\n");
    let later = samples(&root);
    assert_eq!(value(&later, "lichen_card_io_errors_total").unwrap(), "1");
}

#[test]
fn what_a_board_cannot_tell_is_said_and_has_no_value() {
    let supported = |samples: &[String], what: &str| {
        value(samples, &format!("lichen_supported{{what=\"{what}\"}}")).unwrap()
    };
    let dir = scratch();
    let root = Root::new(dir.path());
    let nothing = samples(&root);
    for what in [
        "temperature",
        "undervoltage",
        "throttling",
        "card_writes",
        "card_errors",
        "data_errors",
        "wifi_signal",
        "time",
    ] {
        assert_eq!(supported(&nothing, what), "0", "{what}");
    }
    assert_eq!(value(&nothing, "lichen_boot_readable").unwrap(), "0");
    assert_eq!(value(&nothing, "lichen_card_written_bytes_total"), None);

    device(&root);
    let something = samples(&root);
    for (what, expected) in [
        ("temperature", "1"),
        ("undervoltage", "0"),
        ("card_errors", "1"),
        ("wifi_signal", "1"),
    ] {
        assert_eq!(supported(&something, what), expected, "{what}");
    }
}

#[test]
fn a_generation_that_was_left_is_told_with_its_reason() {
    let dir = scratch();
    let root = Root::new(dir.path());
    let none = samples(&root);
    assert_eq!(value(&none, "lichen_fallbacks_total").unwrap(), "0");
    fell_back(&root, Generation(8), "climate.service is \"failed\"");
    let left = samples(&root);
    assert_eq!(value(&left, "lichen_fallbacks_total").unwrap(), "1");
    let why = "lichen_last_fallback_timestamp_seconds{generation=\"8\",why=\"climate.service is \\\"failed\\\"\"}";
    assert!(value(&left, why).is_some(), "{left:?}");
}

/// Who has never reached its channel is not taken for one that has just reached it.
#[test]
fn a_channel_that_was_never_reached_ages_with_the_device() {
    let dir = scratch();
    let root = Root::new(dir.path());
    device(&root);
    let none = samples(&root);
    assert_eq!(value(&none, "lichen_update_following").unwrap(), "0");
    assert_eq!(value(&none, "lichen_update_reached_age_seconds"), None);
    let channel = r#"{"url":"http://x","channel":"stable","window":null,"reboot":true}"#;
    root.put(crate::channel::CONFIG, channel);
    let never = samples(&root);
    let age = value(&never, "lichen_update_reached_age_seconds");
    assert_eq!(age.unwrap(), "7200");
    let refused = "lichen_update_refused{reason=\"untrusted\"}";
    assert_eq!(value(&never, refused).unwrap(), "0");
    let last = r#"{"at":1,"ok":false,"said":"not signed","refusal":"untrusted"}"#;
    let record = format!(r#"{{"last":{last},"reached":{}}}"#, record::now() - 60);
    root.put("var/lib/lichen/update.json", &record);
    let once = samples(&root);
    assert_eq!(value(&once, refused).unwrap(), "1");
    let age: u64 = value(&once, "lichen_update_reached_age_seconds")
        .and_then(|age| age.parse().ok())
        .unwrap();
    assert!((60..120).contains(&age), "{age}");
}

/// Services that simulate their hardware pass this on, so that rules and dashboards can be tested with them.
#[test]
fn the_simulated_device_tells_what_a_real_one_tells() {
    let told = Told {
        generation: Some(Generation(12)),
        toplevel: Some("/nix/store/x-climate".into()),
        booted: true,
        standing: Standing::Good,
        boot_readable: true,
        uptime: 7200,
        update: Some(Following {
            channel: "stable".into(),
            last: Some(Last {
                at: 1764021100,
                ok: true,
                said: "stable 7 runs already".into(),
                refusal: None,
            }),
            seconds_ago: Some(60),
            reached_seconds_ago: Some(60),
            behind_seconds: None,
        }),
        vitals: Vitals {
            version: Some("26.11".into()),
            fallbacks: 1,
            fallback: Some(Fallback {
                from: Generation(11),
                why: "generation 11 is not healthy".into(),
                at: 1764021100,
                seconds_ago: Some(7200),
            }),
            card: Some(Card {
                disk: "mmcblk0".into(),
                model: Some("SC32G".into()),
                size: Some(31_914_983_424),
                written: Some(5_000_000),
                lifetime_written: Some(75_000_000_000),
                io_errors: Some(0),
                data_errors: Some(0),
                last_data_error: None,
                read_only: Some(false),
            }),
            wifi: Some(vec![Wifi {
                interface: "wlan0".into(),
                signal_dbm: Some(-56),
            }]),
            time: Some(Time {
                synchronized: true,
                error_seconds: Some(0.25),
            }),
        },
        board: [
            ("temperature", true),
            ("undervoltage", true),
            ("throttling", true),
        ],
    };
    let simulated = include_str!("../../../kit/src/vitals.metrics");
    let backups = backup::Told {
        age: 3600,
        failed: false,
        bytes: Some(40_000),
    };
    let certificates = certificates::text(&[Certificate {
        name: "rack.example.org".into(),
        left: Some(5_184_000),
        failed: false,
    }]);
    let all = metrics::text(&told) + &backups.text() + &certificates;
    assert_eq!(simulated, all);
}

#[test]
fn a_certificate_tells_how_long_it_is_valid_once_there_is_one_and_whether_asking_failed() {
    let dir = scratch();
    let root = Root::new(dir.path());
    assert!(certificates::read(&root).is_empty());
    root.put(
        "etc/lichen/certificates.json",
        r#"["all","rack.example.org"]"#,
    );
    let ends = now() + 1000;
    root.put("var/lib/acme/all/current/ends", format!("{ends}\n"));
    root.put("run/acme-rack.example.org/failed", "");
    let [all, rack] = certificates::read(&root).try_into().unwrap();
    assert!(
        (900..=1000).contains(&all.left.unwrap()) && !all.failed,
        "{all:?}"
    );
    assert_eq!((rack.left, rack.failed), (None, true));
    root.put("var/lib/acme/all/current/ends", "1000\n");
    let text = certificates::text(&certificates::read(&root));
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines[0].starts_with(r#"lichen_certificate_left_seconds{certificate="all"} -"#));
    assert_eq!(
        lines[1..],
        [
            r#"lichen_certificate_failed{certificate="all"} 0"#,
            r#"lichen_certificate_failed{certificate="rack.example.org"} 1"#
        ]
    );
}

//! What users write into a lichen.toml, and what they are told.

use super::*;

/// Every kind of mistake: where it is, what it is about, what would be right. No message shows a secret.
#[test]
fn every_mistake_is_named_with_its_line_and_what_is_allowed() {
    for (file, line, key, why) in [
        (
            "hostnam = 'x'",
            1,
            "hostnam",
            "allowed: hostname, timezone, wifi, ssh, secrets",
        ),
        (
            "\n\nhostname = 7",
            3,
            "hostname",
            "a string in quotes, and is of type integer",
        ),
        ("hostname = ''", 1, "hostname", "allowed: 1 to 63 letters"),
        ("hostname = '-a'", 1, "hostname", "inner hyphens"),
        ("hostname = 'a.b'", 1, "hostname", "letters"),
        ("hostname = 'a_b'", 1, "hostname", "letters"),
        ("timezone = 'Berlin'", 1, "timezone", "like Europe/Berlin"),
        ("timezone = 'Europe'", 1, "timezone", "not a time zone"),
        ("timezone = 'tzdata.zi'", 1, "timezone", "not a time zone"),
        (
            "timezone = '../zoneinfo/UTC'",
            1,
            "timezone",
            "not a time zone",
        ),
        ("timezone = '/UTC'", 1, "timezone", "not a time zone"),
        ("wifi = 'attic'", 1, "wifi", "a line [wifi]"),
        (
            "[wifi]\nssid = 'a'\npassword = 'x'",
            3,
            "wifi.password",
            "allowed: ssid, passphrase, country",
        ),
        (
            "[wifi]\nssid = 'a'\nhidden = 'yes'",
            3,
            "wifi.hidden",
            "true or false",
        ),
        ("\n[wifi]\ncountry = 'DE'", 2, "wifi.ssid", "is missing"),
        ("[wifi]\nssid = ''", 2, "wifi.ssid", "1 to 32 bytes"),
        (
            "[wifi]\nssid = 'ééééééééééééééééé'",
            2,
            "wifi.ssid",
            "1 to 32 bytes",
        ),
        (
            "[wifi]\nssid = 'a'\npassphrase = 'hunter2'",
            3,
            "wifi.passphrase",
            "8 to 63",
        ),
        (
            "[wifi]\nssid = 'a'\npassphrase = 22222222222",
            3,
            "wifi.passphrase",
            "a string in quotes",
        ),
        (
            "[wifi]\nssid = 'a'\ncountry = 'Germany'",
            3,
            "wifi.country",
            "two letters",
        ),
        (
            "[ssh]\nauthorized_keys = 'KEY'",
            2,
            "ssh.authorized_keys",
            "a list of strings",
        ),
        (
            "[ssh]\nauthorized_keys = ['KEY',\n 'rsa x']",
            3,
            "ssh.authorized_keys[1]",
            "allowed: ssh-ed25519",
        ),
        (
            "[ssh]\nauthorized_keys = [7]",
            2,
            "ssh.authorized_keys[0]",
            "a string",
        ),
        (
            "[ssh]\nkeys = []",
            2,
            "ssh.keys",
            "allowed: authorized_keys",
        ),
        ("secrets = ['hunter2']", 1, "secrets", "a line [secrets]"),
        (
            "[secrets]\n'a/b' = 'hunter2'",
            2,
            "secrets.a/b",
            "letters, digits",
        ),
        (
            "[secrets]\n'.a' = 'hunter2'",
            2,
            "secrets..a",
            "letters, digits",
        ),
        ("[secrets]\na = ''", 2, "secrets.a", "may not be empty"),
        (
            "[secrets]\na = 22222222222",
            2,
            "secrets.a",
            "a string in quotes",
        ),
        (
            "[secrets]\n'a.b' = 'hunter2'\na.b = 'hunter2'",
            2,
            "secrets.a.b",
            "given twice",
        ),
        ("hostname = 'a'\nhostname = 'b'", 2, "", "duplicate"),
        ("hostname = 'a", 1, "", "string"),
        ("[secrets]\na = hunter2", 2, "", "string"),
        ("[wifi\nssid = 'x'", 1, "", "table"),
    ] {
        let device = Device::new();
        device.insert_card_with(file);
        let report = device.boot();
        assert!(
            matches!(report.file, Fate::Rejected | Fate::Partial),
            "{file:?}"
        );
        let found = &report.problems[0];
        assert_eq!(
            (found.line, found.key.as_str()),
            (Some(line), key),
            "{file:?}: {report}"
        );
        assert!(found.message.contains(why), "{file:?}: {report}");
        let text = report.to_string() + &device.read(REPORT);
        assert!(
            !text.contains("hunter2") && !text.contains("22222222222"),
            "{file:?}: {text}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let device = Device::new();
    device.insert_card_with(
        "hostname = 7\ntimezone = 7\n[wifi]\nssid = 7\n[secrets]\na = 7\n[more]\n",
    );
    let lines: Vec<_> = device
        .boot()
        .problems
        .iter()
        .map(|p| p.line.unwrap())
        .collect();
    assert_eq!(lines, [1, 2, 4, 6, 7]);
}

#[test]
fn what_is_no_text_is_left_alone() {
    let utf16: Vec<u8> = "hostname = 'a'"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, why) in [
        (utf16, "save it as UTF-8"),
        (vec![0; 512], "not plain text"),
        (b"hostname = '\xff'".to_vec(), "not plain text"),
        (vec![b'#'; 64 * 1024 + 1], "is too large; allowed: 64 kB"),
    ] {
        let device = Device::new();
        device.put("boot/lichen.toml", &bytes);
        let report = device.boot();
        assert_eq!((report.file, report.ok()), (Fate::Rejected, true));
        assert!(report.problems[0].message.contains(why), "{report}");
        assert_eq!(fs::read(device.root.at("boot/lichen.toml")).unwrap(), bytes);
    }
}

#[test]
fn what_editors_do_to_files_is_borne() {
    let device = Device::new();
    device.insert_card_with("\u{feff}hostname = \"rack7\"\r\n[wifi]\r\nssid = \"attic\"\r\n");
    assert_eq!(device.boot().applied.hostname.as_deref(), Some("rack7"));
    device.put("boot/lichen.toml.txt", "hostname = 'x'");
    assert!(
        device
            .boot()
            .to_string()
            .contains("rename it to lichen.toml")
    );
}

#[test]
fn of_a_first_file_what_is_right_is_used() {
    let device = Device::new();
    let wrong = FULL.replace("Europe/Berlin", "US/Pacific");
    device.insert_card_with(&wrong);
    let report = device.boot();
    assert_eq!(report.file, Fate::Partial, "{report}");
    assert_eq!(report.problems.len(), 1, "{report}");
    let applied = &report.applied;
    assert_eq!(applied.hostname.as_deref(), Some("rack7"));
    assert_eq!(applied.wifi.as_deref(), Some("attic"));
    assert_eq!(
        (applied.authorized_keys, applied.timezone.as_deref()),
        (1, None)
    );
    assert_eq!(applied.secrets, ["climate.bearer-token", "climate.webhook"]);
    assert!(device.has("boot/lichen.toml"), "somebody has to correct it");
    let text = report.to_string();
    assert!(
        text.contains("used but for its mistakes") && text.contains("hint: "),
        "{text}"
    );
    // Corrected in one place, and wrong in another: what is right now is used.
    device.power_on();
    device.insert_card_with(
        &FULL
            .replace("\"de\"", "\"Germany\"")
            .replace("rack7", "rack8"),
    );
    let report = device.boot();
    assert_eq!(report.file, Fate::Partial, "{report}");
    assert_eq!(report.applied.hostname.as_deref(), Some("rack8"));
    assert_eq!(report.applied.timezone.as_deref(), Some("Europe/Berlin"));
    // Once a file was right, later ones are used as a whole or not at all.
    device.power_on();
    device.insert_card_with(FULL);
    assert_eq!(device.boot().file, Fate::Stored);
    device.power_on();
    device.insert_card_with(&wrong.replace("rack7", "rack9"));
    let report = device.boot();
    assert_eq!(report.file, Fate::Rejected);
    assert_eq!(report.applied.hostname.as_deref(), Some("rack7"));
}

#[test]
fn no_guess_is_made_at_what_is_wrong() {
    for (file, wifi, keys, secrets) in [
        // A network is not taken for an open one.
        (
            "[wifi]\nssid = 'attic'\npassphrase = 'short'\n[ssh]\nauthorized_keys = ['KEY']",
            None,
            1,
            0,
        ),
        // Without its quotes, a value is whatever the parser makes of it.
        (
            "[wifi]\nssid = attic\n[ssh]\nauthorized_keys = ['KEY']",
            None,
            1,
            0,
        ),
        (
            "[ssh]\nauthorized_keys = ['KEY']\n[secrets]\na = hunter2\nb = 'right'",
            None,
            1,
            1,
        ),
        ("[ssh]\nauthorized_keys = ['KEY', 'rsa x']\n", None, 1, 0),
        // The country is only for the radio's limits.
        (
            "[wifi]\nssid = 'attic'\ncountry = 'Germany'",
            Some("attic"),
            0,
            0,
        ),
    ] {
        let device = Device::new();
        device.insert_card_with(file);
        let report = device.boot();
        let applied = &report.applied;
        let found = (
            applied.wifi.as_deref(),
            applied.authorized_keys,
            applied.secrets.len(),
        );
        assert_eq!(found, (wifi, keys, secrets), "{file}: {report}");
        assert_eq!(report.file, Fate::Partial, "{file}: {report}");
    }
}

#[test]
fn a_cut_while_what_is_right_is_stored_costs_nothing() {
    let wrong = FULL.replace("Europe/Berlin", "US/Pacific");
    for n in 0.. {
        let device = Device::new();
        device.insert_card_with(&wrong);
        let done = cut::at(n, || run(&device.root)).is_some();
        device.power_on();
        let report = device.boot();
        assert_eq!(report.file, Fate::Partial, "cut {n}: {report}");
        assert_eq!(report.applied.hostname.as_deref(), Some("rack7"), "cut {n}");
        assert_eq!(report.applied.secrets.len(), 2, "cut {n}");
        if done {
            assert!(n > 3, "{n} cuts");
            break;
        }
    }
}

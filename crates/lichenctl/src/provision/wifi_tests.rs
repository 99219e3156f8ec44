use super::*;
use durable::scratch;
use protocol::lichen_toml::Secret;

fn wifi(ssid: &str, passphrase: Option<&str>) -> Wifi {
    Wifi {
        ssid: ssid.into(),
        passphrase: passphrase.map(|p| Secret::from(p.to_owned())),
        country: None,
        hidden: false,
    }
}

fn of(ssid: &str, passphrase: Option<&str>) -> (String, String) {
    network(&wifi(ssid, passphrase))
}

/// A device with its stored settings and iwd's folder.
struct Device {
    _dir: tempfile::TempDir,
    root: Root,
}

impl Device {
    fn new() -> Self {
        let dir = scratch();
        let root = Root::new(dir.path());
        fs::create_dir_all(root.at("var/lib/lichen")).unwrap();
        Self { _dir: dir, root }
    }

    /// The device boots, after this was provisioned.
    fn boots_with(&self, ssid: &str, passphrase: &str) {
        let wifi = wifi(ssid, Some(passphrase));
        let settings = protocol::lichen_toml::Provision {
            wifi: Some(wifi.clone()),
            ..Default::default()
        };
        let settings = toml::to_string(&settings).unwrap();
        let path = self.root.at("var/lib/lichen/provision.toml");
        durable::update(&path, settings.as_bytes(), 0o600).unwrap();
        apply(&self.root, &wifi).unwrap();
    }

    /// iwd joins the network, and adds the key that it has derived.
    fn joins(&self, ssid: &str) {
        let path = self.root.at(IWD).join(format!("{ssid}.psk"));
        let text = fs::read_to_string(&path).unwrap();
        let derived = text.replace("]\n", "]\nPreSharedKey=00\n");
        durable::update(&path, derived.as_bytes(), 0o600).unwrap();
        works(&self.root, ssid, "psk").unwrap();
    }

    /// The networks that iwd knows, with their passphrases.
    fn known(&self) -> Vec<String> {
        let files = fs::read_dir(self.root.at(IWD)).unwrap().flatten();
        let mut known: Vec<_> = files
            .map(|file| {
                let text = fs::read_to_string(file.path()).unwrap();
                let phrase = text.lines().find_map(|l| l.strip_prefix("Passphrase="));
                let name = file.file_name().into_string().unwrap();
                let phrase = phrase.unwrap_or_default().replace("\\s", " ");
                format!("{name} {phrase}")
            })
            .collect();
        known.sort();
        known
    }

    /// No gateway answers, and the device connects again.
    fn connects_again(&self) {
        other_passphrase(&self.root).unwrap();
    }
}

#[test]
fn the_network_that_worked_last_stays_until_another_one_works() {
    let device = Device::new();
    assert!(!knows_any(&device.root));
    device.boots_with("attic", "correct horse");
    assert!(knows_any(&device.root));
    device.joins("attic");
    device.boots_with("celar", "with a typo");
    assert_eq!(
        device.known(),
        ["attic.psk correct horse", "celar.psk with a typo"]
    );
    // The next attempt is another mistake: what has never worked goes.
    device.boots_with("cellar", "staple battery");
    device.boots_with("cellar", "staple battery");
    assert_eq!(
        device.known(),
        ["attic.psk correct horse", "cellar.psk staple battery"]
    );
    device.joins("cellar");
    device.boots_with("cellar", "staple battery");
    assert_eq!(device.known(), ["cellar.psk staple battery"]);
}

#[test]
fn a_network_that_somebody_added_by_hand_is_never_taken_away() {
    let device = Device::new();
    device.boots_with("attic", "correct horse");
    let path = device.root.at(IWD).join("guests.psk");
    durable::update(&path, b"[Security]\nPassphrase=by hand\n", 0o600).unwrap();
    device.joins("guests");
    device.boots_with("cellar", "staple battery");
    device.joins("cellar");
    device.boots_with("cellar", "staple battery");
    assert_eq!(
        device.known(),
        ["cellar.psk staple battery", "guests.psk by hand"]
    );
}

#[test]
fn a_passphrase_that_does_not_work_takes_turns_with_the_one_that_did() {
    let device = Device::new();
    device.boots_with("attic", "correct horse");
    device.joins("attic");
    device.boots_with("attic", "wrong horse");
    assert_eq!(device.known(), ["attic.psk wrong horse"]);
    for expected in ["correct horse", "wrong horse", "correct horse"] {
        device.connects_again();
        assert_eq!(device.known(), [format!("attic.psk {expected}")]);
    }
    // A boot begins with what is provisioned; another mistake does not cost what worked.
    device.boots_with("attic", "wrong horse");
    assert_eq!(device.known(), ["attic.psk wrong horse"]);
    device.boots_with("attic", "worse horse");
    device.connects_again();
    assert_eq!(device.known(), ["attic.psk correct horse"]);
    device.joins("attic");
    device.connects_again();
    assert_eq!(device.known(), ["attic.psk worse horse"]);

    // The new one works after all: the old one is over.
    device.joins("attic");
    device.connects_again();
    assert_eq!(device.known(), ["attic.psk worse horse"]);
    assert!(!device.root.at(BEFORE).exists());
}

#[test]
fn what_worked_is_put_back_when_another_network_takes_its_place() {
    let device = Device::new();
    device.boots_with("attic", "correct horse");
    device.joins("attic");
    device.boots_with("attic", "wrong horse");
    device.boots_with("cellar", "staple battery");
    assert_eq!(
        device.known(),
        ["attic.psk correct horse", "cellar.psk staple battery"]
    );
}

#[test]
fn a_network_that_does_not_announce_its_name_is_asked_for() {
    let hidden = |passphrase: Option<&str>| {
        let wifi = Wifi {
            hidden: true,
            ..wifi("attic", passphrase)
        };
        network(&wifi).1
    };
    assert_eq!(
        hidden(Some("longenough")),
        "[Security]\nPassphrase=longenough\n[Settings]\nHidden=true\n"
    );
    assert_eq!(hidden(None), "[Settings]\nHidden=true\n");
    assert_eq!(
        hidden(Some(&"ab".repeat(32))),
        format!(
            "[Security]\nPreSharedKey={}\n[Settings]\nHidden=true\n",
            "ab".repeat(32)
        )
    );
    // It announces its name now.
    let open = of("attic", Some("longenough")).1;
    assert!(!says(&hidden(Some("longenough")), &open));
    assert!(says(&open, &open));
}

#[test]
fn networks_as_iwd_names_them() {
    let psk = |name: &str, line: &str| (name.to_owned(), format!("[Security]\n{line}\n"));
    assert_eq!(
        of("attic 2_x-y", Some("longenough")),
        psk("attic 2_x-y.psk", "Passphrase=longenough")
    );
    assert_eq!(of("café", Some("longenough")).0, "=636166c3a9.psk");
    assert_eq!(
        of("../../etc", Some("longenough")).0,
        "=2e2e2f2e2e2f657463.psk"
    );
    assert_eq!(
        of("a", Some(r" a\b c ")),
        psk("a.psk", r"Passphrase=\sa\\b\sc\s")
    );
    assert_eq!(
        of("a", Some(&"AB".repeat(32))),
        psk("a.psk", &format!("PreSharedKey={}", "ab".repeat(32)))
    );
    assert_eq!(of("guests", None).0, "guests.open");
}

#[test]
fn the_country_goes_into_what_the_generation_configured() {
    for (before, after) in [
        ("", "[General]\nCountry=DE\n"),
        ("[General]\nX=1\n", "[General]\nCountry=DE\nX=1\n"),
        (
            "[General]\nCountry=FR\nX=1\n[Network]\nY=2\n",
            "[General]\nCountry=DE\nX=1\n[Network]\nY=2\n",
        ),
        (
            "[Network]\nCountry=no\n",
            "[General]\nCountry=DE\n[Network]\nCountry=no\n",
        ),
    ] {
        assert_eq!(with_country(before, "DE"), after);
        assert_eq!(
            with_country(after, "DE"),
            after,
            "a second time changes nothing"
        );
    }
}

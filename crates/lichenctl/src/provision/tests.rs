mod mistakes;

use super::*;
use durable::{cut, directory, scratch};
use protocol::provision::Fate;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1lCyLg8uNLwgEd7CM/8mxZGPTlWUQ9F5OG9JYyqUVn me@laptop";

const FULL: &str = r#"
hostname = "rack7"
timezone = "Europe/Berlin"
[wifi]
ssid = "attic"
passphrase = "correct horse"
country = "de"
[ssh]
authorized_keys = ["KEY"]
[secrets]
"climate.bearer-token" = "hunter2"
climate.webhook = "https://hooks.example/x"
"#;

const HOSTS: &str = "10.0.0.9 factory nas\n127.0.0.1 localhost\n127.0.0.2 factory.lan factory factory-2\n::1 localhost\n";

struct Device {
    _dir: tempfile::TempDir,
    root: Root,
}

impl Device {
    /// A device after its initrd has run: the generation's /etc, the time zones, an empty /run.
    fn new() -> Self {
        let dir = scratch();
        let device = Self {
            root: Root::new(dir.path()),
            _dir: dir,
        };
        for zone in ["Europe/Berlin", "UTC"] {
            device.put(&format!("usr/share/zoneinfo/{zone}"), "TZif2");
        }
        device.put("usr/share/zoneinfo/tzdata.zi", "# version");
        for folder in ["boot", "run", "var/lib", "dev"] {
            fs::create_dir_all(device.root.at(folder)).unwrap();
        }
        device.power_on();
        device
    }

    /// Resets what each boot resets: /run, and the generation's /etc.
    fn power_on(&self) {
        let _ = fs::remove_dir_all(self.root.at("run"));
        let _ = fs::remove_dir_all(self.root.at("etc"));
        self.put("etc/hostname", "factory\n");
        self.put("etc/hosts", HOSTS);
        self.put(
            "etc/iwd/main.conf",
            "[General]\nEnableNetworkConfiguration=false\n",
        );
        fs::create_dir(self.root.at("run")).unwrap();
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        self.root.put(path, content);
    }

    fn insert_card_with(&self, file: &str) {
        self.put("boot/lichen.toml", file.replace("KEY", KEY));
    }

    fn boot(&self) -> Report {
        self.power_on();
        run(&self.root)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.at(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root.at(path)).is_ok()
    }

    /// Every file and link of the tree, with its mode.
    fn tree(&self) -> BTreeMap<String, (u32, String)> {
        fn walk(dir: &Path, base: &Path, into: &mut BTreeMap<String, (u32, String)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_dir() {
                    walk(&path, base, into);
                    "folder".to_owned()
                } else if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else {
                    String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
                };
                let name = path.strip_prefix(base).unwrap().display().to_string();
                into.insert(name, (meta.permissions().mode() & 0o7777, content));
            }
        }
        let mut tree = BTreeMap::new();
        walk(&self.root.at(""), &self.root.at(""), &mut tree);
        // Only one thing may differ: whether this boot or the one before stored the file.
        tree.remove(REPORT);
        tree
    }
}

fn mode(device: &Device, path: &str) -> u32 {
    fs::metadata(device.root.at(path))
        .unwrap()
        .permissions()
        .mode()
        & 0o7777
}

#[test]
fn a_file_on_boot_is_stored_wiped_and_in_force() {
    let device = Device::new();
    device.insert_card_with(FULL);
    let report = device.boot();
    assert_eq!(
        (report.file, report.ok(), report.needs_attention()),
        (Fate::Stored, true, false),
        "{report}"
    );
    assert!(!device.has("boot/lichen.toml"), "wiped");

    assert_eq!(device.read("etc/hostname"), "rack7\n");
    assert_eq!(
        device.read("etc/hosts"),
        "10.0.0.9 factory nas\n127.0.0.1 localhost\n127.0.0.2 rack7.lan rack7 factory-2\n::1 localhost\n",
        "its own address has its own name"
    );
    let zone = fs::read_link(device.root.at("etc/localtime")).unwrap();
    assert_eq!(zone, Path::new("../usr/share/zoneinfo/Europe/Berlin"));
    assert_eq!(device.read("etc/timezone"), "Europe/Berlin\n");
    assert_eq!(
        device.read("run/lichen/authorized_keys/root"),
        format!("{KEY}\n")
    );
    assert_eq!(
        device.read("var/lib/iwd/attic.psk"),
        "[Security]\nPassphrase=correct\\shorse\n"
    );
    assert_eq!(
        device.read("etc/iwd/main.conf"),
        "[General]\nCountry=DE\nEnableNetworkConfiguration=false\n"
    );
    assert_eq!(device.read("run/credstore/climate.bearer-token"), "hunter2");
    assert_eq!(
        device.read("run/credstore/climate.webhook"),
        "https://hooks.example/x"
    );

    for (path, expected) in [
        ("var/lib/lichen", 0o700),
        ("var/lib/lichen/provision.toml", 0o600),
        ("var/lib/lichen/credentials", 0o700),
        ("var/lib/lichen/credentials/climate.bearer-token", 0o600),
        ("var/lib/iwd", 0o700),
        ("var/lib/iwd/attic.psk", 0o600),
        ("run/credstore", 0o700),
        ("run/credstore/climate.bearer-token", 0o600),
        ("run/lichen", 0o755),
        ("run/lichen/authorized_keys", 0o755),
        ("run/lichen/authorized_keys/root", 0o600),
        ("etc/hostname", 0o644),
        ("etc/hosts", 0o644),
    ] {
        assert_eq!(mode(&device, path), expected, "{path}");
    }
    assert!(
        !device
            .read("var/lib/lichen/provision.toml")
            .contains("hunter2"),
        "secrets are files of their own"
    );
    assert!(
        !device.read(REPORT).contains("hunter2") && !device.read(REPORT).contains("correct horse")
    );
    assert_eq!(super::report(&device.root), Some(report));
}

#[test]
fn what_was_stored_is_in_force_at_every_boot() {
    let device = Device::new();
    device.insert_card_with(FULL);
    device.boot();
    let first = device.tree();
    let report = device.boot();
    assert_eq!((report.file, report.ok()), (Fate::Absent, true));
    assert_eq!(
        report.applied.secrets,
        ["climate.bearer-token", "climate.webhook"]
    );
    assert_eq!(device.tree(), first);
}

#[test]
fn a_device_without_any_file_stays_as_its_generation_says() {
    let device = Device::new();
    let before = device.read("etc/hostname");
    let report = device.boot();
    assert_eq!(report, Report::default());
    assert_eq!(device.read("etc/hostname"), before);
    assert!(
        !device.has("run/credstore")
            && !device.has("etc/localtime")
            && !device.has("var/lib/lichen")
    );
}

#[test]
fn a_later_file_merges_over_the_stored_one() {
    let device = Device::new();
    device.insert_card_with(FULL);
    device.boot();
    device.insert_card_with(
        "hostname = 'rack8'\n[wifi]\nssid = 'cellar'\npassphrase = 'staple battery'\n[secrets]\n'climate.webhook' = 'new'",
    );
    let applied = device.boot().applied;
    assert_eq!(applied.hostname.as_deref(), Some("rack8"));
    assert_eq!(
        applied.timezone.as_deref(),
        Some("Europe/Berlin"),
        "not named, so it stays"
    );
    assert_eq!(applied.authorized_keys, 1);
    assert_eq!(device.read("run/credstore/climate.webhook"), "new");
    assert_eq!(device.read("run/credstore/climate.bearer-token"), "hunter2");
    // [wifi] is replaced as a whole: neither the old network nor the old country remains.
    assert!(device.has("var/lib/iwd/cellar.psk") && !device.has("var/lib/iwd/attic.psk"));
    assert!(!device.read("etc/iwd/main.conf").contains("Country"));

    device.insert_card_with("[ssh]\nauthorized_keys = []");
    assert_eq!(device.boot().applied.authorized_keys, 0);
    assert!(
        !device.has("run/lichen/authorized_keys/root"),
        "an empty list takes the keys away"
    );
}

/// Two power cuts in a row, at every point while a file is stored, always lead to the same result.
#[test]
fn a_power_cut_at_any_point_ends_in_the_same_state() {
    let second = "hostname = 'rack8'\n[wifi]\nssid = 'cellar'\n[secrets]\nnew = 'secret'\n'climate.webhook' = 'other'";
    let finished = |cuts: &[usize]| {
        let device = Device::new();
        device.insert_card_with(FULL);
        device.boot();
        device.insert_card_with(second);
        let mut whole = 0;
        for n in cuts {
            device.power_on();
            whole += usize::from(cut::at(*n, || run(&device.root)).is_some());
            // Nothing is ever lost: the settings are on BOOT, or stored.
            let on_boot =
                fs::read_to_string(device.root.at("boot/lichen.toml")).is_ok_and(|t| t == second);
            let stored = device
                .read("var/lib/lichen/provision.toml")
                .contains("cellar");
            assert!(on_boot || stored, "lost at {cuts:?}");
        }
        let report = device.boot();
        assert!(!report.needs_attention(), "{cuts:?}: {report}");
        (device.tree(), whole == cuts.len())
    };
    let (expected, _) = finished(&[]);
    assert!(
        !expected
            .keys()
            .any(|path| path.ends_with(".tmp") || path.ends_with("wiping"))
    );
    let mut points = 0;
    for n in 0.. {
        let (tree, whole) = finished(&[n]);
        assert_eq!(tree, expected, "cut at {n}");
        if whole {
            break;
        }
        assert_eq!(
            finished(&[n, n / 2]).0,
            expected,
            "cut at {n}, then at {}",
            n / 2
        );
        points += 1;
    }
    assert!(points > 20, "only {points} points");
}

/// A power cut while zeros are written may leave any mixture of text and zeros.
#[test]
fn a_half_wiped_file_is_wiped_not_reported() {
    let device = Device::new();
    device.insert_card_with(FULL);
    for n in 0.. {
        device.power_on();
        device.insert_card_with(FULL);
        if cut::at(n, || run(&device.root)).is_some() {
            panic!("the note was never there alone");
        }
        if device.has("var/lib/lichen/wiping") {
            break;
        }
    }
    let mut torn = fs::read(device.root.at("boot/lichen.toml")).unwrap();
    torn[..100].fill(0);
    device.put("boot/lichen.toml", torn);
    let report = device.boot();
    assert!(!report.needs_attention(), "{report}");
    assert!(!device.has("boot/lichen.toml") && !device.has("var/lib/lichen/wiping"));
    assert_eq!(report.applied.hostname.as_deref(), Some("rack7"));
}

#[test]
fn a_bad_file_stays_and_what_was_provisioned_earlier_too() {
    let device = Device::new();
    device.insert_card_with(FULL);
    device.boot();
    let before = device.tree();
    let bad = "hostname = 'rack 9'\n[secrets]\nother = 'x'";
    device.insert_card_with(bad);
    let report = device.boot();
    assert_eq!(
        (report.file, report.ok()),
        (Fate::Rejected, true),
        "the device is not to blame"
    );
    assert_eq!(report.applied.hostname.as_deref(), Some("rack7"));
    assert_eq!(device.read("boot/lichen.toml"), bad);
    let mut after = device.tree();
    after.remove("boot/lichen.toml");
    assert_eq!(after, before, "nothing of it is stored");
    let text = report.to_string();
    assert!(
        text.contains("line 1: hostname: `rack 9`") && text.contains("hint: "),
        "{text}"
    );
}

#[test]
fn a_device_that_cannot_store_says_so_and_keeps_the_file() {
    let device = Device::new();
    device.insert_card_with(FULL);
    device.boot();
    device.insert_card_with("hostname = 'rack8'\n[secrets]\nnew = 'x'");
    // Like a full DATA partition: nothing new can be written.
    let obstacle = device.root.at("var/lib/lichen/credentials/new");
    directory(&obstacle, 0o700).unwrap();
    let report = device.boot();
    assert_eq!((report.file, report.ok()), (Fate::Kept, false));
    assert!(report.faults[0].contains("credentials/new"), "{report}");
    assert_eq!(report.applied.hostname.as_deref(), Some("rack7"));
    assert!(device.has("boot/lichen.toml"));
    fs::remove_dir(obstacle).unwrap();
    assert_eq!(
        device.boot().applied.hostname.as_deref(),
        Some("rack8"),
        "the next boot takes it in"
    );
}

#[test]
fn a_fault_in_one_part_leaves_the_others() {
    let device = Device::new();
    device.insert_card_with(FULL);
    device.boot();
    fs::remove_dir_all(device.root.at("var/lib/iwd")).unwrap();
    device.put("var/lib/iwd", "not a folder");
    fs::remove_file(device.root.at("usr/share/zoneinfo/Europe/Berlin")).unwrap();
    let report = device.boot();
    assert_eq!(report.faults.len(), 2, "{report}");
    assert!(
        report.faults[0].contains("Europe/Berlin") && report.faults[1].contains("var/lib/iwd"),
        "{report}"
    );
    assert!(
        device.has("run/lichen/authorized_keys/root")
            && device.has("run/credstore/climate.webhook")
    );
}

#[test]
fn iwds_own_additions_and_networks_stay() {
    let device = Device::new();
    device.insert_card_with(FULL);
    device.boot();
    let with_key = "[Security]\nPreSharedKey=00\nPassphrase=correct\\shorse\n";
    device.put("var/lib/iwd/attic.psk", with_key);
    device.put("var/lib/iwd/phone.psk", "by hand");
    device.boot();
    assert_eq!(device.read("var/lib/iwd/attic.psk"), with_key);
    device.insert_card_with("[wifi]\nssid = 'attic'\npassphrase = 'battery staple'");
    device.boot();
    assert_eq!(
        device.read("var/lib/iwd/attic.psk"),
        "[Security]\nPassphrase=battery\\sstaple\n"
    );
    assert_eq!(device.read("var/lib/iwd/phone.psk"), "by hand");
}

#[test]
fn what_a_newer_version_stored_is_applied_as_far_as_it_is_understood() {
    let device = Device::new();
    device.put(
        "var/lib/lichen/provision.toml",
        "hostname = 'rack7'\nlocale = 'de'\n[wifi]\nssid = 7\n[proxy]\nx = 1\n",
    );
    let report = device.boot();
    assert!(
        report.ok() && report.applied.hostname.as_deref() == Some("rack7"),
        "{report}"
    );
}

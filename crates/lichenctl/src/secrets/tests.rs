use super::*;
use crate::hints;
use crate::provision;
use durable::{cut, scratch};
use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const PAGE: &str = r#"{
  "rack.password": { "bytes": 32, "encoding": "hex" },
  "rack.cookie-key": { "bytes": 48, "encoding": "base64url" }
}"#;

struct Device {
    _dir: tempfile::TempDir,
    root: Root,
}

impl Device {
    /// A device with the page's generation, before its first boot.
    fn new() -> Self {
        let dir = scratch();
        let device = Self {
            root: Root::new(dir.path()),
            _dir: dir,
        };
        for folder in ["boot", "var/lib"] {
            fs::create_dir_all(device.root.at(folder)).unwrap();
        }
        let service = |name: &str, line: &str| {
            let unit = format!("[Service]\nExecStart=/usr/bin/x\n{line}\n");
            device.root.put(format!("etc/systemd/system/{name}"), unit);
        };
        service("rack.service", "ImportCredential=rack.*");
        service(
            "keeper@.service",
            "LoadCredential=password:/run/credstore/rack.password",
        );
        service("other.service", "ImportCredential=other.*");
        service("plain.service", "LoadCredential=rack.password");
        // A drop-in takes back what the unit loads.
        device.root.put(
            "etc/systemd/system/plain.service.d/overrides.conf",
            "[Service]\nLoadCredential=\nLoadCredential=rack.cookie-key\n",
        );
        let alias = device.root.at("etc/systemd/system/shelf.service");
        std::os::unix::fs::symlink("/etc/systemd/system/rack.service", alias).unwrap();
        device.page(PAGE);
        device
    }

    fn page(&self, declared: &str) {
        self.root.put(DECLARED, declared);
    }

    /// A boot, as far as it concerns secrets.
    fn boot(&self) {
        let _ = fs::remove_dir_all(self.root.at("run"));
        fs::create_dir(self.root.at("run")).unwrap();
        let report = provision::run(&self.root);
        assert!(!report.needs_attention(), "{report}");
    }

    fn give(&self, secrets: &str) {
        let text = format!("[secrets]\n{secrets}\n");
        self.root.put("boot/lichen.toml", text);
        self.boot();
    }

    fn read(&self, folder: &str, name: &str) -> Option<String> {
        fs::read_to_string(self.root.at(folder).join(name)).ok()
    }

    /// What a service gets that starts now.
    fn handed_out(&self, name: &str) -> Option<String> {
        self.read(HANDED_OUT, name)
    }

    fn rotate(&self, name: &str, restart: impl Fn(&[String]) -> Result<()>) -> Result<()> {
        let running = [
            "keeper@1.service",
            "other.service",
            "plain.service",
            "rack.service",
        ];
        rotate::with(&self.root, name, &running.map(str::to_owned), restart)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_first_boot_makes_what_the_page_declares_and_later_ones_keep_it() {
    let device = Device::new();
    device.boot();
    let password = device.handed_out("rack.password").unwrap();
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(
        password.len() == 64 && password.bytes().all(hex),
        "{password}"
    );
    let key = device.handed_out("rack.cookie-key").unwrap();
    assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(&key).unwrap().len(), 48);
    for folder in [MADE, HANDED_OUT] {
        let folder = device.root.at(folder);
        let file = folder.join("rack.password");
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600), "{file:?}");
    }
    let named = provision::report(&device.root).unwrap().applied.secrets;
    assert_eq!(named, ["rack.cookie-key", "rack.password"]);

    device.boot();
    // As at a live switch: /run stays.
    provision::run(&device.root);
    assert_eq!(device.handed_out("rack.password"), Some(password.clone()));

    let another = Device::new();
    another.boot();
    assert_ne!(another.handed_out("rack.password"), Some(password));
}

#[test]
fn a_generation_that_does_not_declare_it_leaves_it_for_the_next_that_does() {
    let device = Device::new();
    device.boot();
    let password = device.handed_out("rack.password");
    device.page("{}");
    device.boot();
    assert_eq!(device.handed_out("rack.password"), None);
    device.page(PAGE);
    device.boot();
    assert_eq!(device.handed_out("rack.password"), password);
}

#[test]
fn what_lichen_toml_gives_wins_and_is_never_made() {
    let device = Device::new();
    device.give("'rack.password' = 'hunter2'");
    let password = || device.handed_out("rack.password").unwrap();
    assert_eq!(password(), "hunter2");
    assert_eq!(device.read(MADE, "rack.password"), None);
    assert!(device.handed_out("rack.cookie-key").is_some(), "was made");

    device.give("'rack.cookie-key' = 'hunter3'");
    assert_eq!(device.handed_out("rack.cookie-key").unwrap(), "hunter3");
    assert_eq!(password(), "hunter2");
}

/// A power cut at any point of the first boot: the next boot has a whole value, and keeps that.
#[test]
fn a_power_cut_while_it_is_made_leaves_none_or_a_whole_one() {
    for n in 0.. {
        let device = Device::new();
        let whole = cut::at(n, || provision::run(&device.root)).is_some();
        let stored = device.read(MADE, "rack.password");
        device.boot();
        let value = device.handed_out("rack.password").unwrap();
        assert_eq!(value.len(), 64, "cut at {n}");
        assert!(stored.is_none_or(|stored| stored == value), "cut at {n}");
        if whole {
            assert!(n > 4, "only {n} points");
            break;
        }
    }
}

#[test]
fn a_rotation_restarts_the_services_that_take_it_and_no_others() {
    let device = Device::new();
    device.boot();
    let old = device.handed_out("rack.password");
    let restarted = RefCell::new(Vec::new());
    let restart = |services: &[String]| {
        restarted.borrow_mut().extend_from_slice(services);
        assert_ne!(device.handed_out("rack.password"), old, "they get the new");
        assert_eq!(
            device.read(MADE, "rack.password"),
            old,
            "until they have it"
        );
        Ok(())
    };
    device.rotate("rack.password", restart).unwrap();
    assert_eq!(restarted.take(), ["keeper@1.service", "rack.service"]);
    let new = device.handed_out("rack.password");
    assert!(new != old && new.as_ref().unwrap().len() == 64);
    device.boot();
    assert_eq!(device.handed_out("rack.password"), new);

    device
        .rotate("rack.cookie-key", |services| {
            restarted.borrow_mut().extend_from_slice(services);
            Ok(())
        })
        .unwrap();
    assert_eq!(restarted.take(), ["plain.service", "rack.service"]);
}

#[test]
fn services_that_are_not_healthy_with_the_new_one_get_the_old_one_back() {
    let device = Device::new();
    device.boot();
    let old = device.handed_out("rack.password");
    let given = RefCell::new(Vec::new());
    let error = device
        .rotate("rack.password", |_| {
            given.borrow_mut().push(device.handed_out("rack.password"));
            anyhow::ensure!(given.borrow().last() == Some(&old), "rack.service failed");
            Ok(())
        })
        .unwrap_err();
    assert_eq!(given.borrow().len(), 2);
    let said = format!("{error:#}");
    assert_eq!(
        said,
        "with a new rack.password the services are not healthy: rack.service failed; \
         the old one is in use again, and they are healthy with it"
    );
    assert!(hints::of(&error).unwrap().contains("journalctl"));
    assert_eq!(device.read(MADE, "rack.password"), old);
}

/// After a power cut in a rotation the old or the new value is in use, on DATA as well as in /run.
#[test]
fn a_power_cut_in_a_rotation_leaves_the_old_or_the_new_one() {
    let mut kept = [false; 2];
    for n in 0.. {
        let device = Device::new();
        device.boot();
        let old = device.handed_out("rack.password");
        let whole = cut::at(n, || device.rotate("rack.password", |_| Ok(()))).is_some();
        device.boot();
        let now = device.handed_out("rack.password");
        assert_eq!(now.as_ref().unwrap().len(), 64, "cut at {n}");
        assert_eq!(device.read(MADE, "rack.password"), now, "cut at {n}");
        kept[usize::from(now != old)] = true;
        if whole {
            break;
        }
    }
    assert_eq!(kept, [true, true]);
}

#[test]
fn what_cannot_be_rotated_is_refused_with_what_to_do() {
    let device = Device::new();
    device.give("'rack.token' = 'hunter2'");
    let refused = |name: &str| {
        let error = device
            .rotate(name, |_| panic!("nothing restarts"))
            .unwrap_err();
        let hint = hints::of(&error).unwrap();
        (format!("{error:#}"), hint)
    };
    assert_eq!(
        refused("rack.token"),
        (
            "rack.token is from lichen.toml, so the device does not make a new one".to_owned(),
            "name the new value in [secrets] of lichen.toml, copy that to BOOT and reboot"
        )
    );
    let (error, hint) = refused("rack.pasword");
    assert_eq!(
        error,
        "the page of this device has no secret rack.pasword; the nearest names: rack.password, rack.cookie-key"
    );
    assert!(hint.contains("`lichenctl secret list`"), "{hint}");
    device.page("{}");
    assert_eq!(
        refused("rack.password").0,
        "the page of this device has no secret rack.password that the device makes"
    );
}

#[test]
fn the_list_names_secrets_their_origins_and_their_services_but_no_values() {
    let device = Device::new();
    device.give("'rack.token' = 'hunter2'\nunused = 'hunter3'");
    let list = list(&device.root).unwrap();
    assert_eq!(
        list.to_string(),
        "rack.cookie-key  made here    plain.service rack.service\n\
         rack.password    made here    keeper@.service rack.service\n\
         rack.token       lichen.toml  rack.service\n\
         unused           lichen.toml  no service takes it\n"
    );
    let json = serde_json::to_string(&list).unwrap();
    assert!(json.starts_with(r#"[{"name":"rack.cookie-key","origin":"made","services":["#));
    assert!(!json.contains("hunter"));
}

use super::*;
use crate::hints;
use crate::lock::Busy;
use backup::{BackupError, Identity};
use durable::cut;
use std::path::Path;
use std::time::{Duration, Instant};

mod faults;
mod s3;

const TOPLEVEL: &str = "/nix/store/a-climate";
const SERVICES: [&str; 2] = ["climate", "notes"];

struct Device {
    _dir: tempfile::TempDir,
    root: Root,
}

/// A device with two services whose data are `data`, each in a file.
fn device(data: &str) -> Device {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let device = Device { _dir: dir, root };
    let arguments = format!("lichen.generation=3 lichen.toplevel={TOPLEVEL}\n");
    device.root.put("proc/cmdline", arguments);
    device.root.put("proc/sys/kernel/hostname", "rack7\n");
    device.root.put("proc/uptime", "600.00 9.00\n");
    fs::create_dir_all(device.root.at("boot/gen")).unwrap();
    device.is("climate");
    device.declares("1");
    device.fill(data);
    device
}

impl Device {
    fn is(&self, appliance: &str) {
        let manifest = format!(r#"{{"appliance":"{appliance}","layers":[]}}"#);
        self.root
            .put(&format!("{TOPLEVEL}/manifest.json")[1..], manifest);
    }

    /// The running generation has services whose data have this version.
    fn declares(&self, version: &str) {
        let service = |name: &str| {
            let data = self.root.at("var/lib").join(name).join("file");
            format!(
                r#""{name}":{{"version":"{version}","directory":"/var/lib/{name}","user":"{name}",
                    "backup":"cat {}","restore":"cat > $DIRECTORY/file; ! grep -q bad $DIRECTORY/file"}}"#,
                data.display()
            )
        };
        let text = SERVICES.map(service).join(",");
        self.root
            .put(crate::service_data::FILE, format!("{{{text}}}"));
    }

    fn fill(&self, data: &str) {
        for name in SERVICES {
            self.root
                .put(format!("var/lib/{name}/file"), format!("{data} of {name}"));
        }
    }

    fn configured(&self, keep: usize) -> Identity {
        let key = Identity::generate();
        let text = format!(r#"{{"recipients":["{}"],"keep":{keep}}}"#, key.recipient());
        self.root.put(CONFIG, text);
        key
    }

    fn data(&self) -> Vec<String> {
        let file = |name: &str| self.root.at("var/lib").join(name).join("file");
        let texts = SERVICES.map(|name| fs::read_to_string(file(name)).unwrap_or_default());
        texts.into()
    }

    /// Whatever lies in /var/lib, hidden or not, besides the data of the services.
    fn beside(&self) -> Vec<String> {
        let all = fs::read_dir(self.root.at("var/lib")).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names
            .filter(|name| !SERVICES.contains(&name.as_str()) && name != "lichen")
            .collect()
    }

    /// What was on the device before the restore, as it was kept.
    fn replaced(&self, name: &str) -> Option<String> {
        let folder = self.root.at("var/lib/lichen/state").join(name);
        fs::read_to_string(folder.join("replaced-1/file")).ok()
    }

    /// A backup of it, decrypted.
    fn backup(&self) -> Vec<u8> {
        let key = Identity::generate();
        let mut file = Vec::new();
        stream(&self.root, &[key.recipient()], &mut file).unwrap();
        decrypted(&file, key)
    }

    /// Restores. What another test has just started holds our lock as well, until it runs its program.
    fn restore(&self, plain: &[u8]) -> Result<Manifest> {
        self.restore_from(|| plain)
    }

    fn restore_from<R: std::io::Read>(&self, from: impl Fn() -> R) -> Result<Manifest> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match restore(&self.root, from()) {
                Err(error) if error.is::<Busy>() && Instant::now() < deadline => {
                    std::thread::yield_now();
                }
                done => return done,
            }
        }
    }

    /// Why it refuses a backup, with the hint; whatever the reason, nothing may have changed.
    fn refuses(&self, plain: &[u8]) -> (String, &'static str) {
        let before = self.data();
        let error = self.restore(plain).expect_err("it was restored");
        assert_eq!((self.data(), self.beside()), (before, vec![]), "{error:#}");
        assert!(!self.root.at("var/lib/lichen/restore").exists());
        let told = format!("{error:#}");
        assert!(told.starts_with("nothing was restored: "), "{told}");
        (told, hints::of(&error).unwrap_or_default())
    }

    fn kept(&self) -> Vec<String> {
        let all = shelf::on(&self.root.at(FOLDER)).unwrap();
        let names = all
            .iter()
            .map(|(_, path)| path.file_name().unwrap().to_string_lossy());
        names.map(|name| name.into_owned()).collect()
    }
}

fn decrypted(file: &[u8], key: Identity) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut reader = backup::decrypt(file, &[key]).unwrap();
    std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    plain
}

fn sample(root: &Root, name: &str) -> Option<u64> {
    let text = metrics(root);
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn a_new_card_gets_everything_back() {
    let old = device("the data");
    let plain = old.backup();
    // Of the same generation, and of one that knows a later version.
    for version in ["1", "2", "10"] {
        let new = device("nothing");
        new.declares(version);
        let manifest = new.restore(&plain).unwrap();
        assert_eq!(new.data(), old.data());
        assert_eq!(new.replaced("notes").as_deref(), Some("nothing of notes"));
        assert_eq!(new.beside(), [""; 0]);
        assert_eq!(manifest.hostname, "rack7");
        assert_eq!(manifest.generation, Some(3));
    }
    assert_eq!(old.beside(), [""; 0]);
    assert_eq!(
        fs::read_dir(old.root.at(FOLDER)).unwrap().count(),
        0,
        "no copy stays"
    );
}

#[test]
fn a_backup_that_does_not_fit_is_refused_and_says_what_to_do() {
    let old = device("the data");
    old.declares("2");
    let plain = old.backup();

    let new = device("nothing");
    let (told, hint) = new.refuses(&plain);
    assert!(told.contains("data of climate in version 2"), "{told}");
    assert!(told.contains("knows version 1"), "{told}");
    assert!(hint.contains("deploy a newer generation"), "{hint}");

    new.is("energy");
    let (told, hint) = new.refuses(&plain);
    assert!(
        told.contains("appliance climate, and this device runs energy"),
        "{told}"
    );
    assert!(hint.contains("deploy that appliance"), "{hint}");

    let new = device("nothing");
    new.declares("2");
    new.root.put(crate::service_data::FILE, "{}");
    let (told, _) = new.refuses(&plain);
    assert!(
        told.contains("data of climate, which the running generation does not declare"),
        "{told}"
    );

    let new = device("nothing");
    new.declares("2");
    new.root.put(
        "var/lib/lichen/state/changes.json",
        r#"[{"to":"b","ran":true,"services":{}}]"#,
    );
    let (_, hint) = new.refuses(&plain);
    assert!(hint.contains("its next boot makes it good"), "{hint}");
}

#[test]
fn a_damaged_backup_changes_nothing() {
    let old = device("the data");
    let plain = old.backup();
    let mut refused = 0;
    for at in 4..plain.len() {
        let new = device("nothing");
        let mut changed = plain.clone();
        changed[at] ^= 4;
        match new.restore(&changed) {
            // zstd has bits that mean nothing.
            Ok(_) => assert_eq!(new.data(), old.data(), "byte {at}"),
            Err(_) => {
                // A manifest that tells of another appliance, service or version is refused for that.
                let (told, _) = new.refuses(&changed);
                refused += usize::from(told.contains("damaged"));
            }
        }
    }
    assert!(refused > plain.len() - 60, "{refused} of {}", plain.len());
    let new = device("nothing");
    for cut in [0, 3, plain.len() / 2, plain.len() - 1] {
        new.refuses(&plain[..cut]);
    }
    assert_eq!(new.data(), device("nothing").data());
}

#[test]
fn data_that_their_service_cannot_restore_change_nothing() {
    let plain = device("bad").backup();
    let new = device("nothing");
    let (told, _) = new.refuses(&plain);
    assert!(
        told.contains("cannot restore the data of climate"),
        "{told}"
    );
}

#[test]
fn an_encrypted_backup_is_not_restored_as_it_is() {
    let old = device("the data");
    let key = old.configured(7);
    let file = fs::read(keep(&old.root).unwrap()).unwrap();
    let new = device("nothing");
    let (told, hint) = new.refuses(&file);
    assert!(told.contains("it is encrypted"), "{told}");
    assert!(hint.contains("lichen restore"), "{hint}");
    new.restore(&decrypted(&file, key)).unwrap();
    assert_eq!(new.data(), old.data());
}

#[test]
fn a_power_cut_while_restoring_leaves_all_of_the_old_or_all_of_the_new() {
    let old = device("the data");
    let plain = old.backup();
    let (mut before, mut after) = (0, 0);
    for n in 0.. {
        let new = device("nothing");
        let done = cut::at(n, || new.restore(&plain).unwrap());
        at_boot(&new.root).unwrap();
        assert_eq!(new.beside(), [""; 0], "cut {n}");
        assert!(!new.root.at("var/lib/lichen/restore").exists(), "cut {n}");
        match new.data() {
            data if data == old.data() => after += 1,
            data => {
                assert_eq!(data, device("nothing").data(), "cut {n}");
                assert_eq!(after, 0, "cut {n}: it was decided before");
                before += 1;
            }
        }
        // And it can be restored again.
        new.restore(&plain).unwrap();
        assert_eq!(new.data(), old.data(), "cut {n}");
        if done.is_some() {
            break;
        }
    }
    assert!(
        before > 4 && after > 6,
        "{before} cuts before, {after} after"
    );
}

#[test]
fn a_cut_while_the_cut_is_mended_is_mended_as_well() {
    let old = device("the data");
    let plain = old.backup();
    // Cut where one of the two was exchanged; then again, at each step of what the next boot does.
    for n in 0.. {
        let half = (0..).find_map(|n| {
            let new = device("nothing");
            let done = cut::at(n, || new.restore(&plain).unwrap());
            assert!(done.is_none(), "it was never cut between the two");
            let (was, is) = (old.data(), new.data());
            (was[0] == is[0] && was[1] != is[1]).then_some(new)
        });
        let new = half.unwrap();
        let done = cut::at(n, || at_boot(&new.root).unwrap());
        at_boot(&new.root).unwrap();
        assert_eq!(new.data(), old.data(), "cut again at {n}");
        assert_eq!(
            new.replaced("climate").as_deref(),
            Some("nothing of climate")
        );
        if done.is_some() {
            break;
        }
    }
}

#[test]
fn backups_on_data_are_numbered_and_the_oldest_go() {
    let device = device("one");
    let key = device.configured(3);
    for number in 1..=5 {
        device.fill(&number.to_string());
        keep(&device.root).unwrap();
    }
    let name = |number: u64| format!("rack7-{number:04}.tar.zst.age");
    assert_eq!(device.kept(), [name(3), name(4), name(5)]);
    device.root.put("proc/sys/kernel/hostname", "rack8\n");
    let newest = keep(&device.root).unwrap();
    assert_eq!(
        device.kept(),
        [name(4), name(5), "rack8-0006.tar.zst.age".into()]
    );
    device.fill("nothing");
    device
        .restore(&decrypted(&fs::read(newest).unwrap(), key))
        .unwrap();
    assert_eq!(device.data()[0], "5 of climate");
}

#[test]
fn a_cut_while_backing_up_costs_no_earlier_backup() {
    for n in 0.. {
        let device = device("one");
        device.configured(1);
        let first = keep(&device.root).unwrap();
        let before = fs::read(&first).unwrap();
        let done = cut::at(n, || keep(&device.root).unwrap());
        let kept = device.kept();
        assert!(!kept.is_empty() && kept.len() <= 2, "{kept:?}");
        if first.exists() {
            assert_eq!(fs::read(&first).unwrap(), before);
        }
        keep(&device.root).unwrap();
        assert_eq!(device.kept().len(), 1, "cut {n}");
        let all = fs::read_dir(device.root.at(FOLDER)).unwrap();
        assert_eq!(all.count(), 2, "the backup and the record; cut {n}");
        if done.is_some() {
            break;
        }
    }
}

#[test]
fn a_service_that_cannot_copy_its_data_is_named_and_the_last_good_backup_stays() {
    let device = device("one");
    assert_eq!(metrics(&device.root), "", "nobody asked for backups");
    device.configured(1);
    assert_eq!(
        sample(&device.root, "lichen_backup_last_success_age_seconds"),
        Some(600)
    );
    keep(&device.root).unwrap();
    let age = sample(&device.root, "lichen_backup_last_success_age_seconds");
    assert!(age.unwrap() < 60, "{age:?}");
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(0));

    let file = device.root.at("var/lib/notes/file");
    fs::remove_file(&file).unwrap();
    let told = format!("{:#}", keep(&device.root).unwrap_err());
    assert!(told.contains("cannot copy the data of notes"), "{told}");
    assert!(device.kept().contains(&"rack7-0001.tar.zst.age".into()));
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(1));
    assert!(sample(&device.root, "lichen_backup_size_bytes").unwrap() > 300);

    device.fill("two");
    keep(&device.root).unwrap();
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(0));
}

#[test]
fn without_a_key_nothing_is_backed_up() {
    let device = device("one");
    let told = |error: anyhow::Error| (format!("{error:#}"), hints::of(&error).unwrap());
    for (told, hint) in [
        told(keep(&device.root).unwrap_err()),
        told(stream(&device.root, &[], Vec::new()).unwrap_err()),
    ] {
        assert_eq!(told, "no key is known to encrypt a backup to");
        assert!(hint.contains("lichen key backup"), "{hint}");
    }
    device
        .root
        .put(CONFIG, r#"{"recipients":["age1x"],"keep":7}"#);
    let told = told(
        anyhow::anyhow!("{:#}", keep(&device.root).unwrap_err()).context(BackupRefused::NoKeys),
    );
    assert!(
        told.0.contains("\"age1x\" is not a public key"),
        "{}",
        told.0
    );
    device.configured(7);
    device.root.put(crate::service_data::FILE, "{}");
    let error = keep(&device.root).unwrap_err();
    assert!(format!("{error:#}").contains("no service of this appliance declares data"));
}

#[test]
fn a_stream_is_encrypted_to_the_keys_of_the_configuration_too() {
    let device = device("one");
    let (fleet, own) = (device.configured(7), Identity::generate());
    let mut file = Vec::new();
    stream(
        &device.root,
        &[own.recipient(), fleet.recipient()],
        &mut file,
    )
    .unwrap();
    assert_eq!(decrypted(&file, own), decrypted(&file, fleet));
    assert!(!Path::new(&device.root.at(FOLDER).join("record.json")).exists());
    let stranger = Identity::generate();
    let error = backup::decrypt(file.as_slice(), &[stranger]).err().unwrap();
    assert!(
        matches!(error.downcast_ref(), Some(BackupError::AnotherKey(_))),
        "{error:#}"
    );
}

#[test]
fn versions_are_compared_as_numbers_and_what_is_unknown_is_refused() {
    for (backup, here, later) in [
        ("1", "1", false),
        ("9", "10", false),
        ("10", "9", true),
        ("17.2", "17.10", false),
        ("b", "b", false),
        ("a", "b", true),
        ("1", "b", true),
    ] {
        assert_eq!(restore::is_later(backup, here), later, "{backup} on {here}");
    }
}

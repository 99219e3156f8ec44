//! What fails, or is in the way, while backups are made and restored.

use super::*;
use crate::room::MARGIN;
use crate::state::{State as Boot, Trial, encode};
use protocol::Generation;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::cell::RefCell;
use std::io::{self, Read};

#[test]
fn what_restores_replace_is_never_lost() {
    let (monday, tuesday) = (device("monday").backup(), device("tuesday").backup());
    let device = device("unsaved");
    device.restore(&monday).unwrap();
    device.restore(&tuesday).unwrap();
    let replaced = |n: u8| {
        let file = format!("var/lib/lichen/state/notes/replaced-{n}/file");
        fs::read_to_string(device.root.at(file)).unwrap()
    };
    assert_eq!(device.data()[1], "tuesday of notes");
    assert_eq!(
        [replaced(1), replaced(2)],
        ["unsaved of notes", "monday of notes"]
    );
}

#[test]
fn an_exchange_that_fails_is_completed_by_the_boot_that_it_asks_for() {
    let plain = device("the data").backup();
    let new = device("nothing");
    // Nothing can be put aside.
    let in_the_way = new.root.at("var/lib/lichen/state/climate");
    new.root.put("var/lib/lichen/state/climate", "");
    let told = format!("{:#}", new.restore(&plain).unwrap_err());
    assert!(
        told.contains("the device reboots, which completes it"),
        "{told}"
    );
    let resets = fs::read_to_string(new.root.at("var/lib/lichen/recovery.json")).unwrap();
    assert!(resets.contains("a restore was interrupted"), "{resets}");

    // A second restore does not exchange what services use by now.
    let error = new.restore(&plain).unwrap_err();
    assert!(hints::of(&error).unwrap().contains("a reboot completes it"));

    at_boot(&new.root).unwrap_err();
    fs::remove_file(in_the_way).unwrap();
    at_boot(&new.root).unwrap();
    assert_eq!(new.data(), device("the data").data());
    assert_eq!(new.replaced("notes").as_deref(), Some("nothing of notes"));
    assert_eq!(
        new.replaced("climate").as_deref(),
        Some("nothing of climate")
    );
    new.restore(&plain).unwrap();
}

#[test]
fn a_decision_that_cannot_be_read_or_is_about_nothing_stops_nobody() {
    let gone = r#"[{"service":"gone","directory":"/gone/far","inode":7}]"#;
    for decided in ["", "[{", gone] {
        let device = device("one");
        device
            .root
            .put("var/lib/lichen/restore/decided.json", decided);
        at_boot(&device.root).unwrap();
        assert!(!device.root.at("var/lib/lichen/restore").exists());
        device.restore(&device.backup()).unwrap();
    }
}

/// Runs something when it is first used.
struct Meanwhile<'a, T>(T, RefCell<Option<Box<dyn FnOnce() + 'a>>>);

impl<'a, T> Meanwhile<'a, T> {
    fn new(stream: T, run: impl FnOnce() + 'a) -> Self {
        Self(stream, RefCell::new(Some(Box::new(run))))
    }

    fn run(&self) {
        let run = self.1.take();
        if let Some(run) = run {
            run();
        }
    }
}

impl<T: Read> Read for Meanwhile<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.run();
        self.0.read(buffer)
    }
}

impl<T: Write> Write for Meanwhile<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.run();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_sender_or_a_receiver_that_hangs_holds_up_nobody() {
    let device = device("one");
    device.configured(3);
    let plain = device.backup();
    let change = || drop(GenerationsLock::wait(&device.root).unwrap());
    let sending = || Meanwhile::new(plain.as_slice(), change);
    device.restore_from(sending).unwrap();

    let mut to = Meanwhile::new(Vec::new(), || drop(keep(&device.root).unwrap()));
    let key = Identity::generate();
    stream(&device.root, &[key.recipient()], &mut to).unwrap();
    assert_eq!(device.kept().len(), 1);
    assert!(!decrypted(&to.0, key).is_empty());
}

#[test]
fn the_blessing_of_a_generation_on_trial_does_not_wait_for_a_backup() {
    let device = device("one");
    device.configured(3);
    let trial = Trial {
        generation: Generation(3),
        tries: 1,
    };
    let state = Boot {
        seq: 1,
        good: Generation(2),
        trial: Some(trial),
    };
    device.root.put("boot/st0.env", encode(state));
    let told = format!("{:#}", keep(&device.root).unwrap_err());
    assert!(told.contains("is on trial"), "{told}");
    // A live switch has started it, and its trial is the next boot.
    let arguments = format!("lichen.generation=2 lichen.toplevel={TOPLEVEL}\n");
    device.root.put("proc/cmdline", arguments);
    keep(&device.root).unwrap();
}

#[test]
fn a_service_that_fails_once_costs_no_backup() {
    let device = device("one");
    device.configured(3);
    let file = device.root.at("var/lib/notes/file");
    fs::remove_file(&file).unwrap();
    let waited = RefCell::new(Vec::new());
    let wait = |pause| {
        waited.borrow_mut().push(pause);
        device.fill("two");
    };
    Run::new(&device.root, &AGAIN, wait).keep().unwrap();
    assert_eq!(waited.take(), AGAIN[..1]);
    assert_eq!(device.kept().len(), 1);
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(0));
}

#[test]
fn a_service_that_goes_on_failing_costs_the_others_no_backup() {
    let device = device("one");
    let key = device.configured(2);
    keep(&device.root).unwrap();
    let size = sample(&device.root, "lichen_backup_size_bytes");
    device.fill("two");
    fs::remove_file(device.root.at("var/lib/notes/file")).unwrap();
    for _ in 0..3 {
        let error = Run::new(&device.root, &AGAIN, |_| ()).keep().unwrap_err();
        let told = format!("{error:#}");
        assert!(
            told.contains("is a backup without the data of notes: cannot copy the data of notes"),
            "{told}"
        );
        assert!(hints::of(&error).unwrap().contains("mend the service"));
    }
    // One of each night, and the last one that has everything.
    let name = |number: u64| format!("rack7-{number:04}.tar.zst.age");
    assert_eq!(device.kept(), [1, 3, 4].map(name));
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(1));
    assert_eq!(sample(&device.root, "lichen_backup_size_bytes"), size);

    let newest = fs::read(device.root.at(FOLDER).join(name(4))).unwrap();
    let plain = decrypted(&newest, key);
    let new = super::device("nothing");
    let manifest = new.restore(&plain).unwrap();
    assert_eq!(manifest.missing, ["notes"]);
    assert_eq!(new.data(), ["two of climate", "nothing of notes"]);

    // Whoever asks for one on another machine still gets all or nothing.
    let receiver = Identity::generate().recipient();
    stream(&device.root, &[receiver], Vec::new()).unwrap_err();
    device.fill("three");
    keep(&device.root).unwrap();
    assert_eq!(device.kept(), [4, 5].map(name));
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(0));
}

#[test]
fn the_age_counts_while_the_device_is_off_and_knows_no_time_to_come() {
    let age =
        |device: &Device| sample(&device.root, "lichen_backup_last_success_age_seconds").unwrap();
    let waiting = device("one");
    waiting.configured(3);
    assert_eq!(age(&waiting), 600);
    // It has just started again.
    waiting.root.put("proc/uptime", "5.00 1.00\n");
    assert!(age(&waiting) >= 600);

    let wrong = device("one");
    wrong.configured(3);
    let next_year = crate::record::now() + 365 * 86400;
    wrong.root.put(
        "var/lib/lichen/backup/record.json",
        format!(r#"{{"since":{next_year},"good":{{"file":"x","bytes":1}}}}"#),
    );
    assert_eq!(age(&wrong), 600);
}

/// A file system of 100 MB in the place of a folder, for root only.
struct Small(std::path::PathBuf);

impl Small {
    fn at(folder: std::path::PathBuf) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let none = MountFlags::empty();
        mount("none", &folder, "tmpfs", none, c"size=100m").ok()?;
        Some(Self(folder))
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.0).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn other_writers_keep_their_room_and_old_backups_give_way() {
    let device = device("one");
    device.configured(5);
    let Some(data) = Small::at(device.root.at(FOLDER)) else {
        return; // Only root can mount it.
    };
    device.services("head -c 200M /dev/zero");
    let error = keep(&device.root).unwrap_err();
    assert!(
        format!("{error:#}").contains("DATA has no room"),
        "{error:#}"
    );
    assert!(hints::of(&error).unwrap().contains("replaced-N"));
    assert!(data.free() >= MARGIN, "{} are free", data.free());

    // Each archive takes 10 MB, and so does what one is made of: there is room for two of them.
    let file = device.root.at("var/lib/notes/file");
    device.root.put("var/lib/notes/file", s3::noise(10 << 20));
    device.services(&format!("cat {}", file.display()));
    for _ in 0..4 {
        keep(&device.root).unwrap();
        assert!(data.free() >= MARGIN, "{} are free", data.free());
    }
    let kept = device.kept();
    assert_eq!(kept, [3, 4].map(|n| format!("rack7-{n:04}.tar.zst.age")));
}

#[test]
fn all_copies_and_all_of_the_archive_need_not_be_there_at_once() {
    let device = device("one");
    device.configured(5);
    let Some(data) = Small::at(device.root.at(FOLDER)) else {
        return; // Only root can mount it.
    };
    // Of the 36 MB that it may use, the copies take 24, and so does the archive.
    let file = device.root.at("var/lib/notes/file");
    device.root.put("var/lib/notes/file", s3::noise(6 << 20));
    device.has_services(4, &format!("cat {}", file.display()));
    keep(&device.root).unwrap();
    assert!(data.free() >= MARGIN, "{} are free", data.free());
}

impl Device {
    /// The running generation has one service, with this command.
    fn services(&self, backup: &str) {
        self.has_services(1, backup);
    }

    /// The running generation has so many services with this command.
    fn has_services(&self, count: usize, backup: &str) {
        let service = |n| {
            format!(
                r#""notes{n}":{{"version":"1","directory":"/var/lib/notes","user":"notes","backup":"{backup}","restore":"true"}}"#
            )
        };
        let services: Vec<_> = (0..count).map(service).collect();
        self.root.put(
            crate::service_data::FILE,
            format!("{{{}}}", services.join(",")),
        );
    }
}

use super::*;
use crate::state::{State, Trial, encode};
use durable::scratch;

/// BOOT, on which generation 1 is good.
fn boot_partition(root: &Root, trial: Option<Trial>) {
    let (seq, good) = (1, Generation(1));
    let state = encode(State { seq, good, trial });
    fs::create_dir_all(root.at("boot/gen")).unwrap();
    durable::atomic_write(&root.at("boot/st0.env"), &state, 0o600).unwrap();
}

fn boots(root: &Root, id: &str) {
    root.put("proc/sys/kernel/random/boot_id", format!("{id}\n"));
    root.put("proc/uptime", "3.20 5.00\n");
    begin(root).unwrap();
}

#[test]
fn the_reason_of_each_reset_is_told() {
    let dir = scratch();
    let root = Root::new(dir.path());
    root.put("etc/lichen/recovery.json", "{\"reboots\":4}");
    boots(&root, "a");
    assert_eq!(published(&root).unwrap().resets, []);

    announce(&root, Reason::Update, "into generation 2");
    end(&root).unwrap();
    boots(&root, "b");
    end(&root).unwrap();
    boots(&root, "c");
    boots(&root, "d");
    root.put("sys/class/watchdog/watchdog0/bootstatus", "32\n");
    root.put("sys/class/watchdog/watchdog0/identity", "any\n");
    boots(&root, "e");

    let told = published(&root).unwrap();
    let words: Vec<_> = told.resets.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "update: into generation 2",
            "asked for",
            "power cut, or a hang (this board's watchdog does not tell)",
            "the watchdog, as the device hung",
        ]
    );
    assert_eq!((told.reboots, told.limit), (0, 4));
    let metrics = fs::read_to_string(root.at("run/lichen/metrics")).unwrap();
    assert!(
        metrics.contains("\nlichen_last_reset{reason=\"watchdog\",why=\"\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn a_reboot_that_cannot_be_counted_is_not_made() {
    let dir = scratch();
    let root = Root::new(dir.path());
    // A file where the folder has to be: nothing can be written.
    root.put("var/lib", "");
    let error = spend(&root, None, "x").unwrap_err();
    assert!(
        format!("{error:#}").starts_with("a reboot that cannot be counted"),
        "{error:#}"
    );
    announce(&root, Reason::Asked, "");
}

#[test]
fn a_network_that_stays_away_leaves_services_half_of_the_reboots() {
    for (limit, allowed) in [(4, 2), (1, 1), (0, 0)] {
        let dir = scratch();
        let root = Root::new(dir.path());
        let settings = format!("{{\"reboots\":{limit}}}");
        root.put("etc/lichen/recovery.json", &settings);
        boot_partition(&root, None);
        let mut reboots = 0;
        for n in 0..10 {
            boots(&root, &n.to_string());
            reboots += usize::from(reboot(&root, "the network stays away").unwrap());
        }
        assert_eq!((reboots, Ledger::load(&root).spent()), (allowed, allowed));
        let resets = published(&root).unwrap().resets;
        let told = resets.iter().map(ToString::to_string);
        let told = told.filter(|words| words == "recovery: the network stays away");
        assert_eq!(told.count(), allowed);
        // It says nothing against any generation.
        assert_eq!(Ledger::load(&root).in_vain(Some(Generation(1))), 0);
    }
}

/// A device that may reboot.
fn device() -> (tempfile::TempDir, Root) {
    let dir = scratch();
    let root = Root::new(dir.path());
    root.put("etc/lichen/recovery.json", "{\"reboots\":4}");
    boot_partition(&root, None);
    boots(&root, "a");
    (dir, root)
}

#[test]
fn a_device_that_may_not_find_anything_to_boot_is_not_rebooted() {
    for gone in ["boot", "boot/st0.env", "boot/gen"] {
        let (_dir, root) = device();
        fs::rename(root.at(gone), root.at("gone")).unwrap();
        assert!(!reboot(&root, "x").unwrap(), "without {gone}");
        assert_eq!(Ledger::load(&root).spent(), 0, "without {gone}");
        fs::rename(root.at("gone"), root.at(gone)).unwrap();
        assert!(reboot(&root, "x").unwrap(), "with {gone}");
    }
}

#[test]
fn nobody_waits_for_a_change_of_generation_to_be_refused_a_reboot() {
    let (_dir, root) = device();
    let busy = GenerationsLock::take(&root).unwrap();
    // A reboot that waits shows as a failure, and not as a test that never ends.
    let (tell, told) = std::sync::mpsc::channel();
    let asked = root.clone();
    std::thread::spawn(move || tell.send(reboot(&asked, "x").unwrap()));
    let answer = told.recv_timeout(std::time::Duration::from_secs(10));
    assert_eq!(answer, Ok(false));
    drop(busy);
    assert!(reboot(&root, "x").unwrap());
}

#[test]
fn a_blessing_decides_only_about_the_generation_that_is_on_trial() {
    let trial = |generation| {
        let generation = Generation(generation);
        Some(Trial {
            generation,
            tries: 2,
        })
    };
    // The second case is neither good nor on trial: nothing else will ever decide about it.
    for (booted, trial, allowed) in [(2, trial(2), false), (2, trial(3), true), (1, None, true)] {
        let (_dir, root) = device();
        boot_partition(&root, trial);
        root.put("proc/cmdline", format!("lichen.generation={booted}\n"));
        assert_eq!(reboot(&root, "x").unwrap(), allowed, "{booted} {trial:?}");
    }
}

#[test]
fn a_reset_that_cannot_be_set_off_is_not_the_reason_of_the_next() {
    let (_dir, root) = device();
    announce(&root, Reason::Update, "into generation 2");
    set_off(&root, || anyhow::bail!("systemd is gone")).unwrap_err();
    boots(&root, "b");
    let last = published(&root).unwrap().resets.pop().unwrap();
    assert_eq!(last.reason, Reason::PowerOrWatchdog);
}

#[test]
fn a_record_of_a_panic_that_stays_is_told_once() {
    let (_dir, root) = device();
    let record = |n, why| {
        let path = format!("sys/fs/pstore/dmesg-ramoops-{n}");
        root.put(&path, format!("<0>[    8.1] Kernel panic - {why}\n"));
    };
    let last = || published(&root).unwrap().resets.pop().unwrap();
    record(0, "one");
    boots(&root, "b");
    assert_eq!(
        last().to_string(),
        "panic of the kernel: Kernel panic - one"
    );
    boots(&root, "c");
    assert_eq!(last().reason, Reason::PowerOrWatchdog);
    record(1, "two");
    boots(&root, "d");
    assert_eq!(
        last().to_string(),
        "panic of the kernel: Kernel panic - two"
    );
}

#[test]
fn a_reason_is_one_short_line_and_tells_the_neighbours_nothing_of_who_logged_in() {
    let (_dir, root) = device();
    announce(
        &root,
        Reason::Trial,
        &format!("\u{1b}[2Ja\nb{}", "é".repeat(500)),
    );
    boots(&root, "b");
    let why = published(&root).unwrap().resets.pop().unwrap().why;
    assert!(why.starts_with("[2Ja béé"), "{why}");
    assert_eq!(why.chars().count(), 200);

    announce(
        &root,
        Reason::Asked,
        "the last login was by root from 192.168.1.7",
    );
    boots(&root, "c");
    let metrics = fs::read_to_string(root.at("run/lichen/metrics")).unwrap();
    let label = "lichen_last_reset{reason=\"asked\",why=\"\"} 1";
    assert!(metrics.contains(label), "{metrics}");
    // Every service passes this on, to whoever asks; the status is for those who may log in themselves.
    let told = fs::read_to_string(root.at("run/lichen/recovery.json")).unwrap();
    assert!(
        told.contains("\"asked\"") && !told.contains("192.168"),
        "{told}"
    );
    let last = || known(&root).unwrap().resets.pop().unwrap().to_string();
    assert_eq!(
        last(),
        "asked for: the last login was by root from 192.168.1.7"
    );
    durable::remove(&root.at("var/lib/lichen/recovery.json")).unwrap();
    assert_eq!(last(), "asked for");
}

#[test]
fn who_logged_in_is_read_from_what_sshd_says() {
    let said = "Accepted publickey for root from 10.0.2.2 port 38046 ssh2: ED25519 SHA256:abc\n";
    assert_eq!(login(said).unwrap(), "root from 10.0.2.2");
    assert_eq!(login(""), None);
    assert_eq!(login("Accepted for"), None);
}

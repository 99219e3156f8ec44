use super::*;
use durable::scratch;

fn put(root: &Root, path: &str, text: &str) {
    let path = root.at(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    durable::atomic_write(&path, text.as_bytes(), 0o644).unwrap();
}

fn boots(root: &Root, id: &str) {
    put(root, "proc/sys/kernel/random/boot_id", &format!("{id}\n"));
    put(root, "proc/uptime", "3.20 5.00\n");
    begin(root).unwrap();
}

#[test]
fn the_reason_of_each_reset_is_told() {
    let dir = scratch();
    let root = Root::new(dir.path());
    put(&root, "etc/lichen/recovery.json", "{\"reboots\":4}");
    boots(&root, "a");
    assert_eq!(published(&root).unwrap().resets, []);

    announce(&root, Reason::Update, "into generation 2");
    end(&root).unwrap();
    boots(&root, "b");
    end(&root).unwrap();
    boots(&root, "c");
    boots(&root, "d");
    put(&root, "sys/class/watchdog/watchdog0/bootstatus", "32\n");
    put(&root, "sys/class/watchdog/watchdog0/identity", "any\n");
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
    put(&root, "var/lib", "");
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
        put(&root, "etc/lichen/recovery.json", &settings);
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

#[test]
fn who_logged_in_is_read_from_what_sshd_says() {
    let said = "Accepted publickey for root from 10.0.2.2 port 38046 ssh2: ED25519 SHA256:abc\n";
    assert_eq!(login(said).unwrap(), "root from 10.0.2.2");
    assert_eq!(login(""), None);
    assert_eq!(login("Accepted for"), None);
}

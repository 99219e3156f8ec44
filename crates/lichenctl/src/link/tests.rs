use super::*;
use crate::link::interface::Interface;
use durable::scratch;

/// A device with a cable and a radio, that notes what is done to it.
struct Bench {
    done: Vec<String>,
    interfaces: Vec<Interface>,
    joined: BTreeSet<(String, String)>,
    may_reboot: bool,
    /// Loading the driver again is the end of everything.
    panics: bool,
}

impl Device for Bench {
    fn interfaces(&mut self, _: &[String], _: &BTreeSet<String>) -> Vec<Interface> {
        self.interfaces.clone()
    }

    fn joined(&mut self) -> Result<BTreeSet<(String, String)>> {
        Ok(self.joined.clone())
    }

    fn reconfigure(&mut self, interface: &str) -> Result<()> {
        self.done.push(format!("reconfigure {interface}"));
        anyhow::bail!("networkd does not answer")
    }

    fn restart_iwd(&mut self) -> Result<()> {
        self.done.push("restart iwd".into());
        Ok(())
    }

    fn reload(&mut self, driver: &str) -> Result<()> {
        self.done.push(format!("reload {driver}"));
        assert!(!self.panics, "{driver} takes the kernel with it");
        Ok(())
    }

    fn reboot(&mut self, why: &str) -> Result<bool> {
        self.done.push(format!("reboot: {why}"));
        Ok(self.may_reboot)
    }
}

fn interface(name: &str, radio: bool, driver: Option<&str>) -> Interface {
    Interface {
        name: name.into(),
        radio,
        carrier: true,
        driver: driver.map(str::to_owned),
    }
}

fn bench() -> Bench {
    Bench {
        done: Vec::new(),
        interfaces: vec![
            interface("eth0", false, None),
            interface("wlan0", true, Some("brcmfmac")),
        ],
        joined: [("attic".to_owned(), "psk".to_owned())].into(),
        may_reboot: true,
        panics: false,
    }
}

fn settings() -> Settings {
    let text = r#"{"reconnect_after":120,"reload_driver_after":600,"reboot_after":3600,"interfaces":[],"tunnels":[]}"#;
    serde_json::from_str(text).unwrap()
}

fn gateway(answers: bool) -> Result<Vec<Gateway>> {
    Ok(vec![Gateway {
        interface: "wlan0".into(),
        address: "192.168.1.1".into(),
        answers: Some(answers),
    }])
}

fn device() -> (tempfile::TempDir, Root) {
    let dir = scratch();
    let root = Root::new(dir.path());
    for path in ["etc/iwd/main.conf", "var/lib/iwd/attic.psk"] {
        root.put(path, "");
    }
    (dir, root)
}

/// Looks every half minute from one minute to the other.
fn during(watch: &mut Watch<'_>, bench: &mut Bench, minutes: std::ops::Range<u64>, answers: bool) {
    for at in (minutes.start * 60..minutes.end * 60).step_by(30) {
        watch.look(Duration::from_secs(at), gateway(answers), bench);
    }
}

#[test]
fn a_silent_gateway_has_everything_connected_again_then_reloaded_then_a_reboot() {
    let (_dir, root) = device();
    let mut bench = bench();
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..1, true);
    assert_eq!(
        fs::read_to_string(root.at("var/lib/lichen/wifi-worked")).unwrap(),
        "attic.psk"
    );
    // The radio is gone altogether: its driver is remembered.
    during(&mut watch, &mut bench, 1..4, false);
    assert_eq!(bench.done, ["restart iwd"]);
    let told = published(&root).unwrap();
    assert_eq!(told.silent_since, Some(60));
    assert_eq!(told.counts.reconnects, 1);
    bench.interfaces.clear();
    bench.done.clear();
    during(&mut watch, &mut bench, 4..12, false);
    assert_eq!(bench.done, ["reload brcmfmac"]);
    bench.done.clear();
    during(&mut watch, &mut bench, 12..62, false);
    let reboot = "reboot: no gateway has answered for 60 min";
    assert_eq!(bench.done.last().unwrap(), reboot);

    // After the boot it is known what helped.
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 1..2, false);
    during(&mut watch, &mut bench, 2..3, true);
    let told = published(&root).unwrap();
    let Outage { seconds, after } = told.last_outage.unwrap();
    assert_eq!((seconds, after), (3660, Step::Reboot));
    assert_eq!((told.counts.reboots, told.counts.healed), (1, 1));
    assert_eq!(told.silent_since, None);
    assert_eq!(Kept::load(&root).in_vain, 0);
}

#[test]
fn a_reboot_that_is_refused_is_not_counted_and_asked_for_again() {
    let (_dir, root) = device();
    let mut bench = bench();
    bench.may_reboot = false;
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..1, true);
    during(&mut watch, &mut bench, 1..200, false);
    let asked = bench.done.iter().filter(|done| done.starts_with("reboot"));
    assert_eq!(asked.count(), 3);
    assert_eq!(published(&root).unwrap().counts.reboots, 0);
    assert_eq!(Kept::load(&root).in_vain, 0);
}

#[test]
fn without_a_cable_or_a_network_to_join_nothing_is_done() {
    let (_dir, root) = device();
    durable::remove(&root.at("var/lib/iwd/attic.psk")).unwrap();
    let mut bench = bench();
    bench.interfaces = vec![
        Interface {
            carrier: false,
            ..interface("eth0", false, None)
        },
        interface("wlan0", true, None),
    ];
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..600, false);
    // No gateway has ever answered on this card, so there is no reboot either.
    assert_eq!(bench.done, [""; 0]);
    assert_eq!(published(&root).unwrap().counts.reconnects, 0);
}

#[test]
fn a_cable_into_a_network_that_never_had_a_gateway_is_left_alone() {
    let (_dir, root) = device();
    let mut bench = bench();
    bench.interfaces.truncate(1);
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..600, false);
    assert_eq!(bench.done, [""; 0]);
}

#[test]
fn what_cannot_be_seen_is_no_silence() {
    let (_dir, root) = device();
    let mut bench = bench();
    let mut watch = Watch::new(&root, settings());
    for at in (0..100_000).step_by(30) {
        let broken = Err(anyhow::anyhow!("ip: no end within 10 s"));
        watch.look(Duration::from_secs(at), broken, &mut bench);
    }
    assert_eq!(bench.done, [""; 0]);
}

#[test]
fn a_driver_that_takes_the_kernel_with_it_is_not_loaded_again_until_a_gateway_has_answered() {
    let (_dir, root) = device();
    let mut bench = bench();
    bench.panics = true;
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..1, true);
    let silence = || during(&mut watch, &mut bench, 1..20, false);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(silence)).unwrap_err();
    assert_eq!(bench.done.last().unwrap(), "reload brcmfmac");

    bench.panics = false;
    let reloads = |bench: &Bench| {
        let reloads = bench.done.iter().filter(|done| done.starts_with("reload"));
        reloads.count()
    };
    for _boot in 0..2 {
        bench.done.clear();
        let mut watch = Watch::new(&root, settings());
        during(&mut watch, &mut bench, 0..100, false);
        assert_eq!(reloads(&bench), 0);
        assert!(bench.done.iter().all(|done| !done.starts_with("reboot")));
        // The reset helped as little as a reboot, and is counted once.
        assert_eq!(Kept::load(&root).in_vain, 1);
    }
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..1, true);
    during(&mut watch, &mut bench, 1..15, false);
    assert_eq!(reloads(&bench), 1);
}

#[test]
fn a_device_that_cannot_look_any_more_reboots_and_does_nothing_else() {
    let (_dir, root) = device();
    let mut bench = bench();
    let mut watch = Watch::new(&root, settings());
    let up = || {
        let told = fs::read_to_string(root.at("run/lichen/link.metrics")).unwrap();
        assert!(told.contains("\nlichen_link_healed_total "), "{told}");
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("lichen_link_up "));
        line.map(str::to_owned)
    };
    during(&mut watch, &mut bench, 0..1, true);
    assert_eq!(up().as_deref(), Some("1"));
    for at in (60..3760).step_by(30) {
        let broken = Err(anyhow::anyhow!("ip: no end within 10 s"));
        watch.look(Duration::from_secs(at), broken, &mut bench);
    }
    assert_eq!(
        bench.done,
        ["reboot: the network cannot be looked at for 60 min"]
    );
    let told = published(&root).unwrap().gateways;
    assert_eq!((told.len(), told[0].answers), (1, None));
    assert_eq!(up(), None, "what was seen an hour ago");
    during(&mut watch, &mut bench, 63..64, true);
    assert_eq!(up().as_deref(), Some("1"));
}

#[test]
fn a_radio_that_has_no_network_to_join_keeps_its_driver() {
    let (_dir, root) = device();
    durable::remove(&root.at("var/lib/iwd/attic.psk")).unwrap();
    let mut bench = bench();
    let mut watch = Watch::new(&root, settings());
    during(&mut watch, &mut bench, 0..1, true);
    during(&mut watch, &mut bench, 1..100, false);
    assert!(bench.done.iter().all(|done| !done.starts_with("reload")));
}

#[test]
fn only_what_had_a_gateway_is_configured_anew() {
    let (_dir, root) = device();
    let mut bench = bench();
    bench.interfaces.push(interface("br0", false, None));
    let behind = |interface: &str, answers| {
        let gateway = gateway(answers).unwrap().remove(0);
        let interface = interface.to_owned();
        Ok(vec![Gateway {
            interface,
            ..gateway
        }])
    };
    let mut watch = Watch::new(&root, settings());
    watch.look(Duration::ZERO, behind("wlan0", true), &mut bench);
    watch.look(Duration::ZERO, behind("br0", true), &mut bench);
    for at in (30..240).step_by(30) {
        watch.look(Duration::from_secs(at), behind("br0", false), &mut bench);
    }
    // A second cable leads to a network that never had one.
    assert_eq!(bench.done, ["reconfigure br0", "restart iwd"]);
}

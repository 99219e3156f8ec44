//! The interfaces that are hardware: cables and radios, the radios' drivers, and the network that iwd has joined.

use super::command;
use crate::root::Root;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Where a radio is on a bus from which its driver finds it again.
const BUSES: [&str; 3] = ["pci", "sdio", "usb"];
const PATIENCE: Duration = Duration::from_secs(10);

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is a radio.
    pub radio: bool,
    /// Whether it is connected.
    pub carrier: bool,
    /// The module of its driver, if that can be loaded again and finds a radio by itself.
    pub driver: Option<String>,
}

/// Those of this device that are hardware, or behind which a gateway has `answered`, such as a bridge; of them, those that are
/// named, if any is.
pub fn interfaces(root: &Root, named: &[String], answered: &BTreeSet<String>) -> Vec<Interface> {
    let folder = fs::read_dir(root.at("sys/class/net"));
    let mut found: Vec<_> = folder
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let path = entry.path();
            let wanted = named.is_empty() || named.contains(&name);
            let counts = path.join("device").exists() || answered.contains(&name);
            (wanted && counts).then(|| read(root, name, &path))
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn read(root: &Root, name: String, path: &Path) -> Interface {
    let radio = path.join("phy80211").exists();
    let carrier = fs::read_to_string(path.join("carrier")).is_ok_and(|text| text.trim() == "1");
    let target = |link: &str| {
        let target = fs::read_link(path.join("device").join(link)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    };
    let bus = target("subsystem").filter(|bus| radio && BUSES.contains(&bus.as_str()));
    let driver = bus.and_then(|_| target("driver/module"));
    // What is built into the kernel has no such file.
    let loadable = |name: &String| root.at("sys/module").join(name).join("initstate").exists();
    Interface {
        name,
        radio,
        carrier,
        driver: driver.filter(loadable),
    }
}

/// Whether it is WireGuard's, or a program's that makes a tunnel.
pub fn is_tunnel(root: &Root, name: &str) -> bool {
    let path = root.at("sys/class/net").join(name);
    let told = fs::read_to_string(path.join("uevent")).unwrap_or_default();
    path.join("tun_flags").exists() || told.lines().any(|line| line == "DEVTYPE=wireguard")
}

/// Loads a driver again, and what depends on it.
pub fn reload(driver: &str) -> Result<()> {
    let long = Duration::from_secs(60);
    let modprobe = ["modprobe".to_owned()];
    // What holds it, such as the Broadcom driver's modules for single vendors, comes back by itself.
    let unload = ["--remove", "--remove-holders", "--", driver];
    let unloaded = command::run(&modprobe, &unload, long);
    command::run(&modprobe, &["--", driver], long)?;
    unloaded.map(drop)
}

/// Objects by their paths, as `GetManagedObjects` gives them.
#[derive(Deserialize)]
struct Reply {
    data: Vec<BTreeMap<String, Interfaces>>,
}

/// The properties of an object, by the interface that has them.
type Interfaces = BTreeMap<String, BTreeMap<String, Property>>;

#[derive(Deserialize)]
struct Property {
    data: serde_json::Value,
}

/// The networks that iwd has joined: the name and the kind of each, as in the suffix of iwd's files.
pub fn joined() -> Result<BTreeSet<(String, String)>> {
    let call = [
        "--json=short",
        "--timeout=5",
        "call",
        "net.connman.iwd",
        "/",
        "org.freedesktop.DBus.ObjectManager",
        "GetManagedObjects",
    ];
    joined_of(&command::run(&["busctl".to_owned()], &call, PATIENCE)?)
}

fn joined_of(said: &str) -> Result<BTreeSet<(String, String)>> {
    let reply: Reply = serde_json::from_str(said).context("cannot read what iwd answers")?;
    let objects = reply.data.into_iter().flatten();
    let networks = objects.filter_map(|(_, mut object)| object.remove("net.connman.iwd.Network"));
    let joined = networks.filter(|n| n.get("Connected").is_some_and(|p| p.data == true));
    let names = joined.filter_map(|network| {
        let text = |name: &str| Some(network.get(name)?.data.as_str()?.to_owned());
        Some((text("Name")?, text("Type")?))
    });
    Ok(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use durable::scratch;
    use std::os::unix::fs::symlink;

    struct Device {
        _dir: tempfile::TempDir,
        root: Root,
    }

    impl Device {
        fn new() -> Self {
            let dir = scratch();
            let root = Root::new(dir.path());
            let device = Self { _dir: dir, root };
            device.put("class/net/lo/carrier", "1\n");
            device.put("class/net/wg0/carrier", "1\n");
            device
        }

        fn put(&self, path: &str, text: &str) {
            self.root.put(Path::new("sys").join(path), text);
        }

        /// An interface as the kernel shows it: links to its device, whose driver is a module.
        fn plug(&self, name: &str, bus: &str, driver: &str, radio: bool) {
            let sys = self.root.at("sys");
            let device = sys.join("devices").join(name);
            let module = sys.join("module").join(driver);
            for folder in [&device, &module, &sys.join("bus").join(bus)] {
                fs::create_dir_all(folder).unwrap();
            }
            fs::create_dir_all(sys.join("drivers").join(driver)).unwrap();
            let interface = sys.join("class/net").join(name);
            fs::create_dir_all(&interface).unwrap();
            if radio {
                fs::create_dir_all(interface.join("phy80211")).unwrap();
            }
            symlink(&module, sys.join("drivers").join(driver).join("module")).unwrap();
            symlink(sys.join("drivers").join(driver), device.join("driver")).unwrap();
            symlink(sys.join("bus").join(bus), device.join("subsystem")).unwrap();
            symlink(&device, interface.join("device")).unwrap();
        }
    }

    #[test]
    fn only_the_driver_of_a_radio_that_is_a_module_on_a_bus_is_loaded_again() {
        let device = Device::new();
        device.plug("eth0", "platform", "genet", false);
        device.plug("wlan0", "sdio", "brcmfmac", true);
        device.plug("wlan1", "usb", "built_in", true);
        device.plug("wlan2", "mac80211_hwsim", "mac80211_hwsim", true);
        for module in ["genet", "brcmfmac", "mac80211_hwsim"] {
            device.put(&format!("module/{module}/initstate"), "live\n");
        }
        device.put("class/net/eth0/carrier", "1\n");
        let found = interfaces(&device.root, &[], &BTreeSet::new());
        let found: Vec<_> = found
            .iter()
            .map(|i| (i.name.as_str(), i.radio, i.carrier, i.driver.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("eth0", false, true, None),
                ("wlan0", true, false, Some("brcmfmac")),
                ("wlan1", true, false, None),
                ("wlan2", true, false, None),
            ]
        );
        let named = interfaces(
            &device.root,
            &["wlan0".into(), "lo".into()],
            &BTreeSet::new(),
        );
        assert_eq!(named.len(), 1);
        let bridge = interfaces(&device.root, &["wg0".into()], &["wg0".to_owned()].into());
        assert_eq!(bridge.len(), 1);
    }

    #[test]
    fn a_tunnel_is_no_modem() {
        let device = Device::new();
        let tunnel = |name: &str| is_tunnel(&device.root, name);
        device.put("class/net/wg0/uevent", "DEVTYPE=wireguard\nINTERFACE=wg0\n");
        device.put("class/net/tun0/tun_flags", "0x1001\n");
        device.put("class/net/ppp0/uevent", "DEVTYPE=ppp\nINTERFACE=ppp0\n");
        assert_eq!(["wg0", "tun0", "ppp0"].map(tunnel), [true, true, false]);
    }

    #[test]
    fn the_network_that_iwd_has_joined_is_found() {
        let said = r#"{"type":"a{oa{sa{sv}}}","data":[{
            "/net/connman/iwd":{"org.freedesktop.DBus.Introspectable":{}},
            "/net/connman/iwd/0/4":{"net.connman.iwd.Station":{"State":{"type":"s","data":"connected"},"Scanning":{"type":"b","data":false}}},
            "/net/connman/iwd/0/4/6174746963_psk":{"net.connman.iwd.Network":{
                "Name":{"type":"s","data":"attic"},"Connected":{"type":"b","data":true},"Type":{"type":"s","data":"psk"}}},
            "/net/connman/iwd/0/4/63_open":{"net.connman.iwd.Network":{
                "Name":{"type":"s","data":"c"},"Connected":{"type":"b","data":false},"Type":{"type":"s","data":"open"}}}}]}"#;
        let joined = joined_of(said).unwrap();
        assert_eq!(joined, [("attic".to_owned(), "psk".to_owned())].into());
        assert!(joined_of("Call failed: no such service").is_err());
    }
}

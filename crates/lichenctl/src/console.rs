//! What the console shows: which device this is, how it can be reached, and whether it has proved itself.
//!
//! It is written for every login prompt that there is, and to the console itself whenever something of it has changed: a screen
//! of a device on which nobody may log in has no prompt.

use crate::facts;
use crate::generations::{self, Running};
use crate::root::Root;
use crate::state::BootState;
use anyhow::Result;
use protocol::status::Standing;
use serde::Deserialize;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

/// What the generation says of itself for this.
const DECLARED: &str = "etc/lichen/console.json";
/// What a login prompt prints above itself (`agetty(8)`).
const ISSUE: &str = "run/issue.d/lichen.issue";
/// Where sshd looks for keys of root, as modules/base/openssh.nix has it.
const KEYS: [&str; 2] = [
    "etc/ssh/authorized_keys.d/root",
    "run/lichen/authorized_keys/root",
];

/// The declaration of a generation.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Declared {
    /// Whether the device answers to its name in `.local`.
    local_name: bool,
    /// Its pages: scheme and port.
    pages: Vec<(String, u16)>,
}

/// Shows it, if it is not what is shown already. A device without a console is as good as any: faults are not told.
pub fn show(root: &Root) {
    let _ = renew(root);
}

fn renew(root: &Root) -> Result<()> {
    let text = text(root);
    durable::directory(&root.at("run/issue.d"), 0o755)?;
    if !durable::update(&root.at(ISSUE), text.as_bytes(), 0o644)? || !root.is_device() {
        return Ok(());
    }
    write(root, &text);
    // Prompts that wait are printed again.
    let mut agetty = Command::new("agetty");
    agetty.arg("--reload").status()?;
    Ok(())
}

/// Writes to the console. One without a terminal may block for ever; what it does not take is lost.
pub fn write(root: &Root, text: &str) {
    let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
    let console = OpenOptions::new()
        .append(true)
        .custom_flags(flags.bits() as i32)
        .open(root.at("dev/console"));
    let _ = console.and_then(|mut console| console.write_all(text.as_bytes()));
}

fn text(root: &Root) -> String {
    let declared = fs::read_to_string(root.at(DECLARED)).unwrap_or_default();
    let declared: Declared = serde_json::from_str(&declared).unwrap_or_default();
    let name = fs::read_to_string(root.at("proc/sys/kernel/hostname")).unwrap_or_default();
    let name = name.trim();
    let addresses = addresses(root);
    let mut hosts = Vec::new();
    if declared.local_name && !addresses.is_empty() {
        hosts.push(format!("{name}.local"));
    }
    hosts.extend(addresses.iter().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }));
    let mut lines = vec![format!("{name}: {}", standing(root))];
    for (scheme, port) in &declared.pages {
        let port = match (scheme.as_str(), port) {
            ("http", 80) | ("https", 443) => String::new(),
            (_, port) => format!(":{port}"),
        };
        let pages = hosts.iter().map(|host| format!("{scheme}://{host}{port}"));
        lines.extend(pages.take(3));
    }
    lines.push(match (addresses.first(), has_key(root)) {
        (None, _) => "no address yet".to_owned(),
        (Some(_), false) => {
            "nobody can log in: neither lichen.toml on the card nor the page has an SSH key of root"
                .into()
        }
        (Some(address), true) => format!("ssh root@{address}"),
    });
    // Backslashes would be commands to agetty; nothing of this has any.
    format!("\n{}\n\n", lines.join("\n  ")).replace('\\', "/")
}

fn standing(root: &Root) -> String {
    let running = Running::read(root);
    let boot = BootState::load(&root.at("boot")).ok();
    let standing = generations::standing(running.generation, boot.map(|boot| boot.state()));
    let appliance = facts::appliance(root).unwrap_or_default();
    let what = match running.generation {
        Some(generation) => format!("{appliance}, generation {generation}"),
        None => appliance,
    };
    let how = match standing {
        Standing::Good => "has proved itself",
        Standing::Trial => "on trial until it is found healthy",
        Standing::Other | Standing::Unknown => "not blessed",
    };
    format!("{what}, {how}")
}

fn has_key(root: &Root) -> bool {
    let has = |file: &&str| {
        let text = fs::read_to_string(root.at(file)).unwrap_or_default();
        text.lines()
            .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
    };
    KEYS.iter().any(has)
}

/// The addresses at which others reach this device, IPv4 first.
fn addresses(root: &Root) -> Vec<IpAddr> {
    let read = |file: &str| fs::read_to_string(root.at(file)).unwrap_or_default();
    let mut found = of_ipv4(&read("proc/net/fib_trie"));
    found.extend(of_ipv6(&read("proc/net/if_inet6")));
    found
}

/// The local addresses in the kernel's table of routes: `|-- ADDRESS`, and below it `/32 host LOCAL`.
fn of_ipv4(fib_trie: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<IpAddr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !address.is_loopback()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The global addresses of `/proc/net/if_inet6`: 32 digits, and in the fourth column the scope, 00 for global.
fn of_ipv6(if_inet6: &str) -> Vec<IpAddr> {
    let global = if_inet6.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let digits = words.next()?;
        let scope = words.nth(2)?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        (scope == "00").then(|| IpAddr::V6(Ipv6Addr::from_bits(bits)))
    });
    global.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a device in QEMU has it, with the same address in two tables.
    const FIB_TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.2.0/24 2 0 1
        |-- 10.0.2.15
           /32 host LOCAL
        |-- 10.0.2.255
           /32 link BROADCAST
Local:
     |-- 10.0.2.15
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
";
    const IF_INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000007 02 40 00 80     eth0
fe800000000000005054fffffe123456 02 40 20 80     eth0
";

    fn device() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        root.put("proc/sys/kernel/hostname", "rack7\n");
        let declared = r#"{"local_name": true, "pages": [["http", 8080], ["https", 443]]}"#;
        root.put(DECLARED, declared);
        (folder, root)
    }

    fn shown(root: &Root) -> Vec<String> {
        show(root);
        let text = fs::read_to_string(root.at(ISSUE)).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn whoever_looks_at_the_screen_learns_how_to_reach_the_device() {
        let (_folder, root) = device();
        root.put(KEYS[1], "ssh-ed25519 AAAA me\n");
        let before = shown(&root);
        assert!(before.contains(&"no address yet".to_owned()), "{before:?}");
        assert!(
            !before.iter().any(|line| line.contains("://")),
            "{before:?}"
        );

        root.put("proc/net/fib_trie", FIB_TRIE);
        root.put("proc/net/if_inet6", IF_INET6);
        let lines = shown(&root);
        for line in [
            "http://rack7.local:8080",
            "http://10.0.2.15:8080",
            "http://[fd00::7]:8080",
            "https://rack7.local",
            "ssh root@10.0.2.15",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
    }

    #[test]
    fn a_device_without_a_key_says_that_nobody_can_log_in() {
        let (_folder, root) = device();
        root.put("proc/net/fib_trie", FIB_TRIE);
        root.put(KEYS[0], "# nobody yet\n\n");
        let lines = shown(&root);
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("nobody can log in: "))
        );
    }

    #[test]
    fn addresses_are_those_that_others_can_reach() {
        assert_eq!(of_ipv4(FIB_TRIE), ["10.0.2.15".parse::<IpAddr>().unwrap()]);
        assert_eq!(of_ipv6(IF_INET6), ["fd00::7".parse::<IpAddr>().unwrap()]);
        assert!(of_ipv4("nonsense").is_empty());
        assert!(of_ipv6("nonsense here").is_empty());
    }
}

//! Applies the stored settings at every boot: /etc is a tmpfs above the generation's /etc, and /run is empty.
//!
//! Each part is applied even if another one failed: a device without Wi-Fi still needs its SSH keys.

use super::{ZONES, fault, store, wifi, zone_exists};
use crate::root::Root;
use crate::secrets;
use anyhow::{Context, Result};
use protocol::provision::Report;
use std::fs;

pub(super) fn apply(root: &Root, report: &mut Report) {
    match store::load(root) {
        Err(error) => report.faults.push(format!("{error:#}")),
        Ok(stored) => {
            if let Some(name) = stored.hostname {
                fault(report, hostname(root, &name));
                report.applied.hostname = Some(name);
            }
            if let Some(zone) = stored.timezone {
                fault(report, timezone(root, &zone));
                report.applied.timezone = Some(zone);
            }
            let keys = stored
                .ssh
                .map(|ssh| ssh.authorized_keys)
                .unwrap_or_default();
            fault(report, authorized_keys(root, &keys));
            report.applied.authorized_keys = keys.len();
            if let Some(network) = stored.wifi {
                fault(report, wifi::apply(root, &network));
                report.applied.wifi = Some(network.ssid);
            }
        }
    }
    match secrets::hand_out(root) {
        Err(error) => report.faults.push(format!("{error:#}")),
        Ok(names) => report.applied.secrets = names,
    }
}

fn hostname(root: &Root, name: &str) -> Result<()> {
    let built = fs::read_to_string(root.at("etc/hostname")).unwrap_or_default();
    let hosts = root.at("etc/hosts");
    if let Ok(text) = fs::read_to_string(&hosts) {
        let text = renamed(&text, built.trim(), name);
        durable::update(&hosts, text.as_bytes(), 0o644)?;
    }
    durable::update(
        &root.at("etc/hostname"),
        format!("{name}\n").as_bytes(),
        0o644,
    )?;
    if root.is_device() {
        rustix::system::sethostname(name.as_bytes()).context("cannot set the host name")?;
    }
    Ok(())
}

/// The lines of /etc/hosts, with the device's own address under `name` instead of the name that the page gives it. The
/// domain stays.
fn renamed(hosts: &str, built: &str, name: &str) -> String {
    let own = |word: &str| match word.strip_prefix(built) {
        Some(domain) if domain.is_empty() || domain.starts_with('.') => format!("{name}{domain}"),
        _ => word.to_owned(),
    };
    let line = |line: &str| match line.strip_prefix("127.0.0.2 ") {
        Some(names) if !built.is_empty() => {
            let names: Vec<String> = names.split(' ').map(own).collect();
            format!("127.0.0.2 {}\n", names.join(" "))
        }
        _ => format!("{line}\n"),
    };
    hosts.lines().map(line).collect()
}

fn timezone(root: &Root, zone: &str) -> Result<()> {
    anyhow::ensure!(
        zone_exists(root, zone),
        "the time zone {zone} is gone from this generation"
    );
    durable::atomic_symlink(&format!("../{ZONES}/{zone}"), &root.at("etc/localtime"))?;
    // Debian also has this file, and some programs read only this one.
    durable::update(
        &root.at("etc/timezone"),
        format!("{zone}\n").as_bytes(),
        0o644,
    )
    .map(drop)
}

/// sshd requires the file and all its parent directories to be writable by root only.
fn authorized_keys(root: &Root, keys: &[String]) -> Result<()> {
    durable::directory(&root.at("run/lichen"), 0o755)?;
    durable::directory(&root.at("run/lichen/authorized_keys"), 0o755)?;
    let path = root.at("run/lichen/authorized_keys/root");
    if keys.is_empty() {
        return durable::remove(&path).map(drop);
    }
    durable::update(&path, (keys.join("\n") + "\n").as_bytes(), 0o600).map(drop)
}

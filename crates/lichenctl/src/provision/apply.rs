//! Applies the stored settings at every boot: /etc is a tmpfs above the generation's /etc, and /run is empty.
//!
//! Each part is applied even if another one failed: a device without Wi-Fi still needs its SSH keys.

use super::{ZONES, fault, store, zone_exists};
use crate::root::Root;
use anyhow::{Context, Result};
use protocol::lichen_toml::{Wifi, is_raw_key};
use protocol::provision::Report;
use std::fs;

const IWD: &str = "var/lib/iwd";
const IWD_CONFIG: &str = "etc/iwd/main.conf";
/// Names the file of the provisioned network, so that it can be removed when another network replaces it.
const NETWORK: &str = "var/lib/lichen/wifi-network";

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
                fault(report, wifi(root, &network));
                report.applied.wifi = Some(network.ssid);
            }
        }
    }
    match secrets(root) {
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

fn secrets(root: &Root) -> Result<Vec<String>> {
    let secrets = store::secrets(root)?;
    if !secrets.is_empty() {
        durable::directory(&root.at("run/credstore"), 0o700)?;
    }
    for (name, value) in &secrets {
        durable::update(&root.at("run/credstore").join(name), value, 0o600)?;
    }
    Ok(secrets.into_keys().collect())
}

fn wifi(root: &Root, wifi: &Wifi) -> Result<()> {
    let (name, content) = network(wifi);
    durable::directory(&root.at(IWD), 0o700)?;
    let path = root.at(IWD).join(&name);
    // iwd adds the key that it derives from the passphrase to this file. If the passphrase in it is unchanged, the file
    // is left alone: writing it at every boot would wear the card and make iwd derive the key again.
    let known = fs::read_to_string(&path).is_ok_and(|now| {
        content
            .lines()
            .filter(|l| l.contains('='))
            .all(|line| now.lines().any(|l| l == line))
    });
    if !known {
        durable::update(&path, content.as_bytes(), 0o600)?;
    }
    let earlier = fs::read_to_string(root.at(NETWORK)).unwrap_or_default();
    if !earlier.is_empty() && earlier != name {
        durable::remove(&root.at(IWD).join(&earlier))?;
    }
    durable::update(&root.at(NETWORK), name.as_bytes(), 0o600)?;
    if let Some(country) = &wifi.country {
        let path = root.at(IWD_CONFIG);
        durable::directory(&root.at("etc/iwd"), 0o755)?;
        let config = with_country(&fs::read_to_string(&path).unwrap_or_default(), country);
        durable::update(&path, config.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// The name and content of iwd's file for a network (iwd.network(5)).
fn network(wifi: &Wifi) -> (String, String) {
    let plain = wifi
        .ssid
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " _-".contains(c));
    let name = if plain {
        wifi.ssid.clone()
    } else {
        wifi.ssid
            .bytes()
            .fold("=".to_owned(), |name, byte| name + &format!("{byte:02x}"))
    };
    match &wifi.passphrase {
        None => (
            format!("{name}.open"),
            "[Settings]\nAutoConnect=true\n".to_owned(),
        ),
        Some(key) if is_raw_key(key.reveal()) => (
            format!("{name}.psk"),
            format!(
                "[Security]\nPreSharedKey={}\n",
                key.reveal().to_ascii_lowercase()
            ),
        ),
        // iwd would strip a space at either end, and a backslash starts an escape sequence.
        Some(phrase) => {
            let phrase = phrase.reveal().replace('\\', "\\\\").replace(' ', "\\s");
            (
                format!("{name}.psk"),
                format!("[Security]\nPassphrase={phrase}\n"),
            )
        }
    }
}

/// iwd's main.conf with the country in it. iwd supports no drop-ins, so the generation's file is edited.
fn with_country(config: &str, country: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut general = None;
    let mut inside = false;
    for line in config.lines() {
        if line.trim_start().starts_with('[') {
            inside = line.trim() == "[General]";
        }
        if inside
            && line
                .split('=')
                .next()
                .is_some_and(|key| key.trim() == "Country")
        {
            continue;
        }
        lines.push(line.to_owned());
        if inside && general.is_none() {
            general = Some(lines.len());
        }
    }
    let at = general.unwrap_or_else(|| {
        lines.insert(0, "[General]".to_owned());
        1
    });
    lines.insert(at, format!("Country={country}"));
    lines.join("\n") + "\n"
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;

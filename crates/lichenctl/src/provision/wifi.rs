//! The provisioned Wi-Fi, as iwd's files (iwd.network(5)).
//!
//! iwd joins by itself what it can reach of all that it knows, so a network that works is kept beside a new one until the new
//! one works, too. Of one network it knows a single passphrase: the one that worked is kept in a file of its own, and the two
//! are tried in turn.

use super::store;
use crate::root::Root;
use anyhow::Result;
use protocol::lichen_toml::{Wifi, is_raw_key};
use std::fs;

const IWD: &str = "var/lib/iwd";
const IWD_CONFIG: &str = "etc/iwd/main.conf";
/// Names the file of the provisioned network, and below it those of earlier ones that are kept.
const NETWORKS: &str = "var/lib/lichen/wifi-network";
/// Names the file of the network that worked last.
const WORKED: &str = "var/lib/lichen/wifi-worked";
/// What the provisioned network's file said when it worked last, if something else is provisioned now.
const BEFORE: &str = "var/lib/lichen/wifi-before";

/// Has iwd know the network; takes away earlier ones, but for the one that worked last.
pub(super) fn apply(root: &Root, wifi: &Wifi) -> Result<()> {
    let (name, content) = network(wifi);
    durable::directory(&root.at(IWD), 0o700)?;
    let networks = text(root, NETWORKS);
    let earlier: Vec<_> = networks
        .lines()
        .filter(|earlier| *earlier != name)
        .collect();
    if let Some(replaced) = networks.lines().next().filter(|first| *first != name) {
        // It is not the provisioned one any more: what worked there is put back for good.
        if let Ok(worked) = fs::read(root.at(BEFORE)) {
            durable::update(&root.at(IWD).join(replaced), &worked, 0o600)?;
            durable::remove(&root.at(BEFORE))?;
        }
    }
    let worked = text(root, WORKED);
    let path = root.at(IWD).join(&name);
    let now = fs::read_to_string(&path).unwrap_or_default();
    if !says(&now, &content) {
        if worked == name && !now.is_empty() && !root.at(BEFORE).exists() {
            durable::update(&root.at(BEFORE), now.as_bytes(), 0o600)?;
        }
        durable::update(&path, content.as_bytes(), 0o600)?;
    }
    let (kept, gone): (Vec<_>, Vec<_>) = earlier.into_iter().partition(|e| *e == worked);
    for name in gone {
        durable::remove(&root.at(IWD).join(name))?;
    }
    let networks = [&[name.as_str()], &kept[..]].concat().join("\n");
    durable::update(&root.at(NETWORKS), networks.as_bytes(), 0o600)?;
    if let Some(country) = &wifi.country {
        let path = root.at(IWD_CONFIG);
        durable::directory(&root.at("etc/iwd"), 0o755)?;
        let config = with_country(&fs::read_to_string(&path).unwrap_or_default(), country);
        durable::update(&path, config.as_bytes(), 0o644)?;
    }
    Ok(())
}

/// A gateway answers through this network; `kind` is the suffix of iwd's files.
pub fn works(root: &Root, ssid: &str, kind: &str) -> Result<()> {
    let name = format!("{}.{kind}", stem(ssid));
    if let Some((provisioned, content)) = store::load(root)?.wifi.as_ref().map(network)
        && provisioned == name
        && says(&text(root, &format!("{IWD}/{name}")), &content)
    {
        durable::remove(&root.at(BEFORE))?;
    }
    durable::directory(&root.at("var/lib/lichen"), 0o700)?;
    durable::update(&root.at(WORKED), name.as_bytes(), 0o600).map(drop)
}

/// Whether iwd knows any network.
pub fn knows_any(root: &Root) -> bool {
    let files = fs::read_dir(root.at(IWD)).into_iter().flatten().flatten();
    let mut suffixes = files.filter_map(|file| Some(file.path().extension()?.to_owned()));
    suffixes.any(|suffix| suffix == "psk" || suffix == "open" || suffix == "8021x")
}

/// If the provisioned network worked with another passphrase, has iwd know the one of the two that it does not know now.
pub fn other_passphrase(root: &Root) -> Result<()> {
    let Ok(worked) = fs::read_to_string(root.at(BEFORE)) else {
        return Ok(());
    };
    let Some((name, content)) = store::load(root)?.wifi.as_ref().map(network) else {
        return Ok(());
    };
    let path = root.at(IWD).join(name);
    let now = fs::read_to_string(&path).unwrap_or_default();
    let other = if says(&now, &content) {
        worked
    } else {
        content
    };
    durable::update(&path, other.as_bytes(), 0o600).map(drop)
}

/// Whether iwd's file says this. iwd adds the key that it derives from the passphrase: a file that says it is left alone, since
/// writing it at every boot would wear the card and make iwd derive the key again.
fn says(file: &str, content: &str) -> bool {
    let hidden = |text: &str| text.lines().any(|line| line == "Hidden=true");
    let mut wanted = content.lines().filter(|line| line.contains('='));
    wanted.all(|line| file.lines().any(|l| l == line)) && hidden(file) == hidden(content)
}

fn text(root: &Root, path: &str) -> String {
    fs::read_to_string(root.at(path)).unwrap_or_default()
}

/// The name of a network in the names of iwd's files.
fn stem(ssid: &str) -> String {
    let plain = ssid
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " _-".contains(c));
    if plain {
        ssid.to_owned()
    } else {
        ssid.bytes()
            .fold("=".to_owned(), |name, byte| name + &format!("{byte:02x}"))
    }
}

/// The name and content of iwd's file for a network (iwd.network(5)).
fn network(wifi: &Wifi) -> (String, String) {
    let name = stem(&wifi.ssid);
    let settings = match wifi.hidden {
        true => "[Settings]\nHidden=true\n",
        false => "",
    };
    match &wifi.passphrase {
        None if wifi.hidden => (format!("{name}.open"), settings.to_owned()),
        None => (
            format!("{name}.open"),
            "[Settings]\nAutoConnect=true\n".to_owned(),
        ),
        Some(key) if is_raw_key(key.reveal()) => (
            format!("{name}.psk"),
            format!(
                "[Security]\nPreSharedKey={}\n{settings}",
                key.reveal().to_ascii_lowercase()
            ),
        ),
        // iwd would strip a space at either end, and a backslash starts an escape sequence.
        Some(phrase) => {
            let phrase = phrase.reveal().replace('\\', "\\\\").replace(' ', "\\s");
            (
                format!("{name}.psk"),
                format!("[Security]\nPassphrase={phrase}\n{settings}"),
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
#[path = "wifi_tests.rs"]
mod tests;

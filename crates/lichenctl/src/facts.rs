//! What `status` reports about the whole system: the appliance, its health, memory and the last errors.

use crate::health::Health;
use crate::root::Root;
use protocol::status::{Facts, Service, Usage};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const MANIFEST: &str = "run/current-system/manifest.json";
/// How many errors to show, so that the rest of the status fits on the screen.
const ERRORS: usize = 5;
/// The kernel logs this at every boot, because the initrd hands the armed watchdog over to systemd. It is expected.
const HANDED_OVER: &str = "watchdog did not stop!";

/// Collects the facts from the device.
pub fn collect(root: &Root) -> Facts {
    let meminfo = fs::read_to_string(root.at("proc/meminfo")).unwrap_or_default();
    Facts {
        appliance: appliance(root),
        problems: root.is_device().then(|| problems(root)).flatten(),
        services: root.is_device().then(services).flatten(),
        memory: memory(&meminfo),
        errors: root.is_device().then(errors).flatten(),
    }
}

/// The name of the appliance that runs.
pub fn appliance(root: &Root) -> Option<String> {
    let manifest = fs::read_to_string(root.at(MANIFEST)).ok()?;
    let manifest: serde_json::Value = serde_json::from_str(&manifest).ok()?;
    Some(manifest.get("appliance")?.as_str()?.to_owned())
}

fn problems(root: &Root) -> Option<Vec<String>> {
    let checked = Health::load(root).ok()?.check(&BTreeSet::new());
    Some(
        checked
            .err()
            .map_or_else(Vec::new, |unhealthy| unhealthy.reasons()),
    )
}

fn services() -> Option<Vec<Service>> {
    let arguments = [
        "show",
        "--no-pager",
        "--property=Id,FragmentPath,StatusText",
        "*.service",
    ];
    let output = Command::new("systemctl").args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| saying(&text))
}

/// The appliance's own services among these paragraphs of properties, as far as they say something. What Debian's daemons
/// say of themselves is of no interest here.
fn saying(text: &str) -> Vec<Service> {
    let saying = |paragraph: &str| {
        let value = |key: &str| {
            let line = paragraph.lines().find_map(|line| line.strip_prefix(key))?;
            (!line.is_empty()).then_some(line)
        };
        value("FragmentPath=")?.strip_prefix("/etc/systemd/system/")?;
        Some(Service {
            name: value("Id=")?.trim_end_matches(".service").to_owned(),
            said: value("StatusText=")?.to_owned(),
        })
    };
    text.split("\n\n").filter_map(saying).collect()
}

/// Memory from /proc/meminfo. "Available" is the kernel's estimate of what programs can use without swapping.
pub(crate) fn memory(meminfo: &str) -> Option<Usage> {
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    };
    let (size, available) = (bytes("MemTotal:")?, bytes("MemAvailable:")?);
    Some(Usage {
        size,
        used: size.saturating_sub(available),
        available,
    })
}

fn errors() -> Option<Vec<String>> {
    let arguments = [
        "-b",
        "-p",
        "err",
        "-n",
        "50",
        "-q",
        "--no-pager",
        "-o",
        "short",
    ];
    let output = Command::new("journalctl").args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| last(&text))
}

/// The last errors among these journal lines.
fn last(errors: &str) -> Vec<String> {
    let mut last: Vec<String> = errors
        .lines()
        .filter(|line| !line.ends_with(HANDED_OVER))
        .map(str::to_owned)
        .collect();
    last.drain(..last.len().saturating_sub(ERRORS));
    last
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;

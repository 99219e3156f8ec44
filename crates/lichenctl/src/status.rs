//! Collects the state of the device for `lichenctl status`.
//!
//! Anything that cannot be determined is reported as unknown, never as an error: status is needed when things are
//! broken.

use crate::confirm;
use crate::facts;
use crate::generations::{self, Booted, Running};
use crate::link;
use crate::lock;
use crate::provision;
use crate::record;
use crate::recovery;
use crate::root::Root;
use crate::state::{BootState, State};
use crate::vitals;
use protocol::status::{self, Status, Usage};
use soc::Soc;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Collects the status from the device.
pub fn collect(root: &Root) -> Status {
    let soc = Soc::at(root.at("sys"));
    // Checked first: if no change is running now, everything read afterwards is in its final state.
    let busy = busy(root);
    let running = Running::read(root);
    let (boot, boot_error) = match BootState::load(&root.at("boot")) {
        Ok(state) => (Some(state.state()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Status {
        hostname: text(&root.at("proc/sys/kernel/hostname")),
        standing: generations::standing(running.generation, boot),
        generation: running.generation,
        toplevel: running.toplevel,
        booted: Booted::read(root).generation,
        next_boot: boot.map(|state| state.at_boot().0),
        failed_trial: boot.and_then(|state| generations::failed_trial(root, state)),
        soft_reboot: Booted::soon(root).and_then(|soon| soon.generation),
        confirmation: confirm::pending(root),
        busy,
        boot: boot.map(document),
        boot_error,
        system: systemctl(root, &["is-system-running"]).map(|word| word.trim().to_owned()),
        failed_units: systemctl(
            root,
            &[
                "list-units",
                "--state=failed",
                "--plain",
                "--no-legend",
                "--full",
            ],
        )
        .map(|units| {
            units
                .lines()
                .filter_map(|l| l.split_whitespace().next())
                .map(str::to_owned)
                .collect()
        }),
        uptime_seconds: root.uptime().ok(),
        facts: facts::collect(root),
        provision: provision::report(root),
        update: record::following(root),
        recovery: recovery::known(root),
        vitals: Some(vitals::collect(root)),
        link: link::published(root),
        tunnels: match root.is_device() {
            true => link::tunnels(record::now()),
            false => Vec::new(),
        },
        data: usage(&root.at("run/data")),
        soc_celsius: soc.temperature(),
        undervoltage: soc.under_voltage(),
        throttled: soc.throttling().map(|share| share > 0.0),
    }
}

fn document(state: State) -> status::BootState {
    status::BootState {
        seq: state.seq,
        good: state.good,
        trial: state.trial.map(|trial| status::Trial {
            generation: trial.generation,
            tries: trial.tries,
        }),
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// The output of systemctl. Its exit status describes the units, not whether the query worked.
fn systemctl(root: &Root, arguments: &[&str]) -> Option<String> {
    let output = root
        .is_device()
        .then(|| {
            Command::new("systemctl")
                .args(arguments)
                .arg("--no-pager")
                .output()
        })?
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    (output.status.success() || !said.is_empty()).then_some(said)
}

fn usage(path: &Path) -> Option<Usage> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(Usage {
        size: stat.f_blocks * stat.f_frsize,
        used: (stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        available: stat.f_bavail * stat.f_frsize,
    })
}

/// Whether a lichenctl holds the lock on generations, according to the kernel. Trying to take the lock instead could
/// make another lichenctl fail.
fn busy(root: &Root) -> Option<bool> {
    let locks = fs::read_to_string(root.at("proc/locks")).ok()?;
    let Ok(lock) = fs::metadata(root.at(lock::FILE)) else {
        return Some(false);
    };
    let (major, minor) = (rustix::fs::major(lock.dev()), rustix::fs::minor(lock.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", lock.ino());
    // A line is `1: FLOCK  ADVISORY  WRITE 713 00:19:1042 0 EOF`; a process waiting for the lock has `->` after the
    // number.
    let held = |line: &str| line.split_ascii_whitespace().nth(5) == Some(file.as_str());
    Some(locks.lines().any(held))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

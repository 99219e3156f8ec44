//! Decides what a live switch does to units: NixOS's rules, applied to two generations and the active units.
//!
//! Only what changed is touched: a unit whose definition differs, or a service that runs a file that differs. Units
//! that carry user sessions or the system itself (dbus, logind, getty, sessions) are never restarted while in use.
//! NixOS leaves them until someone reboots; here such a change is a reason for a soft-reboot. As in NixOS, a unit with
//! `restartIfChanged = false` is left running, because its author does not want it stopped.

use super::unit::{self, Difference, FOLDERS, Found, Unit};
use assemble::Stack;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is active on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Active {
    /// The active units, with the files below /usr that their processes run.
    pub units: BTreeMap<String, BTreeSet<String>>,
}

/// The changes to units, each list in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// Stopped while the old generation is still in place.
    pub stop: Vec<String>,
    /// Reloaded.
    pub reload: Vec<String>,
    /// Restarted in one step.
    pub restart: Vec<String>,
    /// Started: they are new, or were stopped by this switch.
    pub start: Vec<String>,
    /// Changed, but left running as they are until the next boot.
    pub keep_old: Vec<String>,
}

/// Units that everything else depends on while userspace runs: they are never restarted.
const HUNG_ON: [&str; 7] = [
    "dbus.service",
    "dbus.socket",
    "dbus-broker.service",
    "systemd-logind.service",
    "systemd-logind-varlink.socket",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
];

/// Prefixes of names of other units that are never restarted and do not need it: sessions end by themselves, and
/// Lichen's own units run once per boot.
const LEFT_ALONE: [&str; 9] = [
    "getty@",
    "serial-getty@",
    "console-getty.service",
    "user@",
    "user-runtime-dir@",
    "session-",
    "emergency.service",
    "rescue.service",
    "lichen-",
];

/// Prefixes of files that form the core of the system: libc, systemd, the message bus. If PID 1 or the bus has an old
/// version of any other library open, this does no harm until the next boot.
const CORE: [&str; 6] = [
    "ld-linux",
    "libc.so.",
    "systemd",
    "libsystemd",
    "dbus-",
    "libdbus-",
];

/// The files that the message bus reads when it starts and when it is reloaded.
const BUS: [&str; 3] = [
    "usr/share/dbus-1/system.d",
    "usr/share/dbus-1/system-services",
    "etc/dbus-1/system.d",
];

/// Targets that stand for states of the whole system.
const KINDS_LEFT_ALONE: [&str; 5] = ["slice", "scope", "device", "target", "swap"];

impl Units {
    /// Whether no unit is affected.
    pub fn is_empty(&self) -> bool {
        let Self {
            stop,
            reload,
            restart,
            start,
            keep_old: _,
        } = self;
        [stop, reload, restart, start].iter().all(|l| l.is_empty())
    }
}

/// Decides. `differs` says whether the new generation has a different version of a file below /usr.
pub fn decide(
    old: &Stack,
    new: &Stack,
    active: &Active,
    differs: &mut dyn FnMut(&str) -> bool,
) -> Units {
    let mut sets = Sets::default();
    for (name, files) in &active.units {
        let Found::Unit(before) = unit::find(old, name) else {
            // It was made by a generator or at run time, so it does not come with a generation.
            continue;
        };
        match unit::find(new, name) {
            Found::Unit(after) => {
                let mut difference = before.difference(&after);
                if difference != Difference::Restart && files.iter().any(|file| differs(file)) {
                    difference = Difference::Restart;
                }
                sets.changed(name, difference, &before, &after, active);
            }
            Found::Absent | Found::Masked if untouched(name) => {
                sets.keep_old.insert(name.clone());
            }
            Found::Absent | Found::Masked => {
                if before.flag("X-StopOnRemoval", true) {
                    sets.stop.insert(name.clone());
                }
            }
        }
    }
    let bus = "dbus.service";
    let other_policy = BUS
        .iter()
        .any(|folder| old.names(folder) != new.names(folder));
    if other_policy && active.units.contains_key(bus) {
        sets.reload.insert(bus.to_owned());
    }
    for name in newly_wanted(old, new, active) {
        if !active.units.contains_key(&name) {
            sets.start.insert(name);
        }
    }
    sets.settle()
}

/// The core units that differ between `new` and `booted`, whose definitions they run with.
pub(super) fn overdue(
    booted: &Stack,
    new: &Stack,
    active: &Active,
    differs: &mut dyn FnMut(&str) -> bool,
) -> Vec<String> {
    let hung_on = active.units.iter().filter(|(name, files)| {
        HUNG_ON.contains(&name.as_str())
            && (match (unit::find(booted, name), unit::find(new, name)) {
                (Found::Unit(before), Found::Unit(after)) => {
                    before.difference(&after) == Difference::Restart
                }
                (before, after) => before != after,
            } || files.iter().any(|file| is_core(file) && differs(file)))
    });
    hung_on.map(|(name, _)| name.clone()).collect()
}

fn untouched(name: &str) -> bool {
    HUNG_ON.contains(&name) || LEFT_ALONE.iter().any(|known| name.starts_with(known))
}

/// Whether a file below /usr belongs to the core, so that restarting services does not suffice.
pub(super) fn is_core(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    CORE.iter().any(|known| name.starts_with(known))
}

#[derive(Default)]
struct Sets {
    stop: BTreeSet<String>,
    reload: BTreeSet<String>,
    restart: BTreeSet<String>,
    start: BTreeSet<String>,
    keep_old: BTreeSet<String>,
}

impl Sets {
    fn changed(
        &mut self,
        name: &str,
        difference: Difference,
        before: &Unit,
        after: &Unit,
        active: &Active,
    ) {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        if difference == Difference::None || KINDS_LEFT_ALONE.contains(&kind) {
            return;
        }
        let name = name.to_owned();
        if untouched(&name) {
            self.keep_old.insert(name);
            return;
        }
        if difference == Difference::Reload {
            self.reload.insert(name);
            return;
        }
        match kind {
            "mount" | "automount" if before.only_options_differ(after) => {
                self.reload.insert(name);
            }
            // Unmounting would take the file system away from its users.
            "mount" | "automount" => {
                self.keep_old.insert(name);
            }
            "socket" => {
                let service = after
                    .service()
                    .map_or_else(|| name.replace(".socket", ".service"), str::to_owned);
                self.stop.insert(name.clone());
                self.start.insert(name);
                if active.units.contains_key(&service) && !untouched(&service) {
                    self.stop.insert(service.clone());
                    self.start.insert(service);
                }
            }
            _ if after.flag("X-ReloadIfChanged", false) => {
                self.reload.insert(name);
            }
            _ if !after.flag("X-RestartIfChanged", true)
                || after.flag("RefuseManualStop", false)
                || after.flag("X-OnlyManualStart", false) =>
            {
                self.keep_old.insert(name);
            }
            _ if !after.flag("X-StopIfChanged", !after.is_shipped()) => {
                self.restart.insert(name);
            }
            _ => self.stop_and_start(name, after, active),
        }
    }

    /// A service with a socket is started by the socket; if that socket is not active, it is started here.
    fn stop_and_start(&mut self, name: String, after: &Unit, active: &Active) {
        let mut sockets = after.sockets();
        sockets.extend(
            name.strip_suffix(".service")
                .map(|stem| format!("{stem}.socket")),
        );
        sockets.retain(|socket| active.units.contains_key(socket));
        if !after.flag("X-NotSocketActivated", false) {
            for socket in sockets.into_iter().filter(|socket| !untouched(socket)) {
                self.stop.insert(socket.clone());
                self.start.insert(socket);
            }
        }
        self.stop.insert(name.clone());
        self.start.insert(name);
    }

    fn settle(mut self) -> Units {
        self.restart.retain(|unit| !self.stop.contains(unit));
        let handled = |unit: &String| self.stop.contains(unit) || self.restart.contains(unit);
        self.reload.retain(|unit| !handled(unit));
        let list = |set: BTreeSet<String>| set.into_iter().collect();
        Units {
            stop: list(self.stop),
            reload: list(self.reload),
            restart: list(self.restart),
            start: list(self.start),
            keep_old: list(self.keep_old),
        }
    }
}

/// The units that the active targets of the new generation pull in and those of the old one did not or could not.
fn newly_wanted(old: &Stack, new: &Stack, active: &Active) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    let targets = active.units.keys().filter(|name| name.ends_with(".target"));
    for target in targets {
        let before = pulled_in(old, target);
        for name in pulled_in(new, target) {
            let is_unit = |stack: &Stack| matches!(unit::find(stack, &name), Found::Unit(_));
            let was_there = before.contains(&name) && is_unit(old);
            if !was_there && is_unit(new) && !untouched(&name) {
                wanted.insert(name);
            }
        }
    }
    wanted
}

/// The names in a unit's `.wants` and `.requires` directories.
fn pulled_in(stack: &Stack, target: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS {
        for kind in ["wants", "requires", "upholds"] {
            names.extend(stack.names(Path::new(folder).join(format!("{target}.{kind}"))));
        }
    }
    names
}

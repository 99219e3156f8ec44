//! Plans how to get from the running generation to another one, before anything is changed.
//!
//! The least disruptive method that suffices is chosen, and reported with its reasons: nothing, a live switch, a
//! soft-reboot or a trial boot. A live switch suffices unless a core component changes: libc, systemd or the message
//! bus. A soft-reboot is a trial, too, but firmware, kernel and initrd keep running.

#[cfg(test)]
mod tests;
mod unit;
mod units;

pub use units::{Active, Units};

use self::unit::{FOLDERS, Found};
use crate::root::Root;
use crate::state::Generation;
use crate::toplevel::{Layer, Toplevel};
use assemble::Stack;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A generation that contains this file supports being started by a soft-reboot.
const SOFT_REBOOT: &str = "etc/lichen/soft-reboot";

/// The method of a change, ordered from the least to the most disruptive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The toplevel is already running.
    Nothing,
    /// A live switch: everything else keeps running.
    Live,
    /// A soft-reboot: userspace restarts on the running kernel, as a trial.
    SoftReboot,
    /// A reboot, as a trial.
    TrialBoot,
}

/// A layer of the new toplevel, compared with what is running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerChange {
    /// What it holds.
    #[serde(flatten)]
    pub layer: Layer,
    /// Whether the running toplevel has a different layer of this name, or none.
    pub changed: bool,
    /// Its size.
    pub bytes: u64,
}

/// A service whose data change their version; its current data are copied first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataChange {
    /// The service.
    pub service: String,
    /// The current version of its data.
    pub from: String,
    /// The version after the change.
    pub to: String,
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The method.
    pub method: Method,
    /// Why a less disruptive method does not suffice.
    pub reasons: Vec<String>,
    /// The running toplevel.
    pub from: String,
    /// The requested toplevel.
    pub to: String,
    /// The generation number that it has or would get.
    pub generation: Option<Generation>,
    /// Its layers, topmost first.
    pub layers: Vec<LayerChange>,
    /// Names of layers that are removed.
    pub removed_layers: Vec<String>,
    /// Whether the kernel or the initrd changes.
    pub kernel_changed: bool,
    /// The changes to units; empty if it is booted.
    pub units: Units,
    /// Whether systemd itself has to re-execute.
    pub reexecute: bool,
    /// The size of the layers that change, in bytes.
    pub bytes: u64,
    /// Service data that change their version.
    #[serde(default)]
    pub data: Vec<DataChange>,
}

/// The starting point of a switch.
pub struct Before<'a> {
    /// The running toplevel.
    pub current: &'a Toplevel,
    /// The booted toplevel, whose kernel is running.
    pub booted: &'a Toplevel,
    /// The layers of the booted toplevel.
    pub layers: &'a Stack,
    /// The active units.
    pub active: &'a Active,
    /// The files below /usr that systemd itself runs from.
    pub manager: &'a BTreeSet<String>,
}

/// The services of the running generation, templates among them.
pub(crate) fn services(root: &Root) -> Vec<String> {
    let stack = Stack::of_folders([root.at("")]);
    let all = FOLDERS.iter().flat_map(|folder| stack.names(folder));
    let services = all.filter(|name| name.ends_with(".service") && !unit::is_alias(&stack, name));
    let services: BTreeSet<_> = services.collect();
    services.into_iter().collect()
}

/// Those of `services` that take a credential, by the running generation's units.
pub(crate) fn taking(root: &Root, credential: &str, services: &[String]) -> Vec<String> {
    let stack = Stack::of_folders([root.at("")]);
    let takes = |name: &&String| match unit::find(&stack, name) {
        Found::Unit(unit) => unit.takes(credential),
        Found::Absent | Found::Masked => false,
    };
    services.iter().filter(takes).cloned().collect()
}

impl Plan {
    /// Decides from the layers of the generations: `old` are those of the running toplevel, `new` those of `to`.
    pub fn make(before: &Before<'_>, old: &Stack, to: &Toplevel, new: &Stack, root: &Root) -> Self {
        let layers = layers(before.current, to, &to.sizes(root));
        let mut files = Files::new(old, new);
        let reexecute = before.manager.iter().any(|file| files.differ(file))
            || files.differ("etc/systemd/system.conf");
        let boot = boot_reasons(before.booted, to);
        let soft = soft_reasons(before, new);
        let (method, reasons) = if !boot.is_empty() {
            (Method::TrialBoot, boot)
        } else if !soft.is_empty() && new.find(SOFT_REBOOT).is_some() {
            (Method::SoftReboot, soft)
        } else if !soft.is_empty() {
            (Method::TrialBoot, soft)
        } else if before.current.path == to.path {
            (Method::Nothing, soft)
        } else {
            (Method::Live, soft)
        };
        Self {
            method,
            kernel_changed: before.booted.kernel != to.kernel,
            from: before.current.path.clone(),
            to: to.path.clone(),
            generation: None,
            removed_layers: removed(before.current, to),
            bytes: layers.iter().filter(|l| l.changed).map(|l| l.bytes).sum(),
            layers,
            units: units::decide(old, new, before.active, &mut |file| files.differ(file)),
            reexecute,
            reasons,
            data: Vec::new(),
        }
    }

    /// The plan for a change without a boot, as `test` needs it.
    #[must_use]
    pub fn without_boot(mut self) -> Self {
        if self.method > Method::Live {
            self.method = Method::Live;
            let what = "stays as it was booted, because only a reboot can change it";
            self.reasons
                .iter_mut()
                .for_each(|r| *r = format!("{r}; it {what}"));
        }
        self
    }
}

fn layers(current: &Toplevel, to: &Toplevel, sizes: &[u64]) -> Vec<LayerChange> {
    let known: BTreeSet<_> = current.layers.iter().map(|l| &l.path).collect();
    to.layers
        .iter()
        .zip(sizes)
        .map(|(layer, bytes)| LayerChange {
            layer: layer.clone(),
            changed: !known.contains(&layer.path),
            bytes: *bytes,
        })
        .collect()
}

fn removed(current: &Toplevel, to: &Toplevel) -> Vec<String> {
    let names: BTreeSet<_> = to.layers.iter().map(|l| &l.name).collect();
    let gone = current.layers.iter().filter(|l| !names.contains(&l.name));
    gone.map(|l| l.name.clone()).collect()
}

fn boot_reasons(booted: &Toplevel, to: &Toplevel) -> Vec<String> {
    let mut reasons = Vec::new();
    if booted.kernel != to.kernel {
        reasons.push("the kernel or the initrd changes".to_owned());
    }
    if booted.params != to.params {
        reasons.push("the kernel's arguments change".to_owned());
    }
    reasons
}

/// Why userspace has to restart: differences from the booted toplevel that no live switch can have applied.
fn soft_reasons(before: &Before<'_>, new: &Stack) -> Vec<String> {
    let mut files = Files::new(before.layers, new);
    let core: Vec<_> = (before.manager.iter())
        .filter(|file| units::is_core(file) && files.differ(file))
        .map(|file| file.rsplit('/').next().unwrap_or(file))
        .collect();
    let mut reasons = Vec::new();
    if !core.is_empty() {
        let core = core.join(", ");
        reasons.push(format!(
            "files that systemd itself runs from change: {core}"
        ));
    }
    let units = units::overdue(before.layers, new, before.active, &mut |file| {
        files.differ(file)
    });
    if !units.is_empty() {
        let units = units.join(", ");
        reasons.push(format!("{units} cannot be restarted while it is in use"));
    }
    reasons
}

/// Compares files between two generations. A file in a shared layer is equal; others are read and compared once.
struct Files<'a> {
    old: &'a Stack,
    new: &'a Stack,
    known: BTreeMap<String, bool>,
}

impl<'a> Files<'a> {
    fn new(old: &'a Stack, new: &'a Stack) -> Self {
        Self {
            old,
            new,
            known: BTreeMap::new(),
        }
    }

    fn differ(&mut self, path: &str) -> bool {
        let path = path.trim_start_matches('/');
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        let differ = match (self.old.find(path), self.new.find(path)) {
            // The same layer is the same mount.
            (Some(old), Some(new)) => old != new && !same_bytes(&old, &new),
            (None, None) => false,
            _ => true,
        };
        self.known.insert(path.to_owned(), differ);
        differ
    }
}

fn same_bytes(old: &Path, new: &Path) -> bool {
    let length = |path: &PathBuf| fs::metadata(path).ok().map(|meta| meta.len());
    let (old, new) = (old.to_owned(), new.to_owned());
    length(&old).is_some() && length(&old) == length(&new) && {
        let read = |path| fs::read(path).ok();
        read(&old) == read(&new)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.method {
            Method::Nothing => "nothing to do: this toplevel is already running",
            Method::Live => "live switch",
            Method::SoftReboot => "soft-reboot",
            Method::TrialBoot => "trial boot",
        };
        let reasons = match self.reasons.as_slice() {
            [] => String::new(),
            reasons => format!(", as {}", reasons.join(", and ")),
        };
        writeln!(f, "{how}{reasons}")?;
        writeln!(f, "  from     {}", self.from)?;
        let number = self
            .generation
            .map_or_else(String::new, |n| format!(" (generation {n})"));
        writeln!(f, "  to       {}{number}", self.to)?;
        for change in self.layers.iter().filter(|l| l.changed) {
            let (name, bytes) = (&change.layer.name, size(change.bytes));
            writeln!(f, "  layer    {name} changes, {bytes}")?;
        }
        for name in &self.removed_layers {
            writeln!(f, "  layer    {name} is removed")?;
        }
        for DataChange { service, from, to } in &self.data {
            writeln!(
                f,
                "  data     {service}'s data are copied before the change: version {from} → {to}"
            )?;
        }
        if self.method != Method::Live {
            return Ok(());
        }
        let lists = [
            ("stop", &self.units.stop),
            ("reload", &self.units.reload),
            ("restart", &self.units.restart),
            ("start", &self.units.start),
        ];
        for (what, units) in lists.into_iter().filter(|(_, units)| !units.is_empty()) {
            writeln!(f, "  {what:<9}{}", units.join(" "))?;
        }
        if !self.units.keep_old.is_empty() {
            writeln!(
                f,
                "  unchanged until the next boot: {}",
                self.units.keep_old.join(" ")
            )?;
        }
        if self.reexecute {
            writeln!(f, "  systemd re-executes itself, its units keep running")?;
        }
        Ok(())
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

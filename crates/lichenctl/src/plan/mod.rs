//! What it takes to get from the generation that runs to another one, decided before anything is touched.
//!
//! The gentlest way that suffices is taken, and said with its reasons: nothing, a live switch, a soft-reboot, a trial
//! boot. A live switch suffices unless what everything else runs on is another: libc, systemd, the message bus. A
//! soft-reboot is a trial, too, but for firmware, kernel and initrd, which go on.

#[cfg(test)]
mod tests;
mod unit;
mod units;

pub use units::{Active, Units};

use crate::root::Root;
use crate::state::Generation;
use crate::toplevel::{Layer, Toplevel};
use assemble::Stack;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A generation that has this file may be gone to by a soft-reboot: it knows how to arrive.
const SOFT_REBOOT: &str = "etc/lichen/soft-reboot";

/// How to get there, the gentler the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// It runs already.
    Nothing,
    /// While everything goes on.
    Live,
    /// With a userspace that starts over, on the kernel that runs, and has to prove itself.
    SoftReboot,
    /// With a boot that has to prove itself.
    TrialBoot,
}

/// A layer of the new toplevel, beside what runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerChange {
    /// What it is.
    #[serde(flatten)]
    pub layer: Layer,
    /// Whether what runs has another one in its place, or none.
    pub changed: bool,
    /// Its size.
    pub bytes: u64,
}

/// A service whose data come into another version; what they are now is copied before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataChange {
    /// The service.
    pub service: String,
    /// The version that they are of.
    pub from: String,
    /// The version that they will be of.
    pub to: String,
}

/// All that is going to happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The way.
    pub method: Method,
    /// Why not a gentler one.
    pub reasons: Vec<String>,
    /// The toplevel that runs.
    pub from: String,
    /// The toplevel that is asked for.
    pub to: String,
    /// The number it has or would get.
    pub generation: Option<Generation>,
    /// Its layers, topmost first.
    pub layers: Vec<LayerChange>,
    /// Names of layers that go.
    pub removed_layers: Vec<String>,
    /// Whether the kernel or the initrd is another one.
    pub kernel_changed: bool,
    /// What happens to units; nothing in particular when it is booted.
    pub units: Units,
    /// Whether the service manager itself has to start over.
    pub reexecute: bool,
    /// Bytes of the layers that change.
    pub bytes: u64,
    /// Data that come into another version.
    #[serde(default)]
    pub data: Vec<DataChange>,
}

/// What a switch starts from.
pub struct Before<'a> {
    /// What runs.
    pub current: &'a Toplevel,
    /// What was booted, whose kernel it is.
    pub booted: &'a Toplevel,
    /// The layers of that.
    pub layers: &'a Stack,
    /// Its units.
    pub active: &'a Active,
    /// The files below /usr that the service manager runs.
    pub manager: &'a BTreeSet<String>,
}

impl Plan {
    /// Decides, from what the generations' layers say. `old` and `new` are those of what runs and of `to`.
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

    /// The same, done without a boot: what `test` does.
    #[must_use]
    pub fn without_boot(mut self) -> Self {
        if self.method > Method::Live {
            self.method = Method::Live;
            let what = "stays as it was booted: only a boot can change that";
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
        reasons.push("the kernel or the initrd is another one".to_owned());
    }
    if booted.params != to.params {
        reasons.push("the kernel's arguments are others".to_owned());
    }
    reasons
}

/// Why userspace has to start over: what no live switch since the boot can have changed.
fn soft_reasons(before: &Before<'_>, new: &Stack) -> Vec<String> {
    let mut files = Files::new(before.layers, new);
    let core: Vec<_> = (before.manager.iter())
        .filter(|file| units::is_core(file) && files.differ(file))
        .map(|file| file.rsplit('/').next().unwrap_or(file))
        .collect();
    let mut reasons = Vec::new();
    if !core.is_empty() {
        let core = core.join(", ");
        reasons.push(format!("what systemd itself runs is another: {core}"));
    }
    let units = units::overdue(before.layers, new, before.active, &mut |file| {
        files.differ(file)
    });
    if !units.is_empty() {
        let units = units.join(", ");
        reasons.push(format!("{units} can't be changed under those who use it"));
    }
    reasons
}

/// Whether files differ between two generations. One of the same layer does not; any other is read, once.
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
            Method::Nothing => "nothing to do: it runs already",
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
            writeln!(f, "  layer    {name} goes")?;
        }
        for DataChange { service, from, to } in &self.data {
            writeln!(
                f,
                "  data     a copy of {service}'s data is made: version {from} → {to}"
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
                "  as before, until the next boot: {}",
                self.units.keep_old.join(" ")
            )?;
        }
        if self.reexecute {
            writeln!(f, "  systemd itself starts over, its units go on")?;
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

//! Units as defined by a generation's layers: the fragment and its drop-ins, as systemd would read them.

use assemble::Stack;
use fast_glob::glob_match;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The directories where systemd looks for units; the first match wins.
pub(super) const FOLDERS: [&str; 2] = ["etc/systemd/system", "usr/lib/systemd/system"];

/// Settings that do not affect a running unit, so that changing them does not require a restart.
const COSMETIC: [&str; 12] = [
    "Description",
    "Documentation",
    "SourcePath",
    "OnFailure",
    "OnSuccess",
    "OnFailureJobMode",
    "IgnoreOnIsolate",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "AllowIsolation",
    "CollectMode",
];
/// Where `lichenctl provision` leaves credentials.
const CREDENTIALS: &str = "/run/credstore";
const RELOAD_TRIGGERS: &str = "X-Reload-Triggers";

type Section = BTreeMap<String, Vec<String>>;

/// A unit's settings, by section and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unit {
    sections: BTreeMap<String, Section>,
    shipped: bool,
}

/// What a generation has for a unit name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no such unit.
    Absent,
    /// The unit is masked: a link to /dev/null.
    Masked,
    /// The unit is defined.
    Unit(Unit),
}

/// How two definitions of a unit differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Nothing that affects the running unit differs.
    None,
    /// Only settings that need a reload differ.
    Reload,
    /// Something else differs.
    Restart,
}

impl Unit {
    fn parse(&mut self, text: &str) {
        let mut section = String::new();
        let mut continued = String::new();
        for line in text.lines() {
            let line = line.trim();
            if continued.is_empty() && (line.is_empty() || line.starts_with(['#', ';'])) {
                continue;
            }
            if let Some(begun) = line.strip_suffix('\\') {
                continued += begun;
                continue;
            }
            let line = std::mem::take(&mut continued) + line;
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                let section = self.sections.entry(section.clone()).or_default();
                let values = section.entry(key.trim().to_owned()).or_default();
                values.push(value.trim().to_owned());
            }
        }
    }

    /// The last value of a key; in any section if `section` is empty.
    fn value(&self, key: &str) -> Option<&str> {
        let values = self.sections.values().filter_map(|s| s.get(key));
        values.flatten().last().map(String::as_str)
    }

    /// The lines of a key of `[Service]` that take effect: an empty one takes back those before it.
    fn lines(&self, key: &str) -> Vec<&str> {
        let service = self.sections.get("Service");
        let lines = service.and_then(|section| section.get(key));
        let mut all = Vec::new();
        for line in lines.into_iter().flatten() {
            match line.is_empty() {
                true => all.clear(),
                false => all.push(line.as_str()),
            }
        }
        all
    }

    /// Whether systemd hands the service this credential out of [`CREDENTIALS`].
    pub(super) fn takes(&self, credential: &str) -> bool {
        let loads = |line: &str| {
            let from = line.split_once(':').map_or(line, |(_, from)| from);
            from == credential || Path::new(from) == Path::new(CREDENTIALS).join(credential)
        };
        let imports = |line: &str| {
            let pattern = line.split_once(':').map_or(line, |(pattern, _)| pattern);
            glob_match(pattern, credential)
        };
        self.lines("LoadCredential").into_iter().any(loads)
            || self.lines("ImportCredential").into_iter().any(imports)
    }

    /// Whether Debian ships it. Debian's upgrades restart services in one step, and its units are written for that.
    pub(super) fn is_shipped(&self) -> bool {
        self.shipped
    }

    /// Whether a boolean setting is set to the opposite of its default.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            Some("yes" | "true" | "on" | "1") => true,
            Some("no" | "false" | "off" | "0") => false,
            _ => default,
        }
    }

    /// The units of type `kind` (such as `.socket`) that this unit names.
    pub(super) fn sockets(&self) -> Vec<String> {
        let service = self.sections.get("Service");
        let named = service.and_then(|s| s.get("Sockets"));
        named
            .into_iter()
            .flatten()
            .flat_map(|line| line.split_whitespace().map(str::to_owned))
            .collect()
    }

    /// The service that a socket activates, if the socket names one.
    pub(super) fn service(&self) -> Option<&str> {
        self.value("Service")
    }

    pub(super) fn difference(&self, new: &Self) -> Difference {
        let (old, now) = (self.significant(), new.significant());
        let without = |mut unit: Self| {
            if let Some(section) = unit.sections.get_mut("Unit") {
                section.remove(RELOAD_TRIGGERS);
            }
            unit
        };
        if old.sections == now.sections {
            Difference::None
        } else if without(old).sections == without(now).sections {
            Difference::Reload
        } else {
            Difference::Restart
        }
    }

    /// The settings without those that do not affect a running unit.
    fn significant(&self) -> Self {
        let mut unit = self.clone();
        unit.sections.remove("Install");
        let section = unit.sections.entry("Unit".to_owned()).or_default();
        section.retain(|key, _| !COSMETIC.contains(&key.as_str()));
        unit
    }

    /// Whether two mounts differ only in their options, which can be changed by a remount.
    pub(super) fn only_options_differ(&self, new: &Self) -> bool {
        let without = |unit: &Self| {
            let mut unit = unit.significant();
            if let Some(section) = unit.sections.get_mut("Mount") {
                section.remove("Options");
            }
            unit
        };
        without(self).sections == without(new).sections
    }
}

/// The unit `name` of a generation.
pub(super) fn find(stack: &Stack, name: &str) -> Found {
    let mut unit = Unit::default();
    let Some(fragment) = fragment(stack, name) else {
        return Found::Absent;
    };
    let Some(file) = fragment else {
        return Found::Masked;
    };
    unit.shipped = file
        .parent()
        .is_some_and(|folder| folder.ends_with(FOLDERS[1]));
    unit.parse(&fs::read_to_string(file).unwrap_or_default());
    for file in drop_ins(stack, name) {
        unit.parse(&fs::read_to_string(file).unwrap_or_default());
    }
    Found::Unit(unit)
}

/// The template of an instance: `getty@.service` of `getty@tty1.service`.
pub(super) fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}

/// Whether the name is a link to a unit of another name.
pub(super) fn is_alias(stack: &Stack, name: &str) -> bool {
    let places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    let file = places.filter_map(|path| stack.find(path)).next();
    let target = file.and_then(|file| fs::read_link(file).ok());
    target.is_some_and(|target| target.file_name().is_some_and(|other| other != name))
}

/// None: there is no such unit. Some(None): the unit is masked.
fn fragment(stack: &Stack, name: &str) -> Option<Option<PathBuf>> {
    let names = [Some(name.to_owned()), template(name)];
    let file = names.iter().flatten().find_map(|name| {
        FOLDERS
            .iter()
            .find_map(|folder| stack.find(Path::new(folder).join(name)))
    })?;
    Some(follow(stack, file, 8))
}

/// Where a link leads within the generation, whose root is not the root of this process.
fn follow(stack: &Stack, file: PathBuf, depth: usize) -> Option<PathBuf> {
    let Ok(target) = fs::read_link(&file) else {
        return Some(file);
    };
    if target == Path::new("/dev/null") || depth == 0 {
        return None;
    }
    let next = match target.strip_prefix("/") {
        Ok(path) => stack.find(path),
        // A relative link may lead into any of the layers.
        Err(_) => FOLDERS
            .iter()
            .find_map(|folder| stack.find(Path::new(folder).join(target.file_name()?))),
    };
    follow(stack, next?, depth - 1)
}

/// In systemd's order: by file name; if a name occurs in several directories, the one in /etc wins.
fn drop_ins(stack: &Stack, name: &str) -> Vec<PathBuf> {
    let kind = name.rsplit_once('.').map(|(_, suffix)| suffix.to_owned());
    let owners = [kind, template(name), Some(name.to_owned())];
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for owner in owners.into_iter().flatten() {
        for folder in FOLDERS.iter().rev() {
            let folder = Path::new(folder).join(format!("{owner}.d"));
            for file in stack.names(&folder) {
                if file.ends_with(".conf")
                    && let Some(path) = stack.find(folder.join(&file))
                {
                    files.insert(file, path);
                }
            }
        }
    }
    files.into_values().collect()
}

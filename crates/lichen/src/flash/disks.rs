//! The disks of this machine, and which of them must not be written to.
//!
//! The facts are `lsblk`'s: util-linux is on every Debian, it has already put together what sysfs, the mount
//! table, the swaps and udev's database know (children of a disk are its partitions and whatever is stacked on
//! them), and its JSON is a fixture as it stands. What it can't see, such as a disk that another mount namespace
//! or a file system of several disks uses, the kernel refuses when the disk is opened.

use crate::command::{program, stdout_of};
use crate::failure::{Failure, Hint};
use crate::ui;
use anyhow::{Context, Result};
use card::SECTOR;
use serde::Deserialize;
use std::path::{Path, PathBuf};

const COLUMNS: &str = "NAME,PATH,TYPE,SIZE,RO,RM,HOTPLUG,TRAN,VENDOR,MODEL,MOUNTPOINTS,FSTYPE,LABEL,PARTLABEL,LOG-SEC";

/// A block device with what is on it, as `lsblk` says it.
#[derive(Clone, Debug, Deserialize)]
pub struct Disk {
    name: String,
    path: PathBuf,
    #[serde(rename = "type")]
    kind: String,
    size: Option<u64>,
    ro: bool,
    rm: bool,
    hotplug: bool,
    tran: Option<String>,
    vendor: Option<String>,
    model: Option<String>,
    mountpoints: Vec<Option<String>>,
    fstype: Option<String>,
    label: Option<String>,
    partlabel: Option<String>,
    #[serde(rename = "log-sec")]
    sector: Option<u64>,
    #[serde(default)]
    children: Vec<Disk>,
}

/// Why a device must not be written to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("is not a disk of this machine")]
    Unknown,
    #[error("is a partition; an image is written to a whole disk")]
    Partition { disk: PathBuf },
    #[error("is not a disk but of type {0}")]
    NoDisk(String),
    #[error("has no card in it")]
    Empty,
    #[error("holds the running system: {} is mounted at {at}", on.display())]
    System { on: PathBuf, at: String },
    #[error("is in use: {} is mounted at {at}", on[0].display())]
    Mounted { on: Vec<PathBuf>, at: String },
    #[error("is in use: {} is swap", .0[0].display())]
    Swap(Vec<PathBuf>),
    #[error("is in use: {} ({kind}) is made of it", by.display())]
    Held { by: PathBuf, kind: String },
    #[error("is read-only")]
    ReadOnly,
    #[error("has sectors of {0} bytes; the image's partition table is made for {SECTOR}")]
    Sectors(u64),
    #[error("is too small: it has {}, the image needs {}", ui::bytes(*has), ui::bytes(*needs))]
    TooSmall { has: u64, needs: u64 },
}

impl Refusal {
    /// The next command.
    pub fn hint(&self) -> String {
        let list = |paths: &[PathBuf]| {
            let words: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
            words.join(" ")
        };
        match self {
            Refusal::Partition { disk } => format!("the whole disk is {}", disk.display()),
            Refusal::Mounted { on, .. } => format!("umount {}", list(on)),
            Refusal::Swap(on) => format!("swapoff {}", list(on)),
            Refusal::Held { by, kind } => match kind.as_str() {
                "lvm" => format!("lvchange -an {}", by.display()),
                "crypt" => format!("cryptsetup close {}", by.display()),
                raid if raid.starts_with("raid") || raid == "linear" => {
                    format!("mdadm --stop {}", by.display())
                }
                _ => format!("dmsetup remove {}", by.display()),
            },
            Refusal::ReadOnly => {
                "slide the little lock on the side of the card towards its contacts".into()
            }
            Refusal::Empty => "put a card in; ./lichen flash --list shows when it is there".into(),
            _ => "./lichen flash --list shows what can be written to".into(),
        }
    }

    /// As an error about this device.
    pub fn about(&self, device: &Path) -> Failure {
        Failure {
            what: format!("{} {self}", device.display()),
            hint: self.hint(),
        }
    }
}

/// All disks of this machine.
pub fn read() -> Result<Vec<Disk>> {
    let mut lsblk = program("lsblk");
    lsblk.args(["--json", "--bytes", "--all", "--output", COLUMNS]);
    parse(
        &stdout_of(&mut lsblk)
            .hint("lsblk 2.37 or newer tells about disks: apt-get install util-linux")?,
    )
}

fn parse(json: &str) -> Result<Vec<Disk>> {
    #[derive(Deserialize)]
    struct Answer {
        blockdevices: Vec<Disk>,
    }
    let answer: Answer = serde_json::from_str(json).context("cannot understand what lsblk says")?;
    Ok(answer.blockdevices)
}

/// The disk at `device`, if an image of `needs` bytes may be written to it as far as can be seen.
pub fn usable<'a>(disks: &'a [Disk], device: &Path, needs: u64) -> Result<&'a Disk, Refusal> {
    if let Some(disk) = disks.iter().find(|disk| disk.path == device) {
        return match disk.refusal(needs) {
            Some(refusal) => Err(refusal),
            None => Ok(disk),
        };
    }
    for disk in disks {
        if let Some(found) = disk.tree().iter().find(|part| part.path == device) {
            return Err(match found.kind.as_str() {
                "part" => Refusal::Partition {
                    disk: disk.path.clone(),
                },
                kind => Refusal::NoDisk(kind.into()),
            });
        }
    }
    Err(Refusal::Unknown)
}

/// Where the running system mounts what it needs.
fn is_system(at: &str) -> bool {
    ["/", "/usr", "/var", "/home", "/nix", "/nix/store"].contains(&at)
        || at == "/boot"
        || at.starts_with("/boot/")
}

impl Disk {
    /// This device and all that is made of it.
    fn tree(&self) -> Vec<&Disk> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Disk::tree));
        all
    }

    fn mounts(&self) -> impl Iterator<Item = &str> {
        self.mountpoints.iter().flatten().map(String::as_str)
    }

    /// Why this whole disk must not be written to.
    fn refusal(&self, needs: u64) -> Option<Refusal> {
        if !["disk", "loop"].contains(&self.kind.as_str()) {
            return Some(Refusal::NoDisk(self.kind.clone()));
        }
        let size = self.size.unwrap_or(0);
        if size == 0 {
            return Some(Refusal::Empty);
        }
        let tree = self.tree();
        let mounts: Vec<(&Disk, &str)> = tree
            .iter()
            .flat_map(|part| part.mounts().map(move |at| (*part, at)))
            .collect();
        let on = |swap: bool| -> Vec<PathBuf> {
            let mut paths: Vec<PathBuf> = mounts
                .iter()
                .filter(|(_, at)| (*at == "[SWAP]") == swap)
                .map(|(part, _)| part.path.clone())
                .collect();
            paths.dedup();
            paths
        };
        if let Some((part, at)) = mounts.iter().find(|(_, at)| is_system(at)) {
            return Some(Refusal::System {
                on: part.path.clone(),
                at: (*at).into(),
            });
        }
        if let Some((_, at)) = mounts.iter().find(|(_, at)| *at != "[SWAP]") {
            return Some(Refusal::Mounted {
                on: on(false),
                at: (*at).into(),
            });
        }
        if !on(true).is_empty() {
            return Some(Refusal::Swap(on(true)));
        }
        // The last one is on top of the others.
        if let Some(holder) = tree[1..].iter().rev().find(|part| part.kind != "part") {
            return Some(Refusal::Held {
                by: holder.path.clone(),
                kind: holder.kind.clone(),
            });
        }
        if self.ro {
            return Some(Refusal::ReadOnly);
        }
        match self.sector {
            Some(sector) if sector != SECTOR => Some(Refusal::Sectors(sector)),
            _ if size < needs => Some(Refusal::TooSmall { has: size, needs }),
            _ => None,
        }
    }

    /// Whether it is made to be taken out.
    fn is_removable(&self) -> bool {
        self.rm || self.hotplug || ["usb", "mmc"].contains(&self.bus())
    }

    fn bus(&self) -> &str {
        match &self.tran {
            Some(bus) => bus,
            None if self.name.starts_with("mmcblk") => "mmc",
            None if self.kind == "loop" => "loop",
            None => "-",
        }
    }

    fn title(&self) -> String {
        let words: Vec<&str> = [&self.vendor, &self.model]
            .into_iter()
            .flatten()
            .map(|word| word.trim())
            .filter(|word| !word.is_empty())
            .collect();
        match words.is_empty() {
            // lsblk has no model for cards, but the kernel has their name.
            true => std::fs::read_to_string(format!("/sys/block/{}/device/name", self.name))
                .map_or("-".into(), |name| name.trim().into()),
            false => words.join(" "),
        }
    }

    /// "/dev/sdb: 31.9 GB, Generic SD/MMC, usb; on it: BOOT vfat 268.4 MB, DATA ext4 31.6 GB".
    pub fn summary(&self) -> String {
        let mut on_it: Vec<String> = self
            .tree()
            .iter()
            .filter(|part| part.kind == "part" || part.fstype.is_some())
            .map(|part| {
                let names = [&part.label, &part.partlabel];
                let name = names.into_iter().flatten().next();
                let fstype = part.fstype.as_deref().unwrap_or("unknown");
                let size = ui::bytes(part.size.unwrap_or(0));
                format!("{} {fstype} {size}", name.unwrap_or(&part.name))
            })
            .collect();
        if on_it.is_empty() {
            on_it.push("nothing that is known here".into());
        }
        format!(
            "{}: {}, {}, {}{}; on it: {}",
            self.path.display(),
            ui::bytes(self.size.unwrap_or(0)),
            self.title(),
            self.bus(),
            match self.is_removable() || self.kind == "loop" {
                true => "",
                false => ", BUILT INTO THIS MACHINE",
            },
            on_it.join(", ")
        )
    }
}

/// The disks as a table, those first that are made to be taken out.
pub fn table(disks: &[Disk]) -> String {
    let mut disks: Vec<&Disk> = disks
        .iter()
        .filter(|disk| ["disk", "loop"].contains(&disk.kind.as_str()))
        .filter(|disk| disk.size.is_some_and(|size| size > 0) && !disk.name.starts_with("zram"))
        .collect();
    disks.sort_by_key(|disk| (!disk.is_removable(), disk.name.clone()));
    let mut rows = vec![["DEVICE", "SIZE", "MODEL", "BUS", "REMOVABLE", "STATE"].map(String::from)];
    rows.extend(disks.into_iter().map(|disk| {
        [
            disk.path.display().to_string(),
            ui::bytes(disk.size.unwrap_or(0)),
            disk.title(),
            disk.bus().into(),
            if disk.is_removable() { "yes" } else { "no" }.into(),
            disk.refusal(0)
                .map_or("ready".into(), |why| why.to_string()),
        ]
    }));
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max();
    let widths: Vec<usize> = (0..6).map(|n| width(n).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = (row.iter().zip(&widths))
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[path = "disks_tests.rs"]
mod tests;

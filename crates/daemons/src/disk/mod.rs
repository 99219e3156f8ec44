//! A folder on ext4 with `data=ordered`, of which a power cut leaves only a part: what that part may be.
//!
//! What is known to be on the disk is kept apart from what is not. Names, and lengths that `truncate` and its kin set, go through the
//! journal: a cut leaves a beginning of what was not committed, in order. Data that were written and not synced may each be there
//! or not: of a file that grew, a beginning; of what was overwritten, any blocks. Syncing a file brings its own data to the disk, and commits the
//! journal if the file is new, was renamed or has another length, as ext4 does; where ext4 would commit more often, this does not.
//! What ext4 does besides for programs that forget to sync (it writes a file's data before it is renamed onto another) is not done
//! here either.

mod remains;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use remains::{Left, put};

/// A call that was completed.
#[derive(Debug, Clone)]
pub struct Op {
    /// When, in microseconds since 1970; not later than the call returned.
    pub at: u64,
    /// What it did.
    pub change: Change,
}

/// What a call does to the folder; paths are relative to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Open {
        file: PathBuf,
        truncate: bool,
    },
    Write {
        file: PathBuf,
        at: Option<u64>,
        data: Vec<u8>,
    },
    Length {
        file: PathBuf,
        length: u64,
    },
    Allocate {
        file: PathBuf,
        length: u64,
    },
    Sync {
        file: PathBuf,
        data_only: bool,
    },
    SyncAll,
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        file: PathBuf,
    },
    Folder {
        folder: PathBuf,
    },
}

/// A file, by number.
type Id = usize;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(Id),
}

type Names = BTreeMap<PathBuf, Node>;

/// What is not on the disk for certain.
#[derive(Debug, Clone)]
enum Pending {
    Name(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf, Node),
    Length(Id, usize),
    Data(Id, usize, Vec<u8>),
}

impl Pending {
    fn is_journaled(&self) -> bool {
        !matches!(self, Pending::Data(..))
    }

    fn name(&self, names: &mut Names) {
        match self {
            Pending::Name(path, node) => {
                names.insert(path.clone(), *node);
            }
            Pending::Remove(path, _) => {
                names.remove(path);
            }
            Pending::Rename(from, to, node) => {
                if *node == Node::Folder {
                    let below: Vec<PathBuf> = names
                        .keys()
                        .filter(|p| p.starts_with(from))
                        .cloned()
                        .collect();
                    for old in below {
                        let moved = names.remove(&old).unwrap_or(Node::Folder);
                        let rest = old.strip_prefix(from).unwrap_or(Path::new(""));
                        let new = if rest.as_os_str().is_empty() {
                            to.clone()
                        } else {
                            to.join(rest)
                        };
                        names.insert(new, moved);
                    }
                } else {
                    names.remove(from);
                    names.insert(to.clone(), *node);
                }
            }
            Pending::Length(..) | Pending::Data(..) => {}
        }
    }
}

/// The folder in the course of time.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// On the disk.
    names: Names,
    contents: Vec<Vec<u8>>,
    /// Not there for certain, in order.
    pending: Vec<Pending>,
    /// As the programs see it.
    seen: Names,
    lengths: Vec<usize>,
}

impl Disk {
    /// What is in `folder`, all of it on the disk.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut disk = Disk::default();
        disk.take(folder, Path::new(""))?;
        disk.seen = disk.names.clone();
        disk.lengths = disk.contents.iter().map(Vec::len).collect();
        Ok(disk)
    }

    fn take(&mut self, top: &Path, below: &Path) -> Result<()> {
        for entry in fs::read_dir(top.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.names.insert(path.clone(), Node::Folder);
                self.take(top, &path)?;
            } else if kind.is_symlink() {
                // A script makes it, if it is not there, before each start.
            } else if kind.is_file() {
                self.names.insert(path, Node::File(self.contents.len()));
                self.contents.push(fs::read(entry.path())?);
            } else {
                bail!("{} is neither a file nor a folder", entry.path().display());
            }
        }
        Ok(())
    }

    /// Does what a call did.
    pub fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Open { file, truncate } => match self.seen.get(file) {
                None => {
                    let id = self.contents.len();
                    self.contents.push(Vec::new());
                    self.lengths.push(0);
                    self.later(Pending::Name(file.clone(), Node::File(id)));
                }
                Some(Node::File(id)) if *truncate && self.lengths[*id] > 0 => {
                    let id = *id;
                    self.set_length(id, 0);
                }
                Some(_) => {}
            },
            Change::Write { file, at, data } => {
                let id = self.id(file)?;
                let at = at.map_or(self.lengths[id], |at| at as usize);
                self.lengths[id] = self.lengths[id].max(at + data.len());
                self.later(Pending::Data(id, at, data.clone()));
            }
            Change::Length { file, length } => {
                let id = self.id(file)?;
                self.set_length(id, *length as usize);
            }
            Change::Allocate { file, length } => {
                let id = self.id(file)?;
                let length = self.lengths[id].max(*length as usize);
                self.set_length(id, length);
            }
            Change::Sync { file, data_only } => self.sync(file, *data_only),
            Change::SyncAll => {
                self.commit();
                for pending in std::mem::take(&mut self.pending) {
                    if let Pending::Data(id, at, data) = pending {
                        write(&mut self.contents[id], at, &data);
                    }
                }
            }
            Change::Rename { from, to } => {
                let node = *self
                    .seen
                    .get(from)
                    .with_context(|| format!("no {}", from.display()))?;
                self.later(Pending::Rename(from.clone(), to.clone(), node));
            }
            Change::Link { from, to } => {
                let node = *self
                    .seen
                    .get(from)
                    .with_context(|| format!("no {}", from.display()))?;
                self.later(Pending::Name(to.clone(), node));
            }
            Change::Remove { file } => {
                let node = *self
                    .seen
                    .get(file)
                    .with_context(|| format!("no {}", file.display()))?;
                self.later(Pending::Remove(file.clone(), node));
            }
            Change::Folder { folder } => self.later(Pending::Name(folder.clone(), Node::Folder)),
        }
        Ok(())
    }

    fn later(&mut self, pending: Pending) {
        pending.name(&mut self.seen);
        self.pending.push(pending);
    }

    fn id(&self, file: &Path) -> Result<Id> {
        match self.seen.get(file) {
            Some(Node::File(id)) => Ok(*id),
            other => bail!("{} is no file that was opened: {other:?}", file.display()),
        }
    }

    fn set_length(&mut self, id: Id, length: usize) {
        self.lengths[id] = length;
        self.later(Pending::Length(id, length));
    }

    fn sync(&mut self, path: &Path, data_only: bool) {
        let Some(Node::File(id)) = self.seen.get(path).copied() else {
            // Of a folder, its names.
            let within = |other: &Path| other == path || other.parent() == Some(path);
            let concerned = self.pending.iter().any(|pending| match pending {
                Pending::Name(at, _) | Pending::Remove(at, _) => within(at),
                Pending::Rename(from, to, _) => within(from) || within(to),
                Pending::Length(..) | Pending::Data(..) => false,
            });
            if concerned {
                self.commit();
            }
            return;
        };
        let node = Node::File(id);
        let on_disk = self.contents[id].len();
        let concerned = self.pending.iter().any(|pending| match pending {
            Pending::Name(_, of) => *of == node,
            Pending::Rename(_, _, of) | Pending::Remove(_, of) => !data_only && *of == node,
            Pending::Length(of, _) => *of == id,
            Pending::Data(of, at, data) => *of == id && at + data.len() > on_disk,
        });
        if concerned {
            self.commit();
        }
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Data(of, at, data) if of == id => {
                    write(&mut self.contents[id], at, &data);
                }
                other => self.pending.push(other),
            }
        }
    }

    /// The journal is on the disk.
    fn commit(&mut self) {
        let mut left: Vec<Pending> = Vec::new();
        for pending in std::mem::take(&mut self.pending) {
            match pending {
                Pending::Data(..) => left.push(pending),
                Pending::Length(id, length) => {
                    // What was written beyond it before is gone.
                    for earlier in &mut left {
                        if let Pending::Data(of, at, data) = earlier
                            && *of == id
                        {
                            data.truncate(length.saturating_sub(*at));
                        }
                    }
                    self.contents[id].resize(length, 0);
                }
                name => name.name(&mut self.names),
            }
        }
        self.pending = left;
    }
}

fn write(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    if content.len() < at + data.len() {
        content.resize(at + data.len(), 0);
    }
    content[at..at + data.len()].copy_from_slice(data);
}

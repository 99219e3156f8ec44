//! The backups on DATA: `HOSTNAME-NUMBER.tar.zst.age`. They are numbered, because a device's clock may be wrong.

use super::{BackupRefused, FOLDER, record};
use crate::journal;
use crate::room::{Room, Sparing};
use crate::root::Root;
use anyhow::{Context, Result};
use backup::State;
use durable::cut;
use rustix::fs::Advice;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const ENDING: &str = ".tar.zst.age";

/// Writes a backup as far as there is room.
pub(super) type Writer<'r> = BufWriter<Sparing<'r, Summed>>;

/// A backup that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) file: PathBuf,
    pub(super) bytes: u64,
}

/// Puts what `write` writes on the shelf under the next number, once it reads as it was written.
pub(super) fn put<'r>(
    root: &Root,
    name: &str,
    room: &'r Room<'r>,
    write: impl FnOnce(Writer<'r>) -> Result<Writer<'r>>,
) -> Result<Kept> {
    let folder = root.at(FOLDER);
    let newest = on(&folder)?.last().map_or(0, |(number, _)| *number);
    let number = newest.max(record::number(root)) + 1;
    let temporary = folder.join(".partial");
    let written = once(&temporary, room, write);
    let bytes = written.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    cut::point("whole backup");
    let file = folder.join(format!("{name}-{number:04}{ENDING}"));
    durable::rename(&temporary, &file)?;
    record::note_number(root, number)?;
    Ok(Kept { file, bytes })
}

/// Removes all but the newest `keep`, and the newest one with the data of all services.
pub(super) fn clear(root: &Root, keep: usize) -> Result<()> {
    let all = on(&root.at(FOLDER))?;
    let old = all.len().saturating_sub(keep.max(1));
    for file in not_needed(root, &all).filter(|file| all[..old].iter().any(|(_, old)| old == *file))
    {
        durable::remove(file)?;
    }
    let names: BTreeSet<_> = on(&root.at(FOLDER))?
        .iter()
        .map(|(_, file)| name_of(file))
        .collect();
    record::forget_others(root, |name| names.contains(name))
}

/// Removes the oldest one, if another one with the data of all services stays, and tells it; says whether it did.
pub(super) fn give_way(root: &Root) -> Result<bool> {
    let all = on(&root.at(FOLDER))?;
    let Some(oldest) = not_needed(root, &all).next() else {
        return Ok(false);
    };
    journal::error(&format!(
        "DATA has no room for another backup: the oldest one, {}, is removed",
        oldest.display()
    ));
    durable::remove(oldest)
}

/// All but the newest one with the data of all services, or the newest one if none has; the oldest first.
fn not_needed<'a>(
    root: &Root,
    all: &'a [(u64, PathBuf)],
) -> impl Iterator<Item = &'a PathBuf> + use<'a> {
    let incomplete = record::incomplete(root);
    let files = all.iter().map(|(_, file)| file);
    let whole = files
        .clone()
        .rfind(|file| !incomplete.contains(&name_of(file)));
    let needed = whole.or(files.clone().next_back());
    files.filter(move |file| Some(*file) != needed)
}

pub(super) fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn once<'r>(
    path: &Path,
    room: &'r Room<'r>,
    write: impl FnOnce(Writer<'r>) -> Result<Writer<'r>>,
) -> Result<u64> {
    let cannot = || format!("cannot write {}", path.display());
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path).with_context(cannot)?;
    let to = Sparing::new(Summed::new(file), room);
    let written = write(BufWriter::with_capacity(1 << 17, to))?;
    let written = written
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(cannot)?;
    let Summed { file, sum } = written.into_inner();
    file.sync_all().with_context(cannot)?;
    // From the card, and not from memory.
    let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
    let read = State::of("", "", File::open(path)?);
    let read = read.with_context(|| format!("cannot read back {}", path.display()))?;
    if (read.bytes, read.sha256) != sum.finish() {
        return Err(BackupRefused::Unreliable(path.display().to_string()).into());
    }
    Ok(read.bytes)
}

/// The backups on the shelf by their numbers, the newest last.
pub(super) fn on(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(ENDING)?.rsplit_once('-'));
        all.extend(number.and_then(|(_, number)| Some((number.parse().ok()?, path.clone()))));
    }
    all.sort();
    Ok(all)
}

/// A file, and the sum of what was written to it.
pub(super) struct Summed {
    file: File,
    sum: backup::Sum,
}

impl Summed {
    fn new(file: File) -> Self {
        Self {
            file,
            sum: backup::Sum::default(),
        }
    }
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.sum.add(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

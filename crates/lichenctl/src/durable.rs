//! Writes that survive a power cut.
//!
//! On DATA and on tmpfs a file is replaced whole ([`atomic_write`]). On BOOT, a FAT whose rename is not atomic, an
//! existing file is overwritten in place ([`overwrite`], [`wipe`]), and a new one is written under its own name
//! while nothing refers to it yet ([`place`]).
//! Between any two steps there is a `cut` point, at which the tests simulate a power cut.

use anyhow::{Context, Result};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Puts `content` at `path` with the mode `mode`: after a power cut the file is either the old or the new one.
pub fn atomic_write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    replace(path, |temp| {
        // The mode is set at creation: a secret is never readable by others, not even briefly.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(temp)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()
    })
}

/// Calls [`atomic_write`] only if the content or mode differs, to spare the card; says whether it wrote.
pub fn update(path: &Path, content: &[u8], mode: u32) -> Result<bool> {
    let same = fs::read(path).is_ok_and(|now| now == content)
        && fs::symlink_metadata(path)
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o7777 == mode);
    if !same {
        atomic_write(path, content, mode)?;
    }
    Ok(!same)
}

/// Makes `path` a symbolic link to `target`, replacing what is there.
pub fn atomic_symlink(target: &str, path: &Path) -> Result<()> {
    if fs::read_link(path).is_ok_and(|now| now == Path::new(target)) {
        return Ok(());
    }
    replace(path, |temp| std::os::unix::fs::symlink(target, temp))
}

fn replace(path: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let temp = temporary(path)?;
    let write = || -> std::io::Result<()> {
        // The temporary name is fixed, so the next attempt replaces what a power cut leaves behind.
        remove_if_there(&temp)?;
        make(&temp)?;
        cut::point("temporary file");
        fs::rename(&temp, path)?;
        cut::point("rename");
        sync_dir(path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&temp)))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn temporary(path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .with_context(|| format!("{} does not name a file", path.display()))?;
    Ok(path.with_file_name(format!(".{}.tmp", name.to_string_lossy())))
}

/// Removes a file durably. A missing file is not an error. Says whether the file existed.
pub fn remove(path: &Path) -> Result<bool> {
    let remove = || -> std::io::Result<bool> {
        let was_there = remove_if_there(path)?;
        if was_there {
            cut::point("unlink");
            sync_dir(path)?;
        }
        Ok(was_there)
    };
    remove().with_context(|| format!("cannot remove {}", path.display()))
}

fn remove_if_there(path: &Path) -> std::io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Creates the directory if it is missing, and sets its mode.
pub fn directory(path: &Path, mode: u32) -> Result<()> {
    let make = || -> std::io::Result<()> {
        if !path.is_dir() {
            if let Some(parent) = path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o755)
                    .create(parent)?;
            }
            DirBuilder::new().mode(mode).create(path)?;
            sync_dir(path)?;
        }
        if fs::metadata(path)?.permissions().mode() & 0o7777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    make().with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Overwrites the start of an existing file in place, without truncating or renaming, so that on FAT only the sectors
/// and the time stamp of this file change.
pub fn overwrite(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(content, 0)?;
    file.sync_all()
}

/// Overwrites a file on BOOT with zeros and then removes it. Old sectors that the card's controller keeps cannot be
/// erased from here, but a normal reader of the card cannot see them.
pub fn wipe(path: &Path) -> Result<()> {
    let length = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    let zeros = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    overwrite(path, &zeros).with_context(|| format!("cannot overwrite {}", path.display()))?;
    cut::point("zeros");
    remove_from_boot(path)
}

/// Writes a file onto BOOT that nothing refers to yet. Callers must call [`sync_file_system`] before anything refers
/// to it. A file left incomplete by a power cut is written again. Says whether it had to write.
pub fn place(path: &Path, content: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|now| now == content) {
        return Ok(false);
    }
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        cut::point("empty file");
        let (first, second) = content.split_at(content.len() / 2);
        file.write_all(first)?;
        cut::point("half a file");
        file.write_all(second)?;
        file.sync_all()?;
        cut::point("whole file");
        sync_dir(path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Removes a file or a directory with its content from BOOT. FAT guarantees no order of writes: if blocks were freed
/// before the directory entry was durably removed, a power cut could leave an entry that refers to blocks of another
/// file. An open file keeps its blocks.
pub fn remove_from_boot(path: &Path) -> Result<()> {
    let remove = || -> std::io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                remove_from_boot(&entry?.path()).map_err(std::io::Error::other)?;
            }
            fs::remove_dir(path)?;
            cut::point("rmdir");
            return sync_dir(path);
        }
        let held = File::open(path)?;
        fs::remove_file(path)?;
        cut::point("unlink");
        sync_dir(path)?;
        drop(held);
        Ok(())
    };
    remove().with_context(|| format!("cannot remove {}", path.display()))
}

/// Makes all writes to the file system of `path` durable.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let sync = || -> std::io::Result<()> { Ok(rustix::fs::syncfs(File::open(path)?)?) };
    sync().with_context(|| format!("cannot sync the file system of {}", path.display()))
}

/// Makes changes to the directory entry `path` durable.
pub fn sync_dir(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Marks the points between two durable steps. Does nothing in the program; in the tests it simulates a power cut.
#[cfg(not(test))]
pub(crate) mod cut {
    pub(crate) fn point(_after: &str) {}
}

/// Marks the points between two durable steps, at each of which a test can simulate a power cut.
#[cfg(test)]
pub(crate) mod cut {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    struct Plug;
    thread_local! { static LEFT: Cell<Option<usize>> = const { Cell::new(None) } }

    pub(crate) fn point(_after: &str) {
        match LEFT.get() {
            Some(0) => resume_unwind(Box::new(Plug)),
            Some(n) => LEFT.set(Some(n - 1)),
            None => {}
        }
    }

    /// Runs `f` until its n-th point; returns `None` if the power cut happened there.
    pub(crate) fn at<T>(n: usize, f: impl FnOnce() -> T) -> Option<T> {
        LEFT.set(Some(n));
        let result = catch_unwind(AssertUnwindSafe(f));
        LEFT.set(None);
        match result {
            Ok(value) => Some(value),
            Err(cause) if cause.is::<Plug>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }
}

/// A directory for a test, in memory if possible: thousands of fsyncs are slow on a disk and prove nothing more there.
#[cfg(test)]
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(place).expect("no folder for tests")
}

#[cfg(test)]
#[path = "durable_tests.rs"]
mod tests;

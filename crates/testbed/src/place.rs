//! The directories that this crate uses below the target directory, and locks.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long to wait before looking again for a lock that is free.
const PAUSE: Duration = Duration::from_millis(100);

/// A name for the files that the calling story leaves behind.
pub fn story_name() -> String {
    static NAMELESS: AtomicUsize = AtomicUsize::new(1);
    let thread = thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.replace("::", "-"),
        // Under --test-threads=1 stories run on the main thread, which does not have their names: their place
        // among all is what there is, and the same in the next run.
        _ => format!("{}-{}", program(), NAMELESS.fetch_add(1, Ordering::Relaxed)),
    }
}

/// The name of this test binary, without what cargo appends to it.
fn program() -> String {
    let exe = std::env::current_exe().unwrap_or_default();
    let stem = exe.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit_once('-')
        .map_or(stem.as_ref(), |(name, _)| name)
        .to_owned()
}

/// The directory `name` below `target/testbed`, made if need be.
pub(crate) fn directory(name: &str) -> Result<PathBuf> {
    let exe = std::env::current_exe().context("where this program is")?;
    let target = exe
        .ancestors()
        .find(|path| path.file_name() == Some(OsStr::new("target")));
    let directory = target
        .unwrap_or(Path::new("target"))
        .join("testbed")
        .join(name);
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    Ok(directory)
}

/// A turn that only one story has at a time, until this is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not used")] FileLock);

/// Waits until no other story has the turn of this name. Stories are processes of their own.
pub fn turn(name: &str) -> Result<Turn> {
    Ok(Turn(FileLock::take(&directory("turns")?.join(name))?))
}

/// An exclusive lock between threads and processes alike; held until dropped, or until its process is gone.
#[derive(Debug)]
pub(crate) struct FileLock(#[expect(dead_code, reason = "held, not used")] File);

impl FileLock {
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("open lock {}", path.display()))?;
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(Self(file))
    }

    /// Takes any one of `paths`; waits while all of them are taken.
    pub(crate) fn take_one(paths: &[PathBuf]) -> Result<Self> {
        loop {
            for path in paths {
                let file = File::options().create(true).append(true).open(path);
                let file = file.with_context(|| format!("open lock {}", path.display()))?;
                match file.try_lock() {
                    Ok(()) => return Ok(Self(file)),
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => {
                        return Err(error).with_context(|| format!("lock {}", path.display()));
                    }
                }
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "no lock tells when any of several is free"
            )]
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_locks_the_third_waits_for_whichever_is_free_first() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| directory.path().join(name));
        let (_first, second) = (
            FileLock::take_one(&paths).unwrap(),
            FileLock::take_one(&paths).unwrap(),
        );
        thread::scope(|scope| {
            let third = scope.spawn(|| FileLock::take_one(&paths).unwrap());
            assert!(!third.is_finished());
            drop(second);
            third.join().unwrap();
        });
    }
}

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
use std::path::Path;

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
    let name = path
        .file_name()
        .with_context(|| format!("{} does not name a file", path.display()))?;
    let prefix = temporary_of(&name.to_string_lossy());
    let temp = path.with_file_name(format!("{prefix}{}.tmp", rustix::thread::gettid()));
    let write = || -> std::io::Result<()> {
        remove_leftovers(folder_of(path), &prefix)?;
        let write = || -> std::io::Result<()> {
            make(&temp)?;
            cut::point("temporary file");
            fs::rename(&temp, path)?;
            cut::point("rename");
            sync_entry(path)
        };
        write().inspect_err(|_| drop(fs::remove_file(&temp)))
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// What the names of this user's temporary files for a file begin with; the number of the thread that writes follows. So
/// writers need no lock, which any user who can read a folder could hold for ever, and what somebody else's attempt left
/// behind, which only they can remove, is in nobody's way.
fn temporary_of(name: &str) -> String {
    let user = rustix::process::geteuid().as_raw();
    format!(".{name}.{user}.")
}

/// Removes what power cuts left behind: the temporary files of threads that are no more, and of this one, which begins.
fn remove_leftovers(folder: &Path, prefix: &str) -> std::io::Result<()> {
    let own = rustix::thread::gettid().to_string();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let thread = (name.to_str())
            .and_then(|name| name.strip_prefix(prefix)?.strip_suffix(".tmp"))
            .filter(|thread| thread.bytes().all(|byte| byte.is_ascii_digit()));
        let is_over = |thread: &str| thread == own || !Path::new("/proc").join(thread).exists();
        if thread.is_some_and(is_over) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file durably. A missing file is not an error. Says whether the file existed.
pub fn remove(path: &Path) -> Result<bool> {
    let remove = || -> std::io::Result<bool> {
        let was_there = remove_if_there(path)?;
        if was_there {
            cut::point("unlink");
            sync_entry(path)?;
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

/// Creates the directory and those above it, as far as they are missing, and sets its mode.
pub fn directory(path: &Path, mode: u32) -> Result<()> {
    let make = || -> std::io::Result<()> {
        make_folders(path, mode)?;
        if fs::metadata(path)?.permissions().mode() & 0o7777 != mode {
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    make().with_context(|| format!("cannot make the directory {}", path.display()))
}

fn make_folders(path: &Path, mode: u32) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_folders(folder_of(path), 0o755)?;
    match DirBuilder::new().mode(mode).create(path) {
        // Somebody else made it in the meantime.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_entry(path)
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
        sync_entry(path)
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
            return sync_entry(path);
        }
        let held = File::open(path)?;
        fs::remove_file(path)?;
        cut::point("unlink");
        sync_entry(path)?;
        drop(held);
        Ok(())
    };
    remove().with_context(|| format!("cannot remove {}", path.display()))
}

/// Renames a file or a folder durably, within one file system.
pub fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    let rename = || {
        fs::rename(from, to)?;
        cut::point("rename");
        sync_entry(to)?;
        match from.parent() == to.parent() {
            true => Ok(()),
            false => sync_entry(from),
        }
    };
    rename().map_err(|error| {
        let (from, to) = (from.display(), to.display());
        std::io::Error::new(
            error.kind(),
            format!("cannot rename {from} to {to}: {error}"),
        )
    })
}

/// Makes all writes to the file system of `path` durable.
pub fn sync_file_system(path: &Path) -> Result<()> {
    let sync = || -> std::io::Result<()> { Ok(rustix::fs::syncfs(File::open(path)?)?) };
    sync().with_context(|| format!("cannot sync the file system of {}", path.display()))
}

/// Makes changes to the entry `path` of its folder durable.
pub fn sync_entry(path: &Path) -> std::io::Result<()> {
    sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent == Path::new("") => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Makes changes to the entries of a folder durable.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(test)]
    tests::synced(folder);
    File::open(folder)?.sync_all()
}

/// Marks the points between two durable steps. Without the feature `testing` this does nothing.
#[cfg(not(feature = "testing"))]
pub mod cut {
    /// The point after this step.
    pub fn point(_after: &str) {}
}

/// Marks the points between two durable steps, at each of which a test can simulate a power cut.
#[cfg(feature = "testing")]
pub mod cut {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    struct Plug;
    thread_local! { static LEFT: Cell<Option<usize>> = const { Cell::new(None) } }

    /// The point after this step.
    pub fn point(_after: &str) {
        match LEFT.get() {
            Some(0) => resume_unwind(Box::new(Plug)),
            Some(n) => LEFT.set(Some(n - 1)),
            None => {}
        }
    }

    /// Runs `f` until its n-th point; returns `None` if the power cut happened there.
    pub fn at<T>(n: usize, f: impl FnOnce() -> T) -> Option<T> {
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
#[cfg(feature = "testing")]
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    tempfile::tempdir_in(place).expect("no folder for tests")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;

    use super::*;

    thread_local! { static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) } }

    /// Notes that the entries of this folder were synced.
    pub(super) fn synced(folder: &Path) {
        SYNCED.with_borrow_mut(|synced| synced.push(folder.to_owned()));
    }

    #[test]
    fn a_cut_leaves_the_old_file_or_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for n in 0.. {
            atomic_write(&path, b"old", 0o600).unwrap();
            let done = cut::at(n, || atomic_write(&path, b"new", 0o600).unwrap()).is_some();
            let now = fs::read(&path).unwrap();
            assert!(now == b"old" || now == b"new");
            if done {
                assert_eq!(now, b"new");
                break;
            }
        }
        atomic_write(&path, b"newer", 0o640).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary file stays"
        );
    }

    #[test]
    fn writers_of_one_file_do_not_get_into_each_other_s_way() {
        let dir = scratch();
        let path = dir.path().join("file");
        let letters = [b'a', b'b', b'c', b'd'];
        std::thread::scope(|threads| {
            for letter in letters {
                let path = &path;
                threads.spawn(move || {
                    for _ in 0..50 {
                        atomic_write(path, &vec![letter; 100_000], 0o600).unwrap();
                        let now = fs::read(path).unwrap();
                        assert!(now.len() == 100_000 && now.iter().all(|byte| *byte == now[0]));
                        atomic_symlink(&letter.to_string(), &path.with_file_name("link")).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_another_user_s_cut_left_behind_stops_nobody() {
        if !geteuid().is_root() {
            return; // Nobody else can become another user.
        }
        let dir = scratch();
        // As in /tmp, only the owner of a file may remove it.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        let path = dir.path().join("file");
        assert!(cut::at(0, || atomic_write(&path, b"root's", 0o600)).is_none());
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let nobody = Uid::from_raw(65534);
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
                atomic_write(&path, b"nobody's", 0o600).unwrap();
            });
        });
        assert_eq!(fs::read(&path).unwrap(), b"nobody's");
    }

    #[test]
    fn who_can_only_read_a_folder_delays_nobody_who_writes_there() {
        let dir = scratch();
        let reader = File::open(dir.path()).unwrap();
        reader.lock().unwrap();
        let path = dir.path().join("file");
        let (done, written) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(atomic_write(&path, b"new", 0o600)));
        let within = std::time::Duration::from_secs(10);
        written.recv_timeout(within).expect("it waits").unwrap();
    }

    #[test]
    fn what_a_thread_that_is_no_more_left_behind_is_removed() {
        let dir = scratch();
        let path = dir.path().join("file");
        std::thread::scope(|threads| {
            threads.spawn(|| assert!(cut::at(0, || atomic_write(&path, b"old", 0o600)).is_none()));
        });
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "it left something"
        );
        // The kernel may still know the thread for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            atomic_write(&path, b"new", 0o600).unwrap();
            if fs::read_dir(dir.path()).unwrap().count() == 1 {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "it stays");
        }
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn every_new_folder_is_made_durable_in_the_one_above_it() {
        let dir = scratch();
        let below = |path: &str| dir.path().join(path);
        directory(&below("a/b/c"), 0o700).unwrap();
        assert_eq!(SYNCED.take(), [below(""), below("a"), below("a/b")]);
        let mode = |path: &str| fs::metadata(below(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode("a/b"), mode("a/b/c")], [0o755, 0o700]);
        directory(&below("a/b/c"), 0o750).unwrap();
        assert_eq!((mode("a/b/c"), SYNCED.take().len()), (0o750, 0));
    }

    #[test]
    fn update_leaves_alone_what_is_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(update(&path, b"a", 0o600).unwrap());
        assert!(!update(&path, b"a", 0o600).unwrap());
        assert!(update(&path, b"a", 0o644).unwrap(), "the mode counts");
        assert!(update(&path, b"b", 0o644).unwrap());
    }

    #[test]
    fn a_wiped_file_is_zeros_before_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        atomic_write(&path, b"hunter2", 0o600).unwrap();
        assert!(cut::at(0, || wipe(&path)).is_none());
        assert_eq!(fs::read(&path).unwrap(), [0; 7]);
        wipe(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn an_error_names_the_file() {
        let error = atomic_write(Path::new("/nonexistent/dir/file"), b"", 0o600).unwrap_err();
        assert!(
            format!("{error:#}").contains("/nonexistent/dir/file"),
            "{error:#}"
        );
    }
}

//! Brings what ffmpeg writes to the disk as soon as it is written. The kernel tells when that is, so nothing is looked at in
//! between.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::retry_on_intr;

/// How long to wait for the rest of what is being written: ffmpeg writes a fragment in pieces. With the length of a fragment
/// this is what a cut can lose.
const REST: Duration = Duration::from_millis(30);

/// Syncs a part whenever something was written, until this is dropped. A thread does it: a card that is slow to sync delays
/// nothing else.
#[derive(Debug)]
pub struct Syncing {
    told: Arc<OwnedFd>,
    watch: i32,
}

impl Syncing {
    /// Begins before there is a file, so that nothing is missed.
    pub fn start(part: &Path) -> io::Result<Self> {
        let name = part.display().to_string();
        Syncing::telling(part, move |synced| {
            if let Err(error) = synced {
                tracing::warn!("cannot sync {name}: {error}");
            }
        })
    }

    /// The same, and tells how each went.
    fn telling(part: &Path, tell: impl Fn(io::Result<()>) + Send + 'static) -> io::Result<Self> {
        let folder = part.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let told = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
        let watch = inotify::add_watch(&told, folder, WatchFlags::MODIFY)?;
        let (part, from) = (part.to_owned(), told.clone());
        let thread = thread::Builder::new().name("sync".into());
        thread.spawn(move || {
            if let Err(error) = keep_synced(&part, &from, &tell) {
                tell(Err(error));
            }
        })?;
        Ok(Syncing { told, watch })
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        // The thread is told of that, too.
        let _ = inotify::remove_watch(&self.told, self.watch);
    }
}

/// Syncs until the folder is not watched any more.
fn keep_synced(part: &Path, told: &OwnedFd, tell: &impl Fn(io::Result<()>)) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(told, &mut buffer);
    let mut file: Option<File> = None;
    loop {
        retry_on_intr(|| poll(&mut [PollFd::new(told, PollFlags::IN)], None))?;
        thread::sleep(REST);
        let mut is_written = false;
        loop {
            let event = events.next()?;
            if event.events().contains(ReadFlags::IGNORED) {
                return Ok(());
            }
            let name = event.file_name().map(|name| name.to_bytes());
            is_written |= name == part.file_name().map(OsStrExt::as_bytes);
            if events.is_buffer_empty() {
                break;
            }
        }
        if is_written {
            tell(match &file {
                Some(file) => file.sync_data(),
                None => sync(part).map(|synced| file = Some(synced)),
            });
        }
    }
}

/// Syncs a file, and the folder that names it.
pub fn sync(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use super::*;

    /// How long what must happen may take on a machine that is busy.
    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn each_fragment_is_synced_once_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let part = directory.path().join("part-000.mp4");
        let (tell, told) = channel();
        let syncing = Syncing::telling(&part, move |synced| {
            let _ = tell.send(synced.map_err(|error| error.to_string()));
        });
        let syncing = syncing.unwrap();
        let mut file = File::create(&part).unwrap();
        let mut other = File::create(directory.path().join("part-001.mp4")).unwrap();
        for _ in 0..3 {
            for _ in 0..6 {
                file.write_all(&[7; 100]).unwrap();
            }
            assert_eq!(told.recv_timeout(SOON), Ok(Ok(())));
            other.write_all(&[7; 100]).unwrap();
            let more = told.recv_timeout(3 * REST);
            assert_eq!(more, Err(RecvTimeoutError::Timeout));
        }
        drop(syncing);
        let end = told.recv_timeout(SOON);
        assert_eq!(end, Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn what_cannot_be_synced_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let part = directory.path().join("part-000.mp4");
        let (tell, told) = channel();
        let syncing = Syncing::telling(&part, move |synced| {
            let _ = tell.send(synced.map_err(|error| error.kind()));
        });
        let _syncing = syncing.unwrap();
        // Gone before it could be opened.
        let mut file = File::create(&part).unwrap();
        file.write_all(&[7; 100]).unwrap();
        std::fs::remove_file(&part).unwrap();
        let told = told.recv_timeout(SOON);
        assert_eq!(told, Ok(Err(io::ErrorKind::NotFound)));
    }
}

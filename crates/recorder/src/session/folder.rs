//! The folder of a session: `videos/12` with `part-000.mp4`, …, and later `2026-11-30_0800_12_1f2e3d4c.mp4`
//! and `thumbnail.jpg`.
//!
//! A folder that is to be removed is renamed to `videos/removed-12` first. So what bears a session's number is never the
//! rest of a removal, and is never removed because a row says that the session was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

/// What the name of a folder that is being removed begins with.
const REMOVED: &str = "removed-";

/// The copy that the parts are joined into.
const COPY: &str = "video.new";

/// The folder of a session, which need not exist.
#[derive(Debug, Clone)]
pub struct Folder {
    id: i64,
    path: PathBuf,
}

/// What tells this device from others: eight digits of a hash of its machine-id, which itself is not to be shown.
fn device() -> &'static str {
    static DEVICE: OnceLock<String> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let id = std::fs::read("/etc/machine-id").unwrap_or_default();
        let hash = Sha256::new_with_prefix("recorder")
            .chain_update(id)
            .finalize();
        hash.iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    })
}

impl Folder {
    /// The folder of a session in the folder of all.
    pub fn of(videos: &Path, id: i64) -> Self {
        Folder {
            id,
            path: videos.join(id.to_string()),
        }
    }

    /// All that exist.
    pub fn all(videos: &Path) -> io::Result<Vec<Folder>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(videos)? {
            let name = entry?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.parse().ok()) {
                all.push(Folder::of(videos, id));
            }
        }
        all.sort_by_key(|folder| folder.id);
        Ok(all)
    }

    /// The session's number.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, durably. One that exists belongs to another recording.
    pub fn make(&self) -> io::Result<()> {
        std::fs::create_dir(&self.path)?;
        durable::sync_entry(&self.path)
    }

    /// Gives it the number of another session.
    pub fn renumber(&self, id: i64) -> io::Result<()> {
        durable::rename(&self.path, &self.path.with_file_name(id.to_string()))
    }

    /// Its parts, in order.
    pub fn parts(&self) -> io::Result<Vec<PathBuf>> {
        let mut parts = self.films(true)?;
        // Numbers of more than three digits come after those of three.
        parts.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        Ok(parts)
    }

    /// Its files that are parts, or those that are not.
    fn films(&self, are_parts: bool) -> io::Result<Vec<PathBuf>> {
        let mut films = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".mp4") && name.starts_with("part-") == are_parts {
                films.push(path);
            }
        }
        Ok(films)
    }

    /// The video, if it is made.
    pub fn video(&self) -> Option<PathBuf> {
        self.films(false).ok()?.pop()
    }

    /// What the video of a session is called that began at this time: who finds it elsewhere knows what it is. Devices that
    /// upload to the same place and keep the same hours differ in it.
    pub fn video_to_be(&self, started_at_ms: i64) -> PathBuf {
        let began = Timestamp::from_millisecond(started_at_ms).unwrap_or_default();
        let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
        let time = began.to_zoned(zone).strftime("%Y-%m-%d_%H%M");
        let name = format!("{time}_{}_{}.mp4", self.id, device());
        self.path.join(name)
    }

    /// The copy that the parts are joined into, before it is the video.
    pub fn copy(&self) -> PathBuf {
        self.path.join(COPY)
    }

    /// How much room it still takes to join the parts: as much as they have, less what is copied already. A single part
    /// needs none.
    pub fn needs_to_join(&self) -> u64 {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        match self.parts() {
            Ok(parts) if parts.len() > 1 => {
                let all: u64 = parts.iter().map(size).sum();
                all.saturating_sub(size(&self.copy()))
            }
            _ => 0,
        }
    }

    /// The picture of it.
    pub fn thumbnail(&self) -> PathBuf {
        self.path.join("thumbnail.jpg")
    }

    /// Whether there is anything in it that could become a video.
    pub fn has_films(&self) -> bool {
        self.video().is_some() || self.parts().is_ok_and(|parts| !parts.is_empty())
    }

    /// Takes it out of the way of the other sessions, durably; [`Folder::remove`] does the rest.
    pub fn set_aside(&self) -> io::Result<()> {
        // What an earlier session with this number has left.
        self.remove()?;
        match durable::rename(&self.path, &self.aside()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Removes what was set aside.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(self.aside()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what a cut has left of all that were set aside.
    pub fn remove_all(videos: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(videos)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(REMOVED) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn aside(&self) -> PathBuf {
        self.path.with_file_name(format!("{REMOVED}{}", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_video_s_name_tells_when_which_and_of_which_device() {
        let video = Folder::of(Path::new("/videos"), 12).video_to_be(0);
        let name = video.file_stem().unwrap().to_str().unwrap();
        let [day, time, id, device] = name.split('_').collect::<Vec<_>>()[..] else {
            panic!("{name}")
        };
        assert_eq!((day.len(), time.len(), id), (10, 4, "12"));
        assert!(device.len() == 8 && device.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "what a test writes need not survive a cut"
    )]
    fn joining_needs_as_much_as_the_parts_have_less_what_is_copied() {
        let videos = tempfile::tempdir().unwrap();
        let folder = Folder::of(videos.path(), 1);
        folder.make().unwrap();
        let needs = |name: &str, bytes: usize| {
            std::fs::write(folder.path().join(name), vec![0; bytes]).unwrap();
            folder.needs_to_join()
        };
        assert_eq!(
            needs("part-000.mp4", 500),
            0,
            "a single part plays as it is"
        );
        assert_eq!(needs("part-001.mp4", 300), 800);
        assert_eq!(needs("video.new", 200), 600);
    }

    #[test]
    fn a_folder_is_made_once_and_removed_in_two_steps() {
        let videos = tempfile::tempdir().unwrap();
        let folder = Folder::of(videos.path(), 12);
        folder.make().unwrap();
        let again = folder.make().map_err(|error| error.kind());
        assert_eq!(again, Err(io::ErrorKind::AlreadyExists));
        folder.set_aside().unwrap();
        assert!(Folder::all(videos.path()).unwrap().is_empty());
        assert!(videos.path().join("removed-12").exists());
        Folder::remove_all(videos.path()).unwrap();
        let left = std::fs::read_dir(videos.path()).unwrap().count();
        assert_eq!(left, 0);
    }
}

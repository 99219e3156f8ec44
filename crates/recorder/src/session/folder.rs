//! The folder of a session: `videos/12` with `part-000.mp4`, …, and later `2026-11-30_0800_12_1f2e3d4c.mp4`
//! and `thumbnail.jpg`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

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

    /// Makes it, durably.
    pub fn make(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.path)?;
        match self.path.parent() {
            Some(parent) => std::fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
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

    /// The picture of it.
    pub fn thumbnail(&self) -> PathBuf {
        self.path.join("thumbnail.jpg")
    }

    /// Whether there is anything in it that could become a video.
    pub fn has_files(&self) -> bool {
        self.video().is_some() || self.parts().is_ok_and(|parts| !parts.is_empty())
    }

    /// Removes it with all that is in it.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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
}

//! The root of the device's tree: `/`, or another directory in tests and with `--root`.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the tree that is read and written.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The tree that begins at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A path in the tree, given without a leading slash.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Whether this is the running device and not just a directory: only then the kernel and systemd are involved.
    pub fn is_device(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Seconds since the kernel started, which no clock moves.
    pub fn uptime(&self) -> Result<u64> {
        let text =
            fs::read_to_string(self.at("proc/uptime")).context("cannot read /proc/uptime")?;
        let seconds = text
            .split(['.', ' '])
            .next()
            .and_then(|s| s.trim().parse().ok());
        seconds.with_context(|| format!("/proc/uptime says {text:?}"))
    }
}

#[cfg(test)]
impl Root {
    /// Puts a file into the tree of a test, with the folders above it.
    pub fn put(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        durable::atomic_write(&path, content.as_ref(), 0o644).unwrap();
    }
}

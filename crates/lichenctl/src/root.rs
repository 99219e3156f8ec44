//! Where the device's tree begins: `/`, or a folder in tests and behind `--root`.

use std::path::{Path, PathBuf};

/// The root of the tree that is read and written.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// A tree that begins at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A path in the tree, given without a leading slash.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Whether this is the running device, and not a folder: only then the kernel and systemd are asked or
    /// told anything.
    pub fn is_device(&self) -> bool {
        self.0 == Path::new("/")
    }
}

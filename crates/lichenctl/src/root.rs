//! The root of the device's tree: `/`, or another directory in tests and with `--root`.

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
}

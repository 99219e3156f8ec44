//! Programs out of the test tools, a Debian tree in the store.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The tree.
#[derive(Debug, Clone)]
pub struct Tools(PathBuf);

impl Tools {
    /// The tree at this store path.
    pub fn new(root: PathBuf) -> Self {
        Tools(root)
    }

    /// A program of the tree, through the tree's own loader with the tree's own libraries: no namespaces, no
    /// privileges, and paths mean what they mean to the caller.
    pub fn command(&self, program: &str) -> Command {
        let libraries = self.0.join("usr/lib/x86_64-linux-gnu");
        #[expect(
            clippy::disallowed_methods,
            reason = "its terminal and language are the caller's"
        )]
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(&libraries)
            .arg("--argv0")
            .arg(program);
        command.arg(self.0.join("usr/bin").join(program));
        command
    }

    /// A file of the tree.
    pub fn file(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The tree itself.
    pub fn root(&self) -> &Path {
        &self.0
    }
}

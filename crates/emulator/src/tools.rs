//! Programs of a Debian root that is not the machine's own, QEMU first of all.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

const LOADERS: [&str; 2] = [
    "usr/lib64/ld-linux-x86-64.so.2",
    "usr/lib/ld-linux-aarch64.so.1",
];

const OWN: &str = "/";

/// A Debian root, such as one in the store, or this machine itself, whose root is `/`.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// The root at this path.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// What this machine has.
    pub fn of_this_machine() -> Self {
        Self { root: OWN.into() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn foreign_root(&self) -> Option<&Path> {
        Some(self.root()).filter(|root| *root != OWN)
    }

    /// `program`, ready to take its arguments.
    ///
    /// A root's programs start through the root's own loader with the root's own libraries: no chroot, so no
    /// privileges, and paths mean what they mean to the caller. What a root lacks, this machine may have.
    pub fn command(&self, program: &str) -> Command {
        let found = self.foreign_root().and_then(|root| {
            let path = ["usr/bin", "usr/sbin"]
                .map(|folder| root.join(folder).join(program))
                .into_iter()
                .find(|path| path.exists())?;
            let loader = LOADERS
                .iter()
                .map(|loader| root.join(loader))
                .find(|loader| loader.exists())?;
            Some((root, path, loader))
        });
        let Some((root, path, loader)) = found else {
            return Command::new(program);
        };
        let mut command = Command::new(loader);
        command
            .arg("--library-path")
            .arg(libraries(root))
            .arg("--argv0")
            .arg(program)
            .arg(path);
        command
    }

    /// `file` below the root.
    pub fn file(&self, file: &str) -> Result<PathBuf> {
        let path = self.root.join(file);
        path.canonicalize()
            .with_context(|| format!("test tools: {}", path.display()))
    }

    /// QEMU for arm64, told where its own data are.
    pub(crate) fn qemu(&self) -> Command {
        let mut command = self.command("qemu-system-aarch64");
        if let Some(root) = self.foreign_root() {
            command.env("QEMU_MODULE_DIR", libraries(root).join("qemu"));
            command.arg("-L").arg(root.join("usr/share/qemu"));
        }
        command
    }
}

fn libraries(root: &Path) -> PathBuf {
    root.join(if cfg!(target_arch = "aarch64") {
        "usr/lib/aarch64-linux-gnu"
    } else {
        "usr/lib/x86_64-linux-gnu"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_of_a_root_starts_through_the_loader_of_that_root() {
        let root = tempfile::tempdir().unwrap();
        let (loader, program) = (root.path().join(LOADERS[0]), root.path().join("usr/sbin/x"));
        for file in [&loader, &program] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let tools = Tools::new(root.path().to_owned());
        let command = tools.command("x");
        assert_eq!(command.get_program(), loader);
        assert_eq!(command.get_args().last().unwrap(), program);
        // Where it is not there, this machine's.
        assert_eq!(tools.command("y").get_program(), "y");
        assert_eq!(Tools::of_this_machine().command("x").get_program(), "x");
        assert_eq!(
            tools.file("usr/sbin/x").unwrap(),
            program.canonicalize().unwrap()
        );
        let error = tools.file("usr/nothing").unwrap_err().to_string();
        assert!(error.contains("usr/nothing"), "{error}");
    }
}

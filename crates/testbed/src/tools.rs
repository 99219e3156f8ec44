//! The programs that stories need: from the test tools of this project, else from the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::inputs;

const LOADERS: [&str; 2] = [
    "usr/lib64/ld-linux-x86-64.so.2",
    "usr/lib/ld-linux-aarch64.so.1",
];

/// A Debian root that is not the machine's own, or the machine itself.
#[derive(Debug, Clone)]
pub struct Tools {
    root: Option<PathBuf>,
}

impl Tools {
    /// What machines run in and are reached with: the input `test tools`; without inputs, what this machine has.
    pub fn from_env() -> Result<Self> {
        Self::named("test tools")
    }

    /// What looks at appliances from outside, such as Prometheus: the input `check tools`, or this machine.
    pub fn checks() -> Result<Self> {
        Self::named("check tools")
    }

    fn named(name: &str) -> Result<Self> {
        let root = inputs::given().then(|| inputs::input(name)).transpose()?;
        Ok(Self { root })
    }

    /// What tells these tools from others.
    pub(crate) fn name(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// `program`, ready to take its arguments.
    ///
    /// A root's programs start through the root's own loader with the root's own libraries: no chroot, so no
    /// privileges, and paths mean what they mean to the caller.
    pub fn command(&self, program: &str) -> Command {
        let found = self.root.as_deref().and_then(|root| {
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
        let path = self.root.as_deref().unwrap_or(Path::new("/")).join(file);
        path.canonicalize()
            .with_context(|| format!("test tools: {}", path.display()))
    }

    /// QEMU for arm64, told where its own data are.
    pub(crate) fn qemu(&self) -> Command {
        let mut command = self.command("qemu-system-aarch64");
        if let Some(root) = &self.root {
            command.env("QEMU_MODULE_DIR", format!("{}/qemu", libraries(root)));
            command.arg("-L").arg(root.join("usr/share/qemu"));
        }
        command
    }
}

fn libraries(root: &Path) -> String {
    let machine = if cfg!(target_arch = "aarch64") {
        "aarch64"
    } else {
        "x86_64"
    };
    format!("{}/usr/lib/{machine}-linux-gnu", root.display())
}

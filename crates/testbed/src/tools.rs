//! The programs that stories need: from the test tools of this project, else from the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::inputs;

/// A Debian root that is not the machine's own, or the machine itself.
#[derive(Debug, Clone)]
pub struct Tools(emulator::Tools);

impl Tools {
    /// What machines run in and are reached with: the input `test tools`; without inputs, what this machine has.
    pub fn from_env() -> Result<Self> {
        Self::named("test tools")
    }

    /// What looks at appliances from outside, such as Prometheus: the input `check tools`, or this machine.
    pub fn checks() -> Result<Self> {
        Self::named("check tools")
    }

    /// Those of the root at `root`.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self(emulator::Tools::new(root.to_owned()))
    }

    fn named(name: &str) -> Result<Self> {
        Ok(Self(if inputs::given() {
            emulator::Tools::new(inputs::input(name)?)
        } else {
            emulator::Tools::of_this_machine()
        }))
    }

    /// What tells these tools from others.
    pub(crate) fn name(&self) -> &Path {
        self.0.root()
    }

    /// `program`, ready to take its arguments; see [`emulator::Tools::command`].
    pub fn command(&self, program: &str) -> Command {
        self.0.command(program)
    }

    /// `file` below the root.
    pub fn file(&self, file: &str) -> Result<PathBuf> {
        self.0.file(file)
    }

    /// As the emulator knows them.
    pub(crate) fn of_the_emulator(&self) -> &emulator::Tools {
        &self.0
    }
}

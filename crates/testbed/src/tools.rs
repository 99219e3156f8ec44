//! The programs that stories need: from the test tools of this project, else from the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::place::environment_path;

/// A Debian root that is not the machine's own, or the machine itself.
#[derive(Debug, Clone)]
pub struct Tools(emulator::Tools);

impl Tools {
    /// What machines run in and are reached with: the root in `LICHEN_TEST_TOOLS`; without it, what this machine has.
    pub fn from_env() -> Result<Self> {
        Self::from_variable("LICHEN_TEST_TOOLS")
    }

    /// What looks at appliances from outside, such as Prometheus: the root in `LICHEN_CHECK_TOOLS`, or this machine.
    pub fn checks() -> Result<Self> {
        Self::from_variable("LICHEN_CHECK_TOOLS")
    }

    /// Those of the root at `root`.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self(emulator::Tools::new(root.to_owned()))
    }

    fn from_variable(name: &str) -> Result<Self> {
        let given = std::env::var_os(name).is_some_and(|value| !value.is_empty());
        Ok(Self(if given {
            emulator::Tools::new(environment_path(name)?)
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

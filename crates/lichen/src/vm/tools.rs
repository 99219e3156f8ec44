//! Where QEMU and what else an emulated machine needs come from: a root of Debian's packages, made by Nix.

use crate::nix::Nix;
use crate::workspace::Workspace;
use anyhow::Result;
use emulator::Tools;

/// What the flake calls it.
pub const OUTPUT: &str = "packages.x86_64-linux.test-tools";

/// The tools, built if need be.
pub fn build(workspace: &Workspace, nix: &Nix) -> Result<Tools> {
    let link = workspace.build("")?.join("test-tools");
    Ok(Tools::new(nix.build(OUTPUT, Some(&link))?.output))
}

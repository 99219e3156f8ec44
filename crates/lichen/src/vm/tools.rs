//! Where QEMU and what else an emulated machine needs come from: a root of Debian's packages, made by Nix.

use crate::nix::Nix;
use anyhow::Result;
use emulator::Tools;

/// What the flake calls it.
pub const OUTPUT: &str = "packages.x86_64-linux.test-tools";

/// The tools, built if need be.
pub fn build(nix: &Nix) -> Result<Tools> {
    Ok(Tools::new(nix.keep("test-tools")?.output))
}

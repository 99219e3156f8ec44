//! What those who start machines test alike: that they start the machine that is described here, and nothing else.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::{Hardware, Tools};

/// A root that has of all tools only what a command line has to name.
pub fn tools(root: &Path) -> io::Result<Tools> {
    let u_boot = root.join("usr/lib/u-boot/qemu_arm64/u-boot.bin");
    fs::create_dir_all(u_boot.parent().unwrap_or(root))?;
    fs::write(u_boot, "")?;
    Ok(Tools::new(root.to_owned()))
}

/// Panics unless a command line of QEMU has all that makes this hardware, and no device besides.
pub fn assert_is_made_of(qemu: &Command, hardware: &Hardware) {
    let words: Vec<_> = qemu.get_args().map(|word| word.to_string_lossy()).collect();
    let described = hardware.arguments();
    assert!(
        words.windows(described.len()).any(|part| part == described),
        "{described:?} is not in {words:?}"
    );
    let devices = words.iter().filter(|word| *word == "-device").count();
    let described = described.iter().filter(|word| *word == "-device").count();
    assert_eq!(devices, described, "devices in {words:?}");
}

//! For the tests of everything that starts machines: they have to start the machine described here, and nothing else.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::{Hardware, Tools};

/// Makes a root that has none of the tools, but the file that every command line names.
pub fn tools(root: &Path) -> io::Result<Tools> {
    let u_boot = root.join("usr/lib/u-boot/qemu_arm64/u-boot.bin");
    fs::create_dir_all(u_boot.parent().unwrap_or(root))?;
    fs::write(u_boot, "")?;
    Ok(Tools::new(root.to_owned()))
}

/// Panics unless a command line of QEMU describes all of this hardware, and no further device.
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

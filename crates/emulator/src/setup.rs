//! What a machine is switched on with.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::drive::quoted;
use crate::{Drive, Forward};

/// What a machine is switched on with, whatever it is made of.
pub struct Setup<'a> {
    /// Its card.
    pub drive: &'a Drive,
    /// Reads a file from BOOT of that card: what a board's own firmware would, which no emulator runs.
    pub boot_file: &'a dyn Fn(&str) -> Result<Vec<u8>>,
    /// Where its memory lives.
    pub memory: Memory<'a>,
    /// The ports that lead to it, if it has a network.
    pub forwards: &'a [Forward],
    /// Where its serial lines lead.
    pub console: Console<'a>,
    /// The socket it is made to listen on for [`Qmp`](crate::Qmp).
    pub qmp: &'a Path,
    /// For what QEMU has to be given as files.
    pub directory: &'a Path,
}

/// Where a machine's memory lives.
#[derive(Debug, Clone, Copy)]
pub enum Memory<'a> {
    /// Nowhere in particular.
    Fresh,
    /// In a file that a snapshot is to be taken of.
    Shared(&'a Path),
    /// A private view of such a file: writes stay with the machine.
    View(&'a Path),
}

impl Memory<'_> {
    /// The object that is a memory of `size` MiB.
    pub(crate) fn object(self, size: u32) -> String {
        let (file, share) = match self {
            Memory::Fresh => return format!("memory-backend-ram,id=ram,size={size}M"),
            Memory::Shared(file) => (file, "on"),
            Memory::View(file) => (file, "off"),
        };
        let file = quoted(file);
        format!("memory-backend-file,id=ram,size={size}M,share={share},mem-path={file}")
    }
}

/// Where a machine's serial lines lead.
#[derive(Debug, Clone, Copy)]
pub enum Console<'a> {
    /// All of them to the end of this file.
    File(&'a Path),
    /// The first to the terminal that QEMU is started from, where Ctrl-A X pulls the plug; the others nowhere.
    Terminal,
}

impl Console<'_> {
    /// Which line is the console is the device tree's to say.
    pub(crate) fn connect(self, lines: usize, qemu: &mut Command) {
        match self {
            Console::File(file) => {
                let file = quoted(file);
                for line in 0..lines {
                    qemu.arg("-chardev")
                        .arg(format!("file,id=console{line},append=on,path={file}"));
                    qemu.arg("-serial").arg(format!("chardev:console{line}"));
                }
            }
            Console::Terminal => {
                qemu.args(["-serial", "mon:stdio"]);
            }
        }
    }
}

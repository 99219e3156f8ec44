//! What a machine is made of, and how QEMU is told so.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Disk, Tools};

/// The boards that QEMU can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// QEMU's own: fast, with network and a watchdog.
    Virt,
    /// A Raspberry Pi 4 with its SD controller. QEMU gives it no network, and its watchdog resets when armed.
    RaspberryPi4,
}

/// What a machine is made of.
#[derive(Debug, Clone)]
pub struct Hardware {
    /// Which board.
    pub board: Board,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory: u32,
    /// What its clock says when it is switched on, as `2001-02-03T04:05:06`; the host's time if not given.
    pub clock: Option<&'static str>,
    /// Width and height of its screen, in pixels, if it has one.
    pub screen: Option<(u32, u32)>,
    /// Whether the network ends at the host: who comes from there gets in, and nothing gets out.
    pub cut_off: bool,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            board: Board::Virt,
            cpus: 2,
            memory: 1024,
            clock: None,
            screen: None,
            cut_off: false,
        }
    }
}

/// Where a machine's memory lives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Memory<'p> {
    /// Nowhere in particular.
    Fresh,
    /// In a file that a snapshot is to be taken of.
    Shared(&'p Path),
    /// A private view of such a file: writes stay with the machine.
    View(&'p Path),
}

impl Hardware {
    /// A Raspberry Pi 4.
    pub fn raspberry_pi_4() -> Self {
        Self {
            board: Board::RaspberryPi4,
            ..Self::default()
        }
    }

    /// How many serial lines the board has; which of them is the console is the device tree's to say.
    pub(crate) fn serial_lines(&self) -> usize {
        match self.board {
            Board::Virt => 1,
            Board::RaspberryPi4 => 2,
        }
    }

    pub(crate) fn has_network(&self) -> bool {
        self.board == Board::Virt
    }

    /// QEMU as this hardware with `disk` in it; what it has to be given as files goes into `directory`.
    pub(crate) fn qemu(
        &self,
        tools: &Tools,
        disk: &Disk,
        memory: Memory<'_>,
        directory: &Path,
    ) -> Result<Command> {
        let mut qemu = tools.qemu();
        qemu.args(["-no-user-config", "-nodefaults", "-display", "none"]);
        qemu.args(["-accel", "tcg,thread=multi"]);
        if let Some(clock) = self.clock {
            qemu.arg("-rtc").arg(format!("base={clock}"));
        }
        match self.board {
            Board::Virt => self.virt(&mut qemu, tools, disk, memory)?,
            Board::RaspberryPi4 => raspberry_pi_4(&mut qemu, disk, directory)?,
        }
        Ok(qemu)
    }

    fn virt(
        &self,
        qemu: &mut Command,
        tools: &Tools,
        disk: &Disk,
        memory: Memory<'_>,
    ) -> Result<()> {
        let size = self.memory;
        let ram = match memory {
            Memory::Fresh => format!("memory-backend-ram,id=ram,size={size}M"),
            Memory::Shared(file) => {
                format!(
                    "memory-backend-file,id=ram,size={size}M,share=on,mem-path={}",
                    quoted(file)
                )
            }
            Memory::View(file) => {
                format!(
                    "memory-backend-file,id=ram,size={size}M,share=off,mem-path={}",
                    quoted(file)
                )
            }
        };
        qemu.args([
            "-M",
            "virt,memory-backend=ram",
            "-cpu",
            "cortex-a76",
            "-object",
            &ram,
        ]);
        qemu.args(["-m", &format!("{size}M"), "-smp", &self.cpus.to_string()]);
        qemu.arg("-bios")
            .arg(tools.file("usr/lib/u-boot/qemu_arm64/u-boot.bin")?);
        qemu.args(["-drive", &drive(disk, "none")]);
        qemu.args(["-device", "virtio-blk-pci,drive=disk"]);
        qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        qemu.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        if let Some((width, height)) = self.screen {
            let screen = format!("virtio-gpu-pci,romfile=,xres={width},yres={height}");
            qemu.args(["-device", &screen]);
        }
        Ok(())
    }
}

/// The Pi's own firmware, which no emulator runs, would load these two from BOOT: U-Boot and the device tree.
fn raspberry_pi_4(qemu: &mut Command, disk: &Disk, directory: &Path) -> Result<()> {
    qemu.args(["-M", "raspi4b", "-drive", &drive(disk, "sd")]);
    let files = [
        ("-kernel", "u-boot.bin", disk.read_boot_file("u-boot.bin")?),
        (
            "-dtb",
            "board.dtb",
            without_power_sequences(disk.read_boot_file("bcm2711-rpi-4-b.dtb")?),
        ),
    ];
    for (option, name, contents) in files {
        let file = directory.join(name);
        fs::write(&file, contents).with_context(|| format!("write {}", file.display()))?;
        qemu.arg(option).arg(file);
    }
    Ok(())
}

/// QEMU has the card on the controller that real boards have Wi-Fi on. Linux would wait for ever for the GPIO that
/// powers the Wi-Fi, which QEMU's firmware knows nothing of; a property of another name is of no interest to it.
fn without_power_sequences(mut device_tree: Vec<u8>) -> Vec<u8> {
    const PROPERTY: &[u8] = b"\0mmc-pwrseq\0";
    let found = device_tree
        .windows(PROPERTY.len())
        .position(|bytes| bytes == PROPERTY);
    if let Some(at) = found {
        device_tree[at + 1] = b'x';
    }
    device_tree
}

/// Writes reach the host's page cache, which a killed QEMU does not take with it: what the device had synced is
/// kept and what it still held in its own memory is lost, as when a plug is pulled.
fn drive(disk: &Disk, interface: &str) -> String {
    let (file, format) = (quoted(disk.path()), disk.format());
    let contents = match disk.log() {
        None => format!("file={file},format={format}"),
        Some(log) => format!(
            "driver=blklogwrites,file.driver={format},file.file.driver=file,file.file.filename={file},\
             log.driver=file,log.filename={}",
            quoted(log)
        ),
    };
    format!("if={interface},id=disk,{contents},cache=writeback,discard=unmap")
}

/// A comma within a value is said twice.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

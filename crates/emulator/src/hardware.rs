//! What a machine is made of, and how QEMU is told so.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::drive::quoted;
use crate::{Drive, Setup, Tools};

/// The boards that QEMU can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// QEMU's own: fast, with network, a watchdog and a power button.
    Virt,
    /// A Raspberry Pi 4 with its SD controller. QEMU gives it no network, and its watchdog resets when armed.
    RaspberryPi4,
}

/// What a machine is made of.
///
/// Its `Debug` tells what QEMU is told, too, so that what is named after it, as snapshots are, has another name once
/// this file describes another machine.
#[derive(Clone)]
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
    /// Whether the network ends at the host: the machine can be reached from there, and reaches nothing.
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

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            board,
            cpus,
            memory,
            clock,
            screen,
            cut_off,
        } = self;
        f.debug_struct("Hardware")
            .field("board", board)
            .field("cpus", cpus)
            .field("memory", memory)
            .field("clock", clock)
            .field("screen", screen)
            .field("cut_off", cut_off)
            .field("arguments", &self.arguments())
            .field("drive", &self.drive(&Drive::raw(Path::new("disk"))))
            .finish()
    }
}

impl Hardware {
    /// A Raspberry Pi 4.
    pub fn raspberry_pi_4() -> Self {
        Self {
            board: Board::RaspberryPi4,
            ..Self::default()
        }
    }

    /// QEMU as this hardware, switched on with `setup`.
    pub fn command(&self, tools: &Tools, setup: &Setup<'_>) -> Result<Command> {
        let mut qemu = tools.qemu();
        qemu.args(self.arguments());
        qemu.args(["-drive", &self.drive(setup.drive)]);
        match self.board {
            Board::Virt => self.plug_into_virt(&mut qemu, tools, setup)?,
            Board::RaspberryPi4 => plug_into_raspberry_pi_4(&mut qemu, setup)?,
        }
        let socket = quoted(setup.qmp);
        qemu.arg("-qmp")
            .arg(format!("unix:{socket},server=on,wait=off"));
        setup.console.connect(self.serial_lines(), &mut qemu);
        Ok(qemu)
    }

    /// What QEMU is told of this hardware, whatever it is switched on with.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Arguments::default();
        arguments.add(["-no-user-config", "-nodefaults", "-display", "none"]);
        arguments.add(["-accel", "tcg,thread=multi"]);
        if let Some(clock) = self.clock {
            arguments.add(["-rtc", &format!("base={clock}")]);
        }
        match self.board {
            Board::Virt => self.virt(&mut arguments),
            Board::RaspberryPi4 => arguments.add(["-M", "raspi4b"]),
        }
        arguments.0
    }

    fn virt(&self, arguments: &mut Arguments) {
        // Without ACPI, which nothing here reads, the power button is in the device tree, where Linux finds it.
        arguments.add(["-M", "virt,acpi=off,memory-backend=ram"]);
        arguments.add(["-cpu", "cortex-a76", "-smp", &self.cpus.to_string()]);
        arguments.add(["-m", &format!("{}M", self.memory)]);
        arguments.add(["-device", "virtio-blk-pci,drive=disk"]);
        arguments.add(["-device", "virtio-net-pci,netdev=net,romfile="]);
        arguments.add(["-device", "i6300esb", "-action", "watchdog=reset"]);
        // No virtio-rng: QEMU gives the device tree an `rng-seed`, which the kernel starts its random numbers from.
        if let Some((width, height)) = self.screen {
            let screen = format!("virtio-gpu-pci,romfile=,xres={width},yres={height}");
            arguments.add(["-device", &screen]);
        }
    }

    fn plug_into_virt(&self, qemu: &mut Command, tools: &Tools, setup: &Setup<'_>) -> Result<()> {
        qemu.arg("-bios")
            .arg(tools.file("usr/lib/u-boot/qemu_arm64/u-boot.bin")?);
        qemu.args(["-object", &setup.memory.object(self.memory)]);
        let mut network = "user,id=net".to_owned();
        if self.cut_off {
            network.push_str(",restrict=on");
        }
        for forward in setup.forwards {
            network.push_str(&format!(",hostfwd={forward}"));
        }
        qemu.args(["-netdev", &network]);
        Ok(())
    }

    /// The Pi has a controller for cards; for `virt`, the card is an ordinary device.
    fn drive(&self, drive: &Drive) -> String {
        drive.argument(match self.board {
            Board::Virt => "none",
            Board::RaspberryPi4 => "sd",
        })
    }

    fn serial_lines(&self) -> usize {
        match self.board {
            Board::Virt => 1,
            Board::RaspberryPi4 => 2,
        }
    }
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(str::to_owned));
    }
}

/// The Pi's own firmware, which no emulator runs, would load these two from BOOT: U-Boot and the device tree.
fn plug_into_raspberry_pi_4(qemu: &mut Command, setup: &Setup<'_>) -> Result<()> {
    let read = setup.boot_file;
    let u_boot = read("u-boot.bin")?;
    let device_tree = without_power_sequences(read("bcm2711-rpi-4-b.dtb")?);
    for (option, name, contents) in [
        ("-kernel", "u-boot.bin", u_boot),
        ("-dtb", "board.dtb", device_tree),
    ] {
        let file = setup.directory.join(name);
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

#[cfg(test)]
#[path = "hardware_tests.rs"]
mod tests;

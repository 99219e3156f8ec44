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

    /// The Pi has a controller for cards; to `virt`, one is a device among its others.
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
mod tests {
    use super::*;
    use crate::{Console, Forward, Memory};

    /// The command line of this hardware, with a card, a port, a console and whatever else there is.
    fn words(hardware: &Hardware, memory: Memory<'_>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let u_boot = folder.path().join("usr/lib/u-boot/qemu_arm64/u-boot.bin");
        fs::create_dir_all(u_boot.parent().unwrap()).unwrap();
        fs::write(u_boot, "").unwrap();
        let setup = Setup {
            drive: &Drive::raw(Path::new("/card")),
            boot_file: &|name| Ok(format!("\0{name}\0mmc-pwrseq\0").into_bytes()),
            memory,
            forwards: &[(22, 2222), (80, 8080)].map(|(guest, host)| Forward { host, guest }),
            console: Console::File(Path::new("/console")),
            qmp: Path::new("/qmp"),
            directory: folder.path(),
        };
        let tools = Tools::new(folder.path().to_owned());
        let command = hardware.command(&tools, &setup).unwrap();
        let words = command
            .get_args()
            .map(|word| word.to_str().unwrap().to_owned());
        let mut words: Vec<_> = words.collect();
        // What was given as files is told by its contents.
        for file in words
            .iter_mut()
            .filter(|word| word.starts_with(folder.path().to_str().unwrap()))
        {
            *file = fs::read_to_string(&file).unwrap_or_default();
        }
        words
    }

    fn has(words: &[String], option: &str, value: &str) -> bool {
        words.windows(2).any(|pair| pair == [option, value])
    }

    #[test]
    fn what_a_machine_is_switched_on_with_comes_after_what_it_is_made_of() {
        let hardware = Hardware::default();
        let arguments = hardware.arguments();
        for memory in [Memory::Fresh, Memory::View(Path::new("/memory"))] {
            let words = words(&hardware, memory);
            assert!(
                words
                    .windows(arguments.len())
                    .any(|part| part == arguments.as_slice()),
                "{words:?}"
            );
        }
    }

    #[test]
    fn virt_has_a_power_button_a_watchdog_and_ports() {
        let words = words(&Hardware::default(), Memory::Shared(Path::new("/memory")));
        for (option, value) in [
            ("-M", "virt,acpi=off,memory-backend=ram"),
            (
                "-object",
                "memory-backend-file,id=ram,size=1024M,share=on,mem-path=/memory",
            ),
            ("-device", "i6300esb"),
            (
                "-netdev",
                "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80",
            ),
            ("-serial", "chardev:console0"),
            ("-qmp", "unix:/qmp,server=on,wait=off"),
        ] {
            assert!(
                has(&words, option, value),
                "{option} {value} is not in {words:?}"
            );
        }
        assert!(!words.iter().any(|word| word.contains("gpu")), "{words:?}");
    }

    #[test]
    fn a_machine_can_be_cut_off_and_have_a_screen_and_a_clock() {
        let hardware = Hardware {
            cut_off: true,
            screen: Some((800, 480)),
            clock: Some("2001-02-03T04:05:06"),
            ..Hardware::default()
        };
        let words = words(&hardware, Memory::Fresh);
        assert!(has(&words, "-rtc", "base=2001-02-03T04:05:06"), "{words:?}");
        assert!(
            has(
                &words,
                "-device",
                "virtio-gpu-pci,romfile=,xres=800,yres=480"
            ),
            "{words:?}"
        );
        assert!(
            words
                .iter()
                .any(|word| word.starts_with("user,id=net,restrict=on,hostfwd=")),
            "{words:?}"
        );
    }

    #[test]
    fn a_raspberry_pi_4_is_given_what_its_firmware_would_load_and_has_two_serial_lines() {
        let words = words(&Hardware::raspberry_pi_4(), Memory::Fresh);
        assert!(has(&words, "-M", "raspi4b"), "{words:?}");
        assert!(
            has(&words, "-kernel", "\0u-boot.bin\0mmc-pwrseq\0"),
            "{words:?}"
        );
        assert!(
            has(&words, "-dtb", "\0bcm2711-rpi-4-b.dtb\0xmc-pwrseq\0"),
            "{words:?}"
        );
        assert!(has(&words, "-serial", "chardev:console1"), "{words:?}");
        assert!(!words.iter().any(|word| word == "-netdev"), "{words:?}");
    }

    #[test]
    fn what_is_named_after_hardware_has_another_name_when_its_description_changes() {
        let hardware = Hardware::default();
        let name = format!("{hardware:?}");
        for argument in hardware.arguments() {
            assert!(name.contains(&argument), "{argument} is not in {name}");
        }
        assert!(name.contains("discard=unmap"), "{name}");
        let larger = Hardware {
            memory: 2048,
            ..hardware
        };
        assert_ne!(format!("{larger:?}"), name);
    }
}

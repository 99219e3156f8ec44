use super::*;
use crate::{Console, Forward, Memory, testing};

/// The command line of this hardware with every option: a card, a port, a console and the rest.
fn words(hardware: &Hardware, memory: Memory<'_>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let tools = testing::tools(folder.path()).unwrap();
    let setup = Setup {
        drive: &Drive::raw(Path::new("/card")),
        boot_file: &|name| Ok(format!("\0{name}\0mmc-pwrseq\0").into_bytes()),
        memory,
        forwards: &[(22, 2222), (80, 8080)].map(|(guest, host)| Forward { host, guest }),
        console: Console::File(Path::new("/console")),
        qmp: Path::new("/qmp"),
        directory: folder.path(),
    };
    let command = hardware.command(&tools, &setup).unwrap();
    let words = command
        .get_args()
        .map(|word| word.to_str().unwrap().to_owned());
    let mut words: Vec<_> = words.collect();
    // Files are identified by their contents.
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

//! QEMU as the board `virt`: started, found again, stopped.

use super::tools::Tools;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A port of this machine that leads to one of the appliance.
#[derive(Debug, Clone, Copy)]
pub struct Forward {
    /// Here.
    pub host: u16,
    /// There.
    pub guest: u16,
}

/// One virtual machine's folder, with its card, its console and its control socket.
#[derive(Debug)]
pub struct Qemu {
    folder: PathBuf,
}

impl Qemu {
    /// The machine of a folder.
    pub fn new(folder: PathBuf) -> Self {
        Qemu { folder }
    }

    /// A file of the machine.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The process, if the machine runs. A number alone may belong to another program by now.
    pub fn running(&self) -> Option<i32> {
        let pid = std::fs::read_to_string(self.file("qemu.pid"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let socket = self.file("qmp").display().to_string();
        String::from_utf8_lossy(&command)
            .contains(&socket)
            .then_some(pid)
    }

    /// The command that starts it.
    pub fn command(&self, tools: &Tools, forwards: &[Forward], detached: bool) -> Command {
        let mut qemu = tools.command("qemu-system-aarch64");
        qemu.env(
            "QEMU_MODULE_DIR",
            tools.file("usr/lib/x86_64-linux-gnu/qemu"),
        );
        qemu.arg("-L").arg(tools.file("usr/share/qemu"));
        qemu.args([
            "-no-user-config",
            "-nodefaults",
            "-display",
            "none",
            "-accel",
            "tcg,thread=multi",
        ]);
        qemu.args([
            // Without ACPI, which nothing here reads, the board has a power button in its device tree.
            "-M",
            "virt,acpi=off",
            "-cpu",
            "cortex-a76",
            "-smp",
            "2",
            "-m",
            "1024M",
        ]);
        qemu.arg("-bios")
            .arg(tools.file("usr/lib/u-boot/qemu_arm64/u-boot.bin"));
        let card = quoted(&self.file("card.img"));
        qemu.arg("-drive").arg(format!(
            "if=none,id=disk,format=raw,discard=unmap,file={card}"
        ));
        qemu.args([
            "-device",
            "virtio-blk-pci,drive=disk",
            "-device",
            "virtio-net-pci,netdev=net,romfile=",
        ]);
        let forwards: String = forwards
            .iter()
            .map(|f| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", f.host, f.guest))
            .collect();
        qemu.arg("-netdev").arg(format!("user,id=net{forwards}"));
        qemu.args([
            "-device",
            "virtio-rng-pci",
            "-device",
            "i6300esb",
            "-action",
            "watchdog=reset",
        ]);
        qemu.arg("-qmp").arg(format!(
            "unix:{},server=on,wait=off",
            quoted(&self.file("qmp"))
        ));
        qemu.arg("-pidfile").arg(self.file("qemu.pid"));
        if detached {
            qemu.arg("-serial")
                .arg(format!("file:{}", self.file("console.log").display()));
            qemu.arg("-daemonize");
        } else {
            qemu.args(["-serial", "mon:stdio"]);
        }
        qemu
    }

    /// Switches the machine off as its power button would, and pulls the plug if that does nothing.
    pub fn stop(&self) -> Result<()> {
        self.control("system_powerdown")?;
        let deadline = Instant::now() + Duration::from_secs(40);
        let mut live = crate::ui::Live::new();
        while self.running().is_some() {
            if Instant::now() > deadline {
                live.line("it does not switch itself off, pulling the plug");
                // A machine that is gone by now has what was wanted.
                let _ = self.control("quit");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
            live.update(&format!(
                "switching off, {}",
                crate::ui::duration(live.elapsed())
            ));
        }
        live.clear();
        Ok(())
    }

    fn control(&self, what: &str) -> Result<()> {
        let context = || {
            format!(
                "cannot reach the virtual machine over {}",
                self.file("qmp").display()
            )
        };
        let mut socket = UnixStream::connect(self.file("qmp")).with_context(context)?;
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .with_context(context)?;
        let mut lines = BufReader::new(socket.try_clone().with_context(context)?);
        let mut line = String::new();
        lines.read_line(&mut line).with_context(context)?;
        for command in ["qmp_capabilities", what] {
            writeln!(socket, "{{\"execute\":\"{command}\"}}").with_context(context)?;
            line.clear();
            lines.read_line(&mut line).with_context(context)?;
        }
        Ok(())
    }
}

/// QEMU reads a doubled comma as one that belongs to the value.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Fails, naming the port and its flag, when somebody listens there already.
pub fn check_port(port: u16, flag: &str) -> Result<()> {
    if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
        crate::fail!(hint: format!("choose another: {flag} PORT"), "port {port} of this machine can't be used for {flag}: {error}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_its_flag() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = check_port(port, "--http").unwrap_err();
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        let failure = error.downcast_ref::<crate::failure::Failure>().unwrap();
        assert_eq!(failure.hint, "choose another: --http PORT");
        drop(taken);
        check_port(port, "--http").unwrap();
    }

    #[test]
    fn a_stale_number_is_not_a_running_machine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("qemu.pid"),
            std::process::id().to_string(),
        )
        .unwrap();
        assert_eq!(Qemu::new(folder.path().into()).running(), None);
    }
}

//! Starts, finds and stops the machine of an appliance. What it is made of is described in the crate `emulator`.

use anyhow::{Context, Result};
use card::read_from_boot;
use emulator::{Console, Drive, Forward, Hardware, Memory, Qmp, Setup, Tools};
use serde_json::json;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

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
        let socket = self.socket().display().to_string();
        String::from_utf8_lossy(&command)
            .contains(&socket)
            .then_some(pid)
    }

    /// The command that starts it: the same machine as stories run on. Detached, it returns once the machine is on.
    pub fn command(&self, tools: &Tools, forwards: &[Forward], detached: bool) -> Result<Command> {
        let (card, log, socket) = (
            self.file("card.img"),
            self.file("console.log"),
            self.socket(),
        );
        let setup = Setup {
            drive: &Drive::raw(&card),
            boot_file: &|name| read_from_boot(&card, name),
            memory: Memory::Fresh,
            forwards,
            console: if detached {
                Console::File(&log)
            } else {
                Console::Terminal
            },
            qmp: &socket,
            directory: &self.folder,
        };
        let mut qemu = Hardware::default().command(tools, &setup)?;
        qemu.arg("-pidfile").arg(self.file("qemu.pid"));
        if detached {
            // The console is kept from reset to reset, but not from one start to the next.
            let _ = std::fs::remove_file(&log);
            qemu.arg("-daemonize");
        }
        Ok(qemu)
    }

    /// Switches the machine off as its power button would, and pulls the plug if that does nothing.
    pub fn stop(&self) -> Result<()> {
        self.control("system_powerdown")?;
        let deadline = Instant::now() + Duration::from_secs(40);
        let mut live = crate::ui::Live::new();
        while self.running().is_some() {
            if Instant::now() > deadline {
                live.line("the machine does not switch itself off; pulling its plug");
                // This fails if the machine has ended by now, which is what was wanted.
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
        let socket = self.socket();
        Qmp::connect(&socket, Duration::ZERO)
            .and_then(|mut qmp| qmp.execute(what, json!({})))
            .map(drop)
            .with_context(|| format!("cannot reach the virtual machine over {}", socket.display()))
    }

    fn socket(&self) -> PathBuf {
        self.file("qmp")
    }
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
    fn the_machine_is_the_one_that_stories_run_on() {
        let folder = tempfile::tempdir().unwrap();
        let tools = emulator::testing::tools(folder.path()).unwrap();
        let machine = Qemu::new(folder.path().join("vm"));
        for detached in [false, true] {
            let command = machine.command(&tools, &[], detached).unwrap();
            emulator::testing::assert_is_made_of(&command, &Hardware::default());
        }
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

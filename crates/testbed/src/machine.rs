//! One QEMU, from its power-on to its power-off.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use emulator::{Forward, Hardware, Memory, Qmp, Setup, free_port};
use serde_json::json;
use tempfile::TempDir;

use crate::inputs;
use crate::place::{self, FileLock};
use crate::process::Leashed;
use crate::ssh::{self, Output};
use crate::wait::wait_until;
use crate::{Console, Disk, Picture, Ssh, Tools, Web};

/// No story takes longer than this from one power-on to the next.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The time limit for a QEMU that has just been started to accept a connection to its control socket.
const LISTENS: Duration = Duration::from_secs(30);
const COMMAND: Duration = Duration::from_secs(120);
const SSH_PORT: u16 = 22;
/// One for each machine that may run at the same time. A single machine leaves half of two cores idle, as booting and
/// waiting keep only one busy; three machines slow each other down until they miss their deadlines.
const TURNS: [&str; 2] = ["turn-0", "turn-1"];

/// A machine in QEMU. Dropping it pulls its plug.
#[derive(Debug)]
pub struct Machine {
    hardware: Hardware,
    tools: Tools,
    disk: Disk,
    console: Console,
    log: PathBuf,
    ssh: Ssh,
    ports: Mutex<BTreeMap<u16, u16>>,
    power: Mutex<Option<Power>>,
    directory: TempDir,
    /// Last, so that the next machine starts when nothing of this one is left.
    _turn: FileLock,
}

#[derive(Debug)]
struct Power {
    qmp: Qmp,
    qemu: Leashed,
}

/// How a machine is started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'p> {
    /// From the firmware.
    Cold,
    /// From the firmware, with its memory in a file that a snapshot is to be taken of.
    ColdInto(&'p Path),
    /// From a snapshot: its memory, and the state of everything else.
    Warm { memory: &'p Path, state: &'p Path },
}

impl Machine {
    /// Waits for its turn and switches a machine on. What it leaves behind is named after the calling story.
    pub fn boot(disk: Disk, hardware: Hardware) -> Result<Self> {
        Self::start(&place::story_name(), disk, hardware, Start::Cold)
    }

    pub(crate) fn start(
        name: &str,
        disk: Disk,
        hardware: Hardware,
        start: Start<'_>,
    ) -> Result<Self> {
        let turns = place::directory("machine")?;
        let turn = FileLock::take_one(&TURNS.map(|turn| turns.join(turn)))?;
        let tools = Tools::from_env()?;
        // Short, since it holds sockets, whose paths may have about a hundred characters.
        let directory = tempfile::Builder::new().prefix("lichen-").tempdir()?;
        let left_behind = place::directory(&format!("runs/{name}"))?;
        let console = Console::new(left_behind.join("console.log"));
        // The console is kept from power-on to power-on, but not from story to story.
        let _ = fs::remove_file(console.path());
        let ports = BTreeMap::from([(SSH_PORT, free_port()?)]);
        let ssh_log = left_behind.join("ssh.log");
        let machine = Self {
            ssh: Ssh::new(tools.clone(), ports[&SSH_PORT], directory.path(), ssh_log),
            hardware,
            tools,
            disk,
            console,
            log: left_behind.join("qemu.log"),
            ports: Mutex::new(ports),
            power: Mutex::new(None),
            directory,
            _turn: turn,
        };
        machine.switch_on(start)?;
        Ok(machine)
    }

    /// Pulls the plug: whatever the machine had not made durable is lost.
    pub fn pull_plug(&self) -> Result<()> {
        let power = self.power().take().context("the machine is off already")?;
        self.ssh.hang_up();
        power.qemu.kill()
    }

    /// Lets QEMU close the disk and end, whatever the machine is doing.
    pub fn quit(&self) -> Result<()> {
        let mut power = self.power().take().context("the machine is off already")?;
        self.ssh.hang_up();
        // It may end before it has answered; that it ends is what counts.
        let _ = power.qmp.execute("quit", json!({}));
        wait_until("QEMU to end", Duration::from_secs(30), || {
            power.qemu.ended()?.context("not yet")
        })
        .map(drop)
    }

    /// Switches it on again after its plug was pulled.
    pub fn power_on(&self) -> Result<()> {
        self.switch_on(Start::Cold)
    }

    /// Puts another card into the machine, which is off. It remains one of the two that may run.
    pub fn insert(&mut self, disk: Disk) -> Result<()> {
        ensure!(self.power().is_none(), "the machine is on");
        self.disk = disk;
        Ok(())
    }

    /// Sets what the clock of the machine, which is off, shows when it is switched on; see [`Hardware::clock`].
    pub fn set_clock(&mut self, clock: &'static str) -> Result<()> {
        ensure!(self.power().is_none(), "the machine is on");
        self.hardware.clock = Some(clock);
        Ok(())
    }

    /// Limits the network of the machine, which is off, to the host; see [`Hardware::cut_off`].
    pub fn cut_off(&mut self) -> Result<()> {
        ensure!(self.power().is_none(), "the machine is on");
        self.hardware.cut_off = true;
        Ok(())
    }

    /// Asks the machine to reboot and waits for SSH on the other side.
    pub fn reboot(&self, within: Duration) -> Result<()> {
        let before = self.boot_id()?;
        // The connection may go before the command has ended, so how it ended says nothing.
        let _ = self.ssh.run("systemctl reboot", b"", COMMAND);
        self.wait_for_another_boot(&before, within)
    }

    /// The id of the present boot.
    pub fn boot_id(&self) -> Result<String> {
        Ok(self
            .sh("cat /proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned())
    }

    /// Waits for SSH on another boot than `before`.
    pub fn wait_for_another_boot(&self, before: &str, within: Duration) -> Result<()> {
        self.wait_until("another boot", within, || {
            // A connection to the old boot may hang until it times out.
            let now = self.boot_id().inspect_err(|_| self.ssh.hang_up())?;
            ensure!(now != before, "it is still the same boot");
            Ok(())
        })
    }

    /// Waits until a login over SSH succeeds.
    pub fn wait_for_ssh(&self, within: Duration) -> Result<()> {
        ssh::wait_for(&self.ssh, within).map_err(|error| self.explain(error))
    }

    /// Runs a command that has to succeed and gives what it printed.
    pub fn sh(&self, command: &str) -> Result<String> {
        let output = self
            .ssh
            .run(command, b"", COMMAND)
            .and_then(|output| output.success(command));
        output
            .map(|output| output.stdout)
            .map_err(|error| self.explain(error))
    }

    /// Runs a command that may fail.
    pub fn try_sh(&self, command: &str) -> Result<Output> {
        self.ssh
            .run(command, b"", COMMAND)
            .map_err(|error| self.explain(error))
    }

    /// Writes a file on the machine.
    pub fn write_file(&self, path: &str, contents: &[u8]) -> Result<()> {
        let command = format!("cat > '{path}'");
        let output = self.ssh.run(&command, contents, COMMAND);
        output
            .and_then(|output| output.success(&command))
            .map(drop)
            .map_err(|error| self.explain(error))
    }

    /// Its SSH.
    pub fn ssh(&self) -> &Ssh {
        &self.ssh
    }

    /// Its serial line.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The port of the host that leads to `port` of the machine.
    pub fn port(&self, port: u16) -> Result<u16> {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = ports.get(&port) {
            return Ok(*host);
        }
        let host = free_port()?;
        self.qmp(|qmp| qmp.monitor(&format!("hostfwd_add net tcp:127.0.0.1:{host}-:{port}")))?;
        ports.insert(port, host);
        Ok(host)
    }

    /// Its HTTP server on `port`.
    pub fn web(&self, port: u16) -> Result<Web> {
        Ok(Web::new(self.port(port)?))
    }

    /// What its screen shows; kept as `name`.png, too, among what the calling story leaves behind.
    pub fn screen(&self, name: &str) -> Result<Picture> {
        let file = self.log.with_file_name(format!("{name}.png"));
        let raw = self.directory.path().join("screen.ppm");
        self.qmp(|qmp| {
            for (file, format) in [(&file, "png"), (&raw, "ppm")] {
                qmp.execute("screendump", json!({ "filename": file, "format": format }))?;
            }
            Ok(())
        })?;
        Picture::from_ppm(&fs::read(raw)?)
    }

    /// Talks to its QEMU.
    pub fn qmp<T>(&self, talk: impl FnOnce(&mut Qmp) -> Result<T>) -> Result<T> {
        let mut power = self.power();
        let power = power.as_mut().context("the machine is off")?;
        talk(&mut power.qmp).map_err(|error| self.explain(error))
    }

    /// Waits for a condition of this machine. The error ends with the console's last lines.
    pub fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        mut condition: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let mut gone = None;
        let result = wait_until(what, within, || {
            gone = self.ended();
            if gone.is_some() {
                Ok(None)
            } else {
                condition().map(Some)
            }
        });
        match (result, gone) {
            (Ok(Some(value)), _) => Ok(value),
            (_, Some(reason)) => Err(self.explain(anyhow!("while waiting for {what}: {reason}"))),
            (Ok(None), None) => bail!("while waiting for {what}: the machine is off"),
            (Err(error), None) => Err(self.explain(error)),
        }
    }

    /// Why the machine has ended, if it has.
    fn ended(&self) -> Option<String> {
        let power = self.power();
        let Some(power) = power.as_ref() else {
            return Some("the machine is off".into());
        };
        let status = power.qemu.ended().ok().flatten()?;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let limit = LIFETIME.as_secs();
        Some(format!(
            "QEMU ended ({status}; machines may run {limit} s): {}",
            said.trim()
        ))
    }

    fn switch_on(&self, start: Start<'_>) -> Result<()> {
        let mut power = self.power();
        ensure!(power.is_none(), "the machine is on already");
        let socket = self.directory.path().join("qmp");
        let _ = fs::remove_file(&socket);
        let qemu = self.command(start, &socket)?;
        inputs::booted(match start {
            Start::Cold | Start::ColdInto(_) => "cold",
            Start::Warm { .. } => "warm",
        })?;
        let qemu = Leashed::start(&qemu, &self.log, LIFETIME)?;
        let qmp = Qmp::connect(&socket, LISTENS).with_context(|| {
            format!(
                "QEMU: {}",
                fs::read_to_string(&self.log).unwrap_or_default().trim()
            )
        })?;
        let mut on = Power { qmp, qemu };
        if let Start::Warm { state, .. } = start {
            resume(&mut on.qmp, state)?;
        }
        *power = Some(on);
        Ok(())
    }

    fn command(&self, start: Start<'_>, socket: &Path) -> Result<Command> {
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let forwards: Vec<Forward> = ports
            .iter()
            .map(|(&guest, &host)| Forward { host, guest })
            .collect();
        let setup = Setup {
            drive: self.disk.drive(),
            boot_file: &|name| self.disk.read_boot_file(name),
            memory: match start {
                Start::Cold => Memory::Fresh,
                Start::ColdInto(file) => Memory::Shared(file),
                Start::Warm { memory, .. } => Memory::View(memory),
            },
            forwards: &forwards,
            console: emulator::Console::File(self.console.path()),
            qmp: socket,
            directory: self.directory.path(),
        };
        let mut qemu = (self.hardware).command(self.tools.of_the_emulator(), &setup)?;
        if matches!(start, Start::Warm { .. }) {
            qemu.args(["-incoming", "defer"]);
        }
        Ok(qemu)
    }

    fn power(&self) -> MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let reason = format!("{error:#}");
        if reason.contains("the console's last lines") {
            error
        } else {
            let events = self.events().unwrap_or_default();
            anyhow!("{reason}{events}\n{}", self.console.evidence())
        }
    }

    /// The events that QEMU reported, such as resets, so that a reset by the watchdog is recognised as one. `None` while
    /// another caller talks to QEMU: it may be the very caller whose error is being written.
    fn events(&self) -> Option<String> {
        let mut power = self.power.try_lock().ok()?;
        let events = power.as_mut()?.qmp.unasked().ok()?;
        (!events.is_empty()).then(|| format!("\n--- QEMU's events: {}", events.join(", ")))
    }
}

fn resume(qmp: &mut Qmp, state: &Path) -> Result<()> {
    leave_memory_in_its_file(qmp)?;
    qmp.execute(
        "migrate-incoming",
        json!({ "uri": format!("file:{}", state.display()) }),
    )?;
    // The machine was paused when the snapshot was taken, so it is paused again once the snapshot has been read.
    wait_until("the snapshot to be read", Duration::from_secs(60), || {
        let status = qmp.execute("query-status", json!({}))?;
        ensure!(
            status["status"] == "paused",
            "the machine is {}",
            status["status"]
        );
        Ok(())
    })?;
    qmp.execute("cont", json!({})).map(drop)
}

/// The memory is mapped from its file: a snapshot need not write it a second time, nor read it back.
pub(crate) fn leave_memory_in_its_file(qmp: &mut Qmp) -> Result<()> {
    let capability = json!({ "capability": "x-ignore-shared", "state": true });
    qmp.execute(
        "migrate-set-capabilities",
        json!({ "capabilities": [capability] }),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_the_one_that_lichen_vm_runs() {
        let root = tempfile::tempdir().unwrap();
        emulator::testing::tools(root.path()).unwrap();
        let tools = Tools::at(root.path());
        let machine = Machine {
            hardware: Hardware::default(),
            ssh: Ssh::new(tools.clone(), 1, root.path(), root.path().join("ssh.log")),
            tools,
            disk: Disk::at(&root.path().join("disk.img")),
            console: Console::new(root.path().join("console.log")),
            log: root.path().join("qemu.log"),
            ports: Mutex::default(),
            power: Mutex::default(),
            _turn: FileLock::take(&root.path().join("turn")).unwrap(),
            directory: root,
        };
        let memory = machine.directory.path().join("memory");
        for start in [Start::Cold, Start::ColdInto(&memory)] {
            let command = machine.command(start, Path::new("/qmp")).unwrap();
            emulator::testing::assert_is_made_of(&command, &machine.hardware);
        }
    }
}

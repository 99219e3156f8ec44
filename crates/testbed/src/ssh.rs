//! Commands on a machine, over OpenSSH: the client its users have, with one connection for all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::place::{self, FileLock};
use crate::process::{self, Leashed};
use crate::{Tools, wait_until};

/// ssh's own exit status when the connection, not the command, failed.
const NO_CONNECTION: i32 = 255;
/// Long enough for a key exchange on an emulated processor that is busy booting.
const CONNECT: Duration = Duration::from_secs(20);

/// Longer than any machine runs.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How a command on a machine ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status; 128 + n when signal n ended it.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// The way into one machine.
#[derive(Debug)]
pub struct Ssh {
    tools: Tools,
    port: u16,
    socket: PathBuf,
    log: PathBuf,
    master: Mutex<Option<Leashed>>,
}

impl Ssh {
    pub(crate) fn new(tools: Tools, port: u16, directory: &Path, log: PathBuf) -> Self {
        let socket = directory.join("ssh");
        Self {
            tools,
            port,
            socket,
            log,
            master: Mutex::new(None),
        }
    }

    /// Runs `command` through the remote shell, with `input`; any exit status is an answer.
    pub fn run(&self, command: &str, input: &[u8], within: Duration) -> Result<Output> {
        self.connect()?;
        let mut ssh = self.client()?;
        ssh.args(["-o", "ControlMaster=no", "root@127.0.0.1", "--", command]);
        let done =
            process::finish(&mut ssh, input, within).with_context(|| format!("`{command}`"))?;
        let output = Output {
            status: done.status.code().unwrap_or(NO_CONNECTION),
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        };
        if output.status == NO_CONNECTION {
            self.hang_up();
            bail!(
                "`{command}`: the connection failed: {}",
                output.stderr.trim()
            );
        }
        Ok(output)
    }

    /// Tries a new connection of its own with further `options`, and says how ssh ended.
    pub fn attempt(&self, options: &[&str], command: &str) -> Result<Output> {
        let mut ssh = self.tools.command("ssh");
        ssh.args(options)
            .args(self.options())
            .args(["-o", "ControlPath=none"]);
        ssh.args(["root@127.0.0.1", "--", command]);
        let done = process::finish(&mut ssh, b"", CONNECT)?;
        Ok(Output {
            status: done.status.code().unwrap_or(NO_CONNECTION),
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        })
    }

    /// What other programs' ssh has to be told to get in as root at 127.0.0.1, such as Nix's by `NIX_SSHOPTS`.
    pub fn sshopts(&self) -> Result<String> {
        let key = key_file(&self.tools)?;
        Ok(format!("{} -i {}", self.options().join(" "), key.display()))
    }

    /// Drops the connection; the next command makes a new one.
    pub fn hang_up(&self) {
        self.master
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let _ = fs::remove_file(&self.socket);
    }

    /// One try at a connection, unless there is one.
    fn connect(&self) -> Result<()> {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*master
            && running.ended()?.is_none()
            && self.socket.exists()
        {
            return Ok(());
        }
        *master = None;
        let _ = fs::remove_file(&self.socket);
        let mut ssh = self.client()?;
        ssh.args(["-M", "-N", "root@127.0.0.1"]);
        let process = Leashed::start(&ssh, &self.log, LONGEST)?;
        // The socket appears once the key has been accepted.
        let start = Instant::now();
        loop {
            if self.socket.exists() {
                *master = Some(process);
                return Ok(());
            }
            let ended = process.ended()?.is_some();
            if ended || start.elapsed() > CONNECT {
                bail!(
                    "no SSH connection: {}",
                    fs::read_to_string(&self.log)?.trim()
                );
            }
            #[expect(clippy::disallowed_methods, reason = "ends early with its process")]
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn client(&self) -> Result<Command> {
        let mut ssh = self.tools.command("ssh");
        ssh.args(self.options())
            .arg("-o")
            .arg(format!("ControlPath={}", self.socket.display()));
        ssh.arg("-i").arg(key_file(&self.tools)?);
        Ok(ssh)
    }

    fn options(&self) -> Vec<String> {
        let mut options = vec![
            "-F".into(),
            "none".into(),
            "-p".into(),
            self.port.to_string(),
        ];
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=15",
            // A machine that hangs or was switched off is noticed, and not mistaken for a slow one.
            "ServerAliveInterval=5",
            "ServerAliveCountMax=6",
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }
}

/// The public key that opens every machine of these stories, for lichen.toml.
pub fn public_key() -> Result<String> {
    let file = key_file(&Tools::from_env()?)?.with_extension("pub");
    let key = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    Ok(key.trim().to_owned())
}

/// The file of the private key that belongs to it.
pub fn private_key() -> Result<PathBuf> {
    key_file(&Tools::from_env()?)
}

fn key_file(tools: &Tools) -> Result<PathBuf> {
    let directory = place::directory("key")?;
    let file = directory.join("id_ed25519");
    if file.with_extension("pub").exists() {
        return Ok(file);
    }
    let _lock = FileLock::take(&directory.join("lock"))?;
    if !file.with_extension("pub").exists() {
        let _ = fs::remove_file(&file);
        let mut keygen = tools.command("ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "stories", "-f"])
            .arg(&file);
        process::run(&mut keygen).context("make a key for the stories")?;
    }
    Ok(file)
}

impl Output {
    /// Itself, if the command succeeded; else an error with what it complained about.
    pub fn success(self, command: &str) -> Result<Self> {
        let said = format!("{}{}", self.stdout, self.stderr);
        ensure!(
            self.status == 0,
            "`{command}` ended with {}: {}",
            self.status,
            said.trim()
        );
        Ok(self)
    }
}

/// Waits for a machine to let us in.
pub(crate) fn wait_for(ssh: &Ssh, within: Duration) -> Result<()> {
    wait_until("SSH to let us in", within, || {
        ssh.run("true", b"", Duration::from_secs(30))?
            .success("true")
            .map(drop)
    })
}

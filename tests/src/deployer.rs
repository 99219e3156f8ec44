//! A person who manages the appliance from their own machine with `lichen`.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use testbed::{Context, Machine, Relay, Result, Tools, ensure, wait_until};

/// The name of the appliance in their SSH configuration.
const NAME: &str = "appliance";
/// The time limit for a deploy that includes boots.
const DEPLOY: Duration = Duration::from_secs(600);

/// A person at their own machine, with their ssh, their configuration and their keys.
#[derive(Debug)]
pub struct Deployer {
    home: TempDir,
    /// Their network connection to the appliance.
    pub wire: Relay,
}

/// How a command ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit status.
    pub status: i32,
    /// Its result.
    pub stdout: String,
    /// Its messages meanwhile.
    pub stderr: String,
}

/// A command that has not ended yet.
#[derive(Debug)]
pub struct Begun {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Deployer {
    /// Creates a person who can log in to `machine`.
    pub fn of(machine: &Machine) -> Result<Self> {
        let wire = Relay::to(machine.port(22)?)?;
        let home = tempfile::Builder::new().prefix("lichen-").tempdir()?;
        let known = home.path().join("known_hosts");
        let config = format!(
            "Host *\n  HostName 127.0.0.1\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
             StrictHostKeyChecking accept-new\n\
             Host nowhere\n  Port 1\n\
             Host {NAME}\n  Port {}\n",
            testbed::private_key()?.display(),
            known.display(),
            wire.port(),
        );
        fs::write(home.path().join("ssh.conf"), config)?;
        // `lichen` runs the ssh that it finds, which here is that of the test tools.
        let ssh = Tools::from_env()?.command("ssh");
        let words = [ssh.get_program()].into_iter().chain(ssh.get_args());
        let words: Vec<_> = words
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        let script = home.path().join("ssh");
        if ssh.get_program() != "ssh" {
            fs::write(
                &script,
                format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
            )?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { home, wire })
    }

    /// Lets them log in to another machine, too, which they call `name`.
    pub fn knows(&self, name: &str, machine: &Machine) -> Result<()> {
        let mut config = OpenOptions::new()
            .append(true)
            .open(self.home.path().join("ssh.conf"))?;
        Ok(writeln!(
            config,
            "Host {name}\n  Port {}",
            machine.port(22)?
        )?)
    }

    /// Runs `lichen` on the appliance: `verb`, options, the appliance's name, and `what`.
    pub fn lichen(&self, verb: &[&str], what: &[&str]) -> Result<Done> {
        self.begin(verb, what)?.end()
    }

    /// The same, without waiting for its end.
    pub fn begin(&self, verb: &[&str], what: &[&str]) -> Result<Begun> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(testbed::input("lichen")?);
        command
            .args(verb)
            .arg("-F")
            .arg(self.home.path().join("ssh.conf"))
            .arg(NAME)
            .args(what);
        command.env("PATH", format!("{}:{path}", self.home.path().display()));
        command.env("XDG_CONFIG_HOME", self.home.path());
        begin(command)
    }

    /// Makes the key that closures are signed with, and returns its file.
    pub fn make_key(&self) -> Result<(Done, PathBuf)> {
        Ok((self.at_home(&["key", "generate", "story-1"])?, self.key()))
    }

    /// Makes the key that backups are encrypted to.
    pub fn make_backup_key(&self) -> Result<Done> {
        self.at_home(&["key", "backup"])
    }

    /// A file of theirs, which may not exist yet.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs `lichen` without a device.
    fn at_home(&self, words: &[&str]) -> Result<Done> {
        let mut command = Command::new(testbed::input("lichen")?);
        command.args(words).env("XDG_CONFIG_HOME", self.home.path());
        begin(command)?.end()
    }

    /// Gives them a key: always the same one for the same purpose, since Nix keeps all signatures that a path ever had.
    pub fn take_key(&self, secret: &str) -> Result<()> {
        fs::create_dir_all(self.home.path().join("lichen"))?;
        Ok(fs::write(self.key(), secret)?)
    }

    fn key(&self) -> PathBuf {
        self.home.path().join("lichen/signing-key")
    }
}

fn begin(mut command: Command) -> Result<Begun> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start lichen")?;
    let stderr = child
        .stderr
        .take()
        .context("lichen has no standard error")?;
    Ok(Begun {
        child,
        lines: BufReader::new(stderr),
        heard: String::new(),
    })
}

impl Begun {
    /// Waits until it prints this text.
    pub fn says(&mut self, what: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            let length = self.lines.read_line(&mut line)?;
            self.heard += &line;
            ensure!(
                length > 0,
                "lichen ended without saying {what:?}: {}",
                self.heard
            );
            if line.contains(what) {
                return Ok(());
            }
        }
    }

    /// Kills it, as closing a laptop would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end.
    pub fn end(mut self) -> Result<Done> {
        std::io::Read::read_to_string(&mut self.lines, &mut self.heard)?;
        let status = wait_until("lichen to end", DEPLOY, || {
            self.child.try_wait()?.context("it runs")
        })?;
        let mut stdout = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            std::io::Read::read_to_string(&mut pipe, &mut stdout)?;
        }
        Ok(Done {
            status: status.code().unwrap_or(-1),
            stdout,
            stderr: self.heard,
        })
    }
}

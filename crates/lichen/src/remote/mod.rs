//! A device, reached with the user's own OpenSSH: their keys, their configuration, their agent.
//!
//! One connection carries all commands to a device. Only a command that has to prove that the device can be reached uses
//! a new connection. The output of ssh and of a device is captured; none of it goes to standard output by itself.

pub mod activate;
pub mod closure;
pub mod pack;

use crate::failure::{Failure, Hint};
use anyhow::{Context, Result};
use protocol::command::{Command as Order, Outcome};
use protocol::progress;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// ssh's own exit status when the connection, not the command, failed.
const NO_CONNECTION: i32 = 255;
/// Keep-alives tell a device that hangs or was switched off from a slow one. Compression pays, because most of what is
/// sent repeats itself.
///
/// The rest of the user's configuration says how to reach a device, and is theirs; what it says of interactive logins must not
/// change what we run there, or give the device more than that.
const OPTIONS: [&str; 14] = [
    "ConnectTimeout=15",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=6",
    "Compression=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "StdinNull=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "EscapeChar=none",
    "VisualHostKey=no",
    // Its errors are part of ours.
    "LogLevel=INFO",
];
/// What a command needs beyond that: the master of the connection runs none.
const COMMAND: [&str; 4] = [
    "-o",
    "SessionType=default",
    "-o",
    "ForkAfterAuthentication=no",
];

/// How devices are reached
#[derive(Debug, Clone, clap::Args)]
pub struct SshArgs {
    /// The ssh configuration to use instead of ~/.ssh/config; `lichen vm` writes one
    #[arg(short = 'F', long = "ssh-config", value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
}

/// A device with an open connection.
#[derive(Debug)]
pub struct Device {
    /// The name that the user gave.
    pub host: String,
    config: Option<PathBuf>,
    /// The folder with the socket of the shared connection. Its path is short, because paths of sockets must be.
    folder: TempDir,
}

/// How a command on a device ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit status.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

impl Ended {
    fn with(mut self, said: &[u8]) -> Self {
        self.stdout = String::from_utf8_lossy(said).into_owned();
        self
    }
}

/// An error of the connection, not of the command.
#[derive(Debug, thiserror::Error)]
#[error("{host}: no connection: {why}")]
pub struct Lost {
    host: String,
    why: String,
}

impl Device {
    /// Opens the shared connection.
    pub fn connect(host: &str, args: &SshArgs) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("lichen-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let device = Device {
            host: host.to_owned(),
            config: args.ssh_config.clone(),
            folder,
        };
        // After the login ssh goes to the background, where it must not hold one of our pipes open.
        let errors = device.folder.path().join("errors");
        let file = std::fs::File::create(&errors).context("cannot write ssh's errors")?;
        let mut ssh = device.ssh();
        let status = ssh
            .args([
                "-f",
                "-N",
                "-o",
                "ControlMaster=yes",
                "-o",
                "ControlPersist=300",
            ])
            .args(device.socket())
            .arg(device.address())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .status()
            .context("cannot run ssh")
            .hint("apt-get install openssh-client")?;
        if !status.success() {
            let said = std::fs::read_to_string(errors).unwrap_or_default();
            crate::fail!(
                hint: format!("is it on, is that its name or address, is your key on it? `{}` says more", device.by_hand()),
                "{}", device.lost(&said)
            );
        }
        Ok(device)
    }

    /// Runs a command that must succeed, and returns what it prints.
    pub fn ask(&self, command: &str, input: &[u8]) -> Result<String> {
        let ended = self.run(command, &mut |to| to.write_all(input), &mut |_| {})?;
        Ok(self.success(ended)?.stdout)
    }

    /// Runs a `lichenctl` command that must succeed, and returns what it prints.
    pub fn order(&self, order: &Order<'_>, input: &[u8]) -> Result<String> {
        self.ask(&order.line(), input)
    }

    /// Runs a command over the shared connection. `feed` writes its input; `heard` is called with each line of its
    /// standard error as soon as it arrives.
    pub fn run(
        &self,
        command: &str,
        feed: &mut (dyn FnMut(&mut dyn Write) -> io::Result<()> + Send),
        heard: &mut dyn FnMut(&str),
    ) -> Result<Ended> {
        let mut said = Vec::new();
        let ended = self.carry_out(self.shared(), command, feed, heard, &mut said)?;
        Ok(ended.with(&said))
    }

    /// Runs a command over the shared connection, and writes what it prints to `to`: it may be long, and is not text.
    pub fn receive(
        &self,
        command: &str,
        to: &mut (dyn Write + Send),
        heard: &mut dyn FnMut(&str),
    ) -> Result<Ended> {
        self.carry_out(self.shared(), command, &mut |_| Ok(()), heard, to)
    }

    /// Runs a command over a new connection.
    pub fn anew(&self, command: &str) -> Result<Ended> {
        let mut ssh = self.ssh();
        ssh.args(COMMAND).args([
            "-o",
            "ControlMaster=no",
            "-o",
            "ControlPath=none",
            "-o",
            "BatchMode=yes",
        ]);
        let mut said = Vec::new();
        let ended = self.carry_out(ssh, command, &mut |_| Ok(()), &mut |_| {}, &mut said)?;
        Ok(ended.with(&said))
    }

    fn shared(&self) -> Command {
        let mut ssh = self.ssh();
        ssh.args(COMMAND)
            .args(["-o", "ControlMaster=no"])
            .args(self.socket());
        ssh
    }

    fn carry_out(
        &self,
        mut ssh: Command,
        command: &str,
        feed: &mut (dyn FnMut(&mut dyn Write) -> io::Result<()> + Send),
        heard: &mut dyn FnMut(&str),
        said: &mut (dyn Write + Send),
    ) -> Result<Ended> {
        ssh.arg(self.address()).arg("--").arg(command);
        let mut child = ssh
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run ssh")
            .hint("apt-get install openssh-client")?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            anyhow::bail!("ssh has no standard streams");
        };
        let mut complaints = String::new();
        let fed = std::thread::scope(|scope| -> Result<_> {
            let fed = scope.spawn(move || feed(&mut stdin));
            let said = scope.spawn(move || io::copy(&mut stdout, said).map(drop));
            for line in BufReader::new(stderr).split(b'\n') {
                let line = line.context("cannot read what ssh says")?;
                let line = String::from_utf8_lossy(&line);
                heard(&line);
                complaints += &line;
                complaints.push('\n');
            }
            let joined = |_| anyhow::anyhow!("a thread panicked");
            let fed = fed.join().map_err(joined)?;
            said.join()
                .map_err(joined)?
                .context("cannot write what the device sends")?;
            Ok(fed)
        })?;
        let code = child
            .wait()
            .context("cannot wait for ssh")?
            .code()
            .unwrap_or(NO_CONNECTION);
        if code == NO_CONNECTION {
            return Err(self.lost(&complaints).into());
        }
        // A command that fails may leave input unread; its own message is more useful than our broken pipe.
        if code == 0 {
            fed.with_context(|| format!("{}: cannot send", self.host))?;
        }
        Ok(Ended {
            code,
            stdout: String::new(),
            stderr: complaints,
        })
    }

    /// Returns a successful end unchanged; otherwise the device's own error and hint.
    pub fn success(&self, ended: Ended) -> Result<Ended> {
        if ended.code == 0 {
            return Ok(ended);
        }
        let failure = progress::failure(&ended.stderr);
        let what = format!("{}: {}", self.host, failure.error);
        let older = "the lichenctl on the device does not know this command, so it is older than this `lichen`: \
                     deploy with the `lichen` that it was made with, or write a new card";
        let hint = match failure.hint {
            None if Outcome::of(ended.code) == Outcome::WrongUsage => Some(older.to_owned()),
            hint => hint.map(|hint| self.there(&hint)),
        };
        Err(match hint {
            Some(hint) => Failure { what, hint }.into(),
            None => anyhow::Error::msg(what),
        })
    }

    /// A device's hint, reworded for somebody who is not logged in on the device.
    fn there(&self, hint: &str) -> String {
        hint.replace("`lichenctl", &format!("on {}: `lichenctl", self.host))
    }

    fn ssh(&self) -> Command {
        let mut ssh = crate::command::program("ssh");
        if let Some(config) = &self.config {
            ssh.arg("-F").arg(config);
        }
        for option in OPTIONS {
            ssh.args(["-o", option]);
        }
        ssh
    }

    fn socket(&self) -> [String; 2] {
        [
            "-o".into(),
            format!("ControlPath={}/ssh", self.folder.path().display()),
        ]
    }

    /// The address for ssh: root, unless the user names somebody else.
    fn address(&self) -> String {
        if self.host.contains('@') {
            self.host.clone()
        } else {
            format!("root@{}", self.host)
        }
    }

    /// The ssh command that the user would type by hand.
    fn by_hand(&self) -> String {
        let config = self.config.as_ref();
        let config = config.map_or_else(String::new, |file| format!(" -F {}", file.display()));
        format!("ssh{config} {}", self.address())
    }

    fn lost(&self, complaints: &str) -> Lost {
        let last = complaints
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty());
        Lost {
            host: self.host.clone(),
            why: last.unwrap_or("ssh does not say why").to_owned(),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let mut ssh = self.ssh();
        ssh.args(self.socket())
            .args(["-O", "exit"])
            .arg(self.address());
        let _ = ssh.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::stdout_of;

    /// What ssh makes of our command line and a user's configuration.
    fn effective(ssh: &mut Command) -> Vec<String> {
        let said = stdout_of(ssh.args(["-G", "device"])).unwrap();
        said.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_users_want_of_their_own_logins_does_not_change_what_is_run() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        let theirs = [
            "RemoteCommand tmux attach",
            "RequestTTY force",
            "SessionType none",
            "StdinNull yes",
            "ForkAfterAuthentication yes",
            "PermitLocalCommand yes",
            "LocalCommand echo hello",
            "ForwardAgent yes",
            "ForwardX11 yes",
            "LocalForward 8080 localhost:80",
            "LogLevel QUIET",
            "VisualHostKey yes",
            "User admin",
            "ProxyJump gate",
        ];
        std::fs::write(&config, theirs.join("\n")).unwrap();
        let device = Device {
            host: "device".into(),
            config: Some(config),
            folder,
        };
        let said = effective(&mut device.shared());
        let has = |line: &str| said.iter().any(|said| said == line);
        for line in [
            "requesttty false",
            "sessiontype default",
            "stdinnull no",
            "forkafterauthentication no",
            "permitlocalcommand no",
            "forwardagent no",
            "forwardx11 no",
            "clearallforwardings yes",
            "loglevel INFO",
            "visualhostkey no",
        ] {
            assert!(has(line), "no `{line}` in {said:#?}");
        }
        assert!(!said.iter().any(|line| line.contains("tmux")), "{said:#?}");
        // How a device is reached is theirs to say.
        assert!(has("proxyjump gate"), "{said:#?}");
    }
}

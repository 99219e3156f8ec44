//! Running the commands of services that write a copy of their data, or recreate them from one.

use super::Service;
use crate::room::{Room, Sparing};
use crate::root::Root;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long a command may do nothing that can be seen. However much data there are, it may take its time for them.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_millis(20);
/// How often all of its files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How much of what it says is told, in bytes: the end.
const SAID: usize = 4096;

/// A command of a service, and the room that it may use.
pub(super) struct Order<'a> {
    pub(super) root: &'a Root,
    pub(super) service: &'a Service,
    pub(super) command: &'a str,
    pub(super) directory: &'a Path,
    pub(super) room: &'a Room<'a>,
    pub(super) patience: Duration,
}

impl Order<'_> {
    /// Has it write into a file.
    pub(super) fn write(&self, to: &File) -> Result<()> {
        let mut child = self.spawn(Stdio::null(), Stdio::piped())?;
        let from = child.stdout.take().context("it has no output")?;
        let moved = AtomicU64::new(0);
        thread::scope(|threads| {
            let copier = threads.spawn(|| {
                let mut from = Counting(from, &moved);
                io::copy(&mut from, &mut Sparing::new(to, self.room)).map(drop)
            });
            // Whoever still has an end of its pipe goes with it.
            let ended = self.end(&mut child, || Ok(moved.load(Relaxed)));
            let copied = copier.join();
            let copied = copied.map_err(|_| io::Error::other("the thread has panicked"));
            match copied.and_then(|copied| copied) {
                Ok(()) => ended,
                // That it was not read to its end is no fault of the command.
                Err(error) => Err(anyhow::Error::from(error).context("cannot write the copy")),
            }
        })
    }

    /// Has it read a file, and write into its directory.
    pub(super) fn read(&self, from: &File) -> Result<()> {
        // It has the same position in the file.
        let position = from.try_clone()?;
        let mut child = self.spawn(from.try_clone()?.into(), Stdio::null())?;
        let mut looked = (Instant::now(), size(self.directory));
        self.end(&mut child, || {
            self.room.has(0)?;
            if looked.0.elapsed() > LOOK {
                looked = (Instant::now(), size(self.directory));
            }
            Ok(looked.1.wrapping_add((&position).stream_position()?))
        })
    }

    /// As the service's user, and in a PID namespace of its own: whatever it has started ends with it, also a server that
    /// has left its process group.
    fn spawn(&self, stdin: Stdio, stdout: Stdio) -> Result<Child> {
        let mut program = Command::new("/usr/bin/unshare");
        program.args(["--pid", "--fork"]);
        if self.root.is_device() {
            let user = &self.service.user;
            program.args(["--", "/usr/bin/setpriv", "--reuid", user, "--regid", user]);
            program.arg("--init-groups");
        } else {
            program.args(["--user", "--map-current-user"]);
        }
        // Only its user can read the files that it creates.
        let command = format!("umask 077\n{}", self.command);
        program.args(["--", "/bin/sh", "-c", &command]);
        program.env("DIRECTORY", self.directory);
        program.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        program.process_group(0);
        program.spawn().context("cannot run /usr/bin/unshare")
    }

    /// Waits for its end as long as `progress` changes; an error ends it.
    fn end(&self, child: &mut Child, mut progress: impl FnMut() -> Result<u64>) -> Result<()> {
        let stderr = child.stderr.take().context("it has no errors")?;
        let said = thread::spawn(move || last_of(stderr));
        let mut watch = || -> Result<_> {
            let (mut before, mut since) = (progress()?, Instant::now());
            loop {
                if let Some(status) = child.try_wait()? {
                    return Ok(status);
                }
                let now = progress()?;
                if now != before {
                    (before, since) = (now, Instant::now());
                }
                let patience = self.patience.as_secs();
                if since.elapsed() > self.patience {
                    bail!("`{}` did nothing for {patience} s", self.command);
                }
                thread::sleep(PAUSE);
            }
        };
        let ended = watch();
        if ended.is_err() {
            let group = rustix::process::Pid::from_child(child);
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
            child.wait()?;
        }
        let said = said.join().unwrap_or_default();
        let ok = ended?.success();
        ensure!(ok, "`{}` failed: {}", self.command, said.trim());
        Ok(())
    }
}

/// The end of what a command says. All of it is read: a full pipe would stop the command.
fn last_of(mut stderr: ChildStderr) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; SAID];
    while let Ok(length @ 1..) = stderr.read(&mut buffer) {
        said.extend_from_slice(&buffer[..length]);
        let over = said.len().saturating_sub(SAID);
        said.drain(..over);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Counts what is read.
struct Counting<'a, R>(R, &'a AtomicU64);

impl<R: Read> Read for Counting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.read(buffer)?;
        self.1.fetch_add(length as u64, Relaxed);
        Ok(length)
    }
}

/// How much is in a folder, and when it was changed last, as a number that changes with both.
fn size(folder: &Path) -> u64 {
    let mut sum = 0_u64;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let changed = meta.mtime().wrapping_mul(1_000_000_000);
        let changed = changed.wrapping_add(meta.mtime_nsec());
        sum = sum.wrapping_add(meta.len());
        sum = sum.wrapping_add(changed.cast_unsigned());
        if meta.is_dir() {
            sum = sum.wrapping_add(size(&entry.path()));
        }
    }
    sum
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;

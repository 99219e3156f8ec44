//! Programs on the host: run to their end within a deadline, or ended together with this process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const POLL: Duration = Duration::from_millis(5);
/// How long to read what an ended program left in its pipes.
const LEFTOVERS: Duration = Duration::from_secs(2);

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program that should need no more than a minute and has to succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = finish(command, b"", Duration::from_secs(60))?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "{name}: {}: {}",
        done.status,
        complaint.trim()
    );
    Ok(())
}

/// Runs a program to its end, with `input`; killed when it takes longer than `within`.
pub(crate) fn finish(command: &mut Command, input: &[u8], within: Duration) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    let (stdin, input) = (child.stdin.take(), input.to_vec());
    thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let stdout = Said::through(child.stdout.take());
    let stderr = Said::through(child.stderr.take());
    match wait(&mut child, within).with_context(|| format!("wait for {name}"))? {
        Some(status) => Ok(Finished {
            status,
            stdout: stdout.all()?,
            stderr: stderr.all()?,
        }),
        None => bail!("no end after {} s", within.as_secs()),
    }
}

/// What a program says, read on a thread that nobody waits for without a limit: a child of the program may hold the
/// pipe for as long as it likes.
struct Said {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<io::Result<()>>,
}

impl Said {
    fn through(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let (end, ended) = mpsc::channel();
        let said = bytes.clone();
        thread::spawn(move || end.send(pipe.map_or(Ok(()), |pipe| read_all(pipe, &said))));
        Self { bytes, ended }
    }

    /// All of it, once the program has ended.
    fn all(self) -> Result<Vec<u8>> {
        match self.ended.recv_timeout(LEFTOVERS) {
            Ok(result) => result?,
            Err(RecvTimeoutError::Disconnected) => bail!("a reader panicked"),
            // The program's own words were in the pipe before it ended, and have long been read.
            Err(RecvTimeoutError::Timeout) => {}
        }
        Ok(std::mem::take(&mut lock(&self.bytes)))
    }
}

fn read_all(mut pipe: impl Read, into: &Mutex<Vec<u8>>) -> io::Result<()> {
    let mut part = [0; 65536];
    loop {
        match pipe.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(count) => lock(into).extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait(child: &mut Child, within: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= within {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "std knows no wait for a child that ends"
        )]
        thread::sleep(POLL);
    }
}

/// A program that never outlives this process nor its own deadline.
#[derive(Debug)]
pub(crate) struct Leashed {
    child: Arc<Mutex<Child>>,
    _release: Sender<()>,
}

impl Leashed {
    /// Starts it; what it prints goes to `log`.
    pub(crate) fn start(command: &Command, log: &Path, within: Duration) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut leashed = leash(command);
        leashed
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = kennel(leashed).with_context(|| {
            let program = command.get_program().to_string_lossy();
            format!("start {program} (through setpriv, of util-linux)")
        })?;
        let child = Arc::new(Mutex::new(child));
        let (release, released) = mpsc::channel::<()>();
        let watched = child.clone();
        thread::spawn(move || {
            if released.recv_timeout(within) == Err(RecvTimeoutError::Timeout) {
                // It may have ended by itself in this moment: then there is nothing to kill.
                let _ = lock(&watched).kill();
            }
        });
        Ok(Self {
            child,
            _release: release,
        })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Ends it as a pulled plug does: at once, with nothing written any more.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut child = lock(&self.child);
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel kills a leashed program when its parent is gone, however that went.
fn leash(command: &Command) -> Command {
    let mut leashed = Command::new("setpriv");
    leashed
        .args(["--pdeathsig", "KILL", "--"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(name, value),
            None => leashed.env_remove(name),
        };
    }
    leashed
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` from a thread that lives as long as this process: to the kernel the parent is the *thread*
/// that started it, and a story's thread ends before a machine that stories share.
fn kennel(command: Command) -> Result<Child> {
    static KENNEL: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let keeper = KENNEL.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (answer, answered) = mpsc::channel();
    lock(keeper)
        .send((command, answer))
        .context("the thread that starts programs is gone")?;
    Ok(answered
        .recv()
        .context("the thread that starts programs is gone")??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_goes_in_and_output_comes_back() {
        let done = finish(&mut Command::new("cat"), b"hello", Duration::from_secs(10)).unwrap();
        assert!(done.status.success());
        assert_eq!(done.stdout, b"hello");
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let error = finish(Command::new("sleep").arg("60"), b"", Duration::ZERO).unwrap_err();
        assert!(
            format!("{error:#}").contains("no end after 0 s"),
            "{error:#}"
        );
    }

    #[test]
    fn a_child_that_keeps_the_pipes_is_not_waited_for() {
        let start = Instant::now();
        let with_child = |rest: &str| {
            let mut sh = Command::new("sh");
            sh.args(["-c", &format!("echo before; sleep 30 & {rest}")]);
            sh
        };
        let done = finish(&mut with_child("exit 3"), b"", Duration::from_secs(20)).unwrap();
        assert_eq!(
            (done.status.code(), done.stdout.as_slice()),
            (Some(3), &b"before\n"[..])
        );
        finish(&mut with_child("wait"), b"", Duration::from_secs(1)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let error =
            run(Command::new("sh").args(["-c", "echo no such luck >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("no such luck"), "{error}");
    }

    #[test]
    fn a_leashed_program_ends_at_its_deadline() {
        let log = Path::new("/dev/null");
        let sleep = Leashed::start(Command::new("sleep").arg("60"), log, Duration::ZERO).unwrap();
        let end = crate::wait_until("the end of sleep", Duration::from_secs(10), || {
            sleep.ended()?.context("still there")
        });
        assert!(!end.unwrap().success());
    }
}

//! Runs programs that may hang, as a driver or a bus that is stuck makes them.

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a program may take to end once it is killed.
const KILLED: Duration = Duration::from_secs(1);

thread_local! {
    /// The programs that were left behind, by their names.
    static LEFT: RefCell<BTreeMap<String, Child>> = const { RefCell::new(BTreeMap::new()) };
}

/// What it prints, if it succeeds within this time. One that hangs in the kernel cannot be ended, and is left behind; as long
/// as it lives, the same program is not started again, since that would hang as well.
pub fn run(program: &[String], arguments: &[&str], within: Duration) -> Result<String> {
    let words = || {
        let words: Vec<_> = program.iter().map(String::as_str).collect();
        [words.as_slice(), arguments].concat().join(" ")
    };
    let (first, rest) = program.split_first().context("no program")?;
    if is_left(first) {
        bail!("{}: {first} still hangs", words());
    }
    let file = || memfd_create("said", MemfdFlags::CLOEXEC).map(File::from);
    // Files, as a pipe that nobody empties would stop the program.
    let (mut said, mut complained) = (file()?, file()?);
    let mut child = Command::new(first)
        .args(rest)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(complained.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot run {first}"))?;
    let Some(status) = end(&mut child, within)? else {
        let _ = child.kill();
        if end(&mut child, KILLED)?.is_none() {
            leave(first, child);
        }
        bail!("{}: no end within {} s", words(), within.as_secs());
    };
    if !status.success() {
        let complaint = text(&mut complained)?;
        let lines: Vec<_> = complaint.lines().map(str::trim).collect();
        bail!("{}: {status}: {}", words(), lines.join("; "));
    }
    text(&mut said)
}

/// How it ended, if it did within this time.
fn end(child: &mut Child, within: Duration) -> Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        let status = child.try_wait()?;
        if status.is_some() || begin.elapsed() > within {
            return Ok(status);
        }
        sleep(Duration::from_millis(10));
    }
}

fn leave(program: &str, child: Child) {
    LEFT.with_borrow_mut(|left| left.insert(program.to_owned(), child));
}

/// Whether this program was left behind, and has not ended since.
fn is_left(program: &str) -> bool {
    LEFT.with_borrow_mut(|left| {
        let lives = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        let there = left.get_mut(program).is_some_and(lives);
        if !there {
            left.remove(program);
        }
        there
    })
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, within: Duration) -> Result<String> {
        run(&["sh".into(), "-c".into(), script.into()], &[], within)
    }

    #[test]
    fn what_hangs_is_left_behind_and_what_fails_says_why() {
        let long = Duration::from_secs(60);
        assert_eq!(sh("echo yes", long).unwrap(), "yes\n");
        // More than a pipe holds.
        let much = sh("yes | head -c 300000", long).unwrap();
        assert_eq!(much.len(), 300_000);
        let error = sh("echo no such device >&2; exit 3", long).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.ends_with("exit status: 3: no such device"), "{error}");
        let begin = Instant::now();
        let error = sh("sleep 50", Duration::from_millis(50)).unwrap_err();
        assert!(format!("{error:#}").contains("no end within"), "{error:#}");
        assert!(begin.elapsed() < long);
        assert!(run(&["/no/such/program".into()], &[], long).is_err());
    }

    #[test]
    fn what_still_hangs_is_not_started_again() {
        let long = Duration::from_secs(60);
        // Nothing but the kernel can make a program outlive its end, so another one stands for it.
        leave("sh", Command::new("sleep").arg("50").spawn().unwrap());
        let error = sh("echo yes", long).unwrap_err();
        assert!(
            format!("{error:#}").ends_with("sh still hangs"),
            "{error:#}"
        );
        assert_eq!(run(&["echo".into()], &["yes"], long).unwrap(), "yes\n");
        LEFT.with_borrow_mut(|left| left.get_mut("sh").unwrap().kill().unwrap());
        let begin = Instant::now();
        while is_left("sh") {
            assert!(begin.elapsed() < long, "it is killed, and has not ended");
            sleep(Duration::from_millis(10));
        }
        assert_eq!(sh("echo yes", long).unwrap(), "yes\n");
    }
}

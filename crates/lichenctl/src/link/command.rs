//! Runs programs that may hang, as a driver or a bus that is stuck makes them.

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What it prints, if it succeeds within this time. One that hangs in the kernel cannot be ended, and is left behind.
pub fn run(program: &[String], arguments: &[&str], within: Duration) -> Result<String> {
    let words = || {
        let words: Vec<_> = program.iter().map(String::as_str).collect();
        [words.as_slice(), arguments].concat().join(" ")
    };
    let (first, rest) = program.split_first().context("no program")?;
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
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > within {
            let _ = child.kill();
            bail!("{}: no end within {} s", words(), within.as_secs());
        }
        sleep(Duration::from_millis(10));
    };
    if !status.success() {
        let complaint = text(&mut complained)?;
        let lines: Vec<_> = complaint.lines().map(str::trim).collect();
        bail!("{}: {status}: {}", words(), lines.join("; "));
    }
    text(&mut said)
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
}

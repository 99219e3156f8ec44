//! One step of the gate: runs a program that must succeed, shows its progress, and logs its whole output.

use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much of the output is shown when it fails.
const SHOWN: usize = 40;

/// The output of a step that passed, and its duration.
pub struct Passed {
    pub lines: Vec<String>,
    pub took: Duration,
}

/// Runs a program in the checkout. If it fails, `mend` turns its output into a hint.
pub fn run(
    workspace: &Workspace,
    name: &'static str,
    command: Command,
    mend: impl FnOnce(&[String]) -> String,
) -> Result<Passed> {
    start(workspace, name, command)?.finish(mend)
}

/// A step that runs; it is ended when it is dropped.
pub struct Running {
    name: &'static str,
    program: String,
    child: Child,
    output: Receiver<std::io::Result<Vec<u8>>>,
    /// Gives the moment when the program had nothing more to say.
    reader: Option<JoinHandle<Instant>>,
    log: PathBuf,
    started: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail if it has ended, which is what they are for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program in the checkout, so that other steps can run meanwhile.
pub fn start(workspace: &Workspace, name: &'static str, mut command: Command) -> Result<Running> {
    let program = command.get_program().to_string_lossy().into_owned();
    let log = workspace.build("log")?.join(format!("gate-{name}.log"));
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let errors = writer.try_clone().context("cannot make a pipe")?;
    let started = Instant::now();
    let child = command
        .stdout(writer)
        .stderr(errors)
        .current_dir(workspace.root())
        .spawn()
        .with_context(|| format!("gate: {name}: cannot run {program}"))?;
    // The command holds this process's write ends of the pipe; until it is dropped, reading would never end.
    drop(command);
    let (send, output) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        // Nobody reads on once the step is dropped.
        let _ = BufReader::new(reader)
            .split(b'\n')
            .try_for_each(|line| send.send(line));
        Instant::now()
    });
    Ok(Running {
        name,
        program,
        child,
        output,
        reader: Some(reader),
        log,
        started,
    })
}

impl Running {
    /// Waits for its end. If it fails, `mend` turns its output into a hint.
    pub fn finish(mut self, mend: impl FnOnce(&[String]) -> String) -> Result<Passed> {
        let (lines, succeeded) = self.follow()?;
        // The reader has sent its last line, and so has ended or is about to.
        let reader = self.reader.take().context("a step is finished once")?;
        let ended = reader.join().unwrap_or_else(|_| Instant::now());
        let took = ended - self.started;
        if succeeded {
            return Ok(Passed { lines, took });
        }
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            eprintln!("{line}");
        }
        crate::fail!(
            hint: format!("{}; the whole log is {}", mend(&lines), self.log.display()),
            "gate: {} failed after {}",
            self.name,
            ui::duration(took)
        );
    }

    /// Merges stdout and stderr line by line; returns whether the program succeeded.
    fn follow(&mut self) -> Result<(Vec<String>, bool)> {
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut live = Live::new();
        let mut lines: Vec<String> = Vec::new();
        loop {
            let last = lines.last().map_or("", |line| line.trim());
            live.update(&format!(
                "gate: {}, {}  {last}",
                self.name,
                ui::duration(self.started.elapsed())
            ));
            let line = match self.output.recv_timeout(Duration::from_millis(500)) {
                Ok(line) => {
                    line.with_context(|| format!("cannot read the output of {}", self.program))?
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let line = String::from_utf8_lossy(&line).into_owned();
            writeln!(log, "{line}").context("cannot write the log")?;
            lines.push(line);
        }
        live.clear();
        let status = self
            .child
            .wait()
            .with_context(|| format!("cannot wait for {}", self.program))?;
        Ok((lines, status.success()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::program;
    use crate::failure::hint_of;

    fn shell(script: &str) -> Command {
        let mut shell = program("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn a_step_that_fails_is_named_with_what_mends_it_and_its_whole_log() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::find().unwrap().at(folder.path());
        let script = "echo out; echo error >&2; echo here: \"$PWD\"; exit 3";
        let failed = run(&workspace, "fmt", shell(script), |lines| {
            format!("mend {}", lines[1])
        });
        let error = failed.err().expect("exit status 3 is a failure");
        assert!(error.to_string().starts_with("gate: fmt failed after "));
        let log = folder.path().join("build/log/gate-fmt.log");
        assert_eq!(
            hint_of(&error).unwrap(),
            format!("mend error; the whole log is {}", log.display())
        );
        let here = folder.path().canonicalize().unwrap();
        assert_eq!(
            std::fs::read_to_string(log).unwrap(),
            format!("out\nerror\nhere: {}\n", here.display())
        );
    }

    #[test]
    fn a_step_that_passes_gives_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::find().unwrap().at(folder.path());
        let passed = run(&workspace, "fmt", shell("echo one; echo two >&2"), |_| {
            unreachable!("nothing to mend")
        });
        assert_eq!(passed.unwrap().lines, ["one", "two"]);
    }

    #[test]
    fn a_step_that_is_given_up_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::find().unwrap().at(folder.path());
        let step = start(&workspace, "fmt", shell("exec sleep 600")).unwrap();
        let process = PathBuf::from(format!("/proc/{}", step.child.id()));
        assert!(process.exists());
        drop(step);
        assert!(!process.exists());
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::find().unwrap().at(folder.path());
        let failed = run(&workspace, "fmt", program("no-such-program"), |_| {
            String::new()
        });
        let error = format!("{:#}", failed.err().unwrap());
        assert!(error.contains("cannot run no-such-program"), "{error}");
    }
}

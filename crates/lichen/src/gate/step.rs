//! One step of the gate: runs a program that must succeed, shows its progress, and logs its whole output.

use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

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
    name: &str,
    command: Command,
    mend: impl FnOnce(&[String]) -> String,
) -> Result<Passed> {
    let path = workspace.build("log")?.join(format!("gate-{name}.log"));
    let mut log =
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let live = Live::new();
    let (lines, succeeded) = follow(workspace, name, command, &mut log)?;
    if succeeded {
        let took = live.elapsed();
        return Ok(Passed { lines, took });
    }
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        eprintln!("{line}");
    }
    crate::fail!(
        hint: format!("{}; the whole log is {}", mend(&lines), path.display()),
        "gate: {name} failed after {}",
        ui::duration(live.elapsed())
    );
}

/// Merges stdout and stderr line by line; returns whether the program succeeded.
fn follow(
    workspace: &Workspace,
    name: &str,
    mut command: Command,
    log: &mut File,
) -> Result<(Vec<String>, bool)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let errors = writer.try_clone().context("cannot make a pipe")?;
    let mut child = command
        .stdout(writer)
        .stderr(errors)
        .current_dir(workspace.root())
        .spawn()
        .with_context(|| format!("gate: {name}: cannot run {program}"))?;
    // The command holds this process's write ends of the pipe; until it is dropped, reading would never end.
    drop(command);
    let (send, came) = std::sync::mpsc::channel();
    let output = BufReader::new(reader).split(b'\n');
    std::thread::spawn(move || output.into_iter().try_for_each(|line| send.send(line)));
    let mut live = Live::new();
    let mut lines: Vec<String> = Vec::new();
    loop {
        let last = lines.last().map_or("", |line| line.trim());
        live.update(&format!(
            "gate: {name}, {}  {last}",
            ui::duration(live.elapsed())
        ));
        let line = match came.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => line.with_context(|| format!("cannot read the output of {program}"))?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        writeln!(log, "{line}").context("cannot write the log")?;
        lines.push(line);
    }
    live.clear();
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {program}"))?;
    Ok((lines, status.success()))
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

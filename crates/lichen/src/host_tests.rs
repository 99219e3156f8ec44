//! The host tests: the tests of all crates except the stories.
//!
//! Cargo would run one test program after the other. Most of their tests wait, for a process, a server, or the frames
//! of a camera, so here several programs run at once.

use crate::cargo::{self, TestProgram};
use crate::command::program;
use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const ALL: [&str; 3] = ["--workspace", "--exclude", "tests"];

/// What runs as one process, and its name.
struct Job {
    name: String,
    command: Command,
}

/// The result of a job: what it printed, and whether it succeeded.
struct Done {
    name: String,
    said: String,
    green: bool,
}

/// The variable that names the root of Debian's Prometheus, which a test would otherwise ask Nix for.
pub const CHECK_TOOLS: &str = "CHECK_TOOLS";
/// What some tests run of Debian's: the variables that name its folders, and the outputs of the flake that have it.
pub const PROGRAMS: [(&str, &str); 2] = [(CHECK_TOOLS, "check-tools"), ("SERVERS", "servers")];

/// Compiles and runs all host tests, with these variables in their environment. Their whole output is kept in
/// `build/log/host-tests.log`.
pub fn run(workspace: &Workspace, environment: &[(&str, PathBuf)]) -> Result<()> {
    let logs = workspace.build("log")?;
    ui::say("compiling the host tests");
    let programs = cargo::test_programs(workspace, &ALL, &logs.join("host-tests-compiled.log"))?;
    let log = logs.join("host-tests.log");
    let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut live = Live::new();
    let mut tally = Tally::default();
    run_all(
        jobs(workspace, programs, environment),
        &logs,
        &mut live,
        |done, live| {
            writeln!(file, "{}:\n{}", done.name, done.said).context("cannot write the log")?;
            tally.take(&done);
            for line in summary(&done) {
                println!("host tests: {line}");
            }
            if !done.green {
                live.line(&format!("FAILED: {}\n{}", done.name, failures(&done.said)));
            }
            Ok(())
        },
    )?;
    live.clear();
    if !tally.failed.is_empty() {
        crate::fail!(hint: format!("the whole log is {}", log.display()), "host tests: {}", tally.words());
    }
    ui::say(format!(
        "host tests: {} in {}",
        tally.words(),
        ui::duration(live.elapsed())
    ));
    Ok(())
}

/// The programs, and the examples in documentation. What takes longest comes first: cargo, which compiles those examples,
/// and the programs in `tests/`.
fn jobs(
    workspace: &Workspace,
    mut programs: Vec<TestProgram>,
    environment: &[(&str, PathBuf)],
) -> Vec<Job> {
    programs.sort_by_key(|program| !program.integration);
    let mut documentation = bound("cargo");
    documentation
        .args(["test", "--doc", "--color", "never"])
        .args(ALL)
        .current_dir(workspace.root());
    let documentation = Job {
        name: "examples in documentation".into(),
        command: documentation,
    };
    let programs = programs.into_iter().map(|program| {
        let mut command = bound(&program.file);
        command
            .args(["--color", "never"])
            .current_dir(&program.folder)
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        Job {
            name: program.name,
            command,
        }
    });
    [documentation].into_iter().chain(programs).collect()
}

/// A program that ends with this one, whatever ends this one.
fn bound(name: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = program("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(name);
    command.env("RUST_TEST_THREADS", (2 * cores()).to_string());
    command
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the jobs, as many at once as there are cores; calls `each` with every finished one.
fn run_all(
    jobs: Vec<Job>,
    logs: &Path,
    live: &mut Live,
    mut each: impl FnMut(Done, &mut Live) -> Result<()>,
) -> Result<()> {
    let count = jobs.len();
    let queue = Mutex::new(VecDeque::from(jobs));
    let running = Mutex::new(BTreeSet::new());
    let (send, ended) = channel();
    thread::scope(|scope| {
        for worker in 0..cores() {
            let (send, queue, running) = (send.clone(), &queue, &running);
            let output = logs.join(format!("host-tests-{worker}.log"));
            scope.spawn(move || {
                let next = || lock(queue).pop_front();
                while let Some(job) = next() {
                    lock(running).insert(job.name.clone());
                    let name = job.name.clone();
                    let done = run_one(job, &output);
                    lock(running).remove(&name);
                    if send.send(done).is_err() {
                        return;
                    }
                }
                // What it contains is in the log of all.
                let _ = fs::remove_file(output);
            });
        }
        drop(send);
        let mut over = 0;
        loop {
            let now: Vec<String> = lock(&running).iter().cloned().collect();
            live.update(&format!(
                "host tests: {}, {over} of {count} programs, now {}",
                ui::duration(live.elapsed()),
                now.join(", ")
            ));
            let result = match ended.recv_timeout(Duration::from_millis(500)) {
                Ok(done) => done.and_then(|done| each(done, live)),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            over += 1;
            if result.is_err() {
                lock(&queue).clear();
                return result;
            }
        }
    })
}

/// Runs one job to its end. Its output goes to a file and not through a pipe: a pipe would be read for as long as any
/// process that a test has left behind holds it.
fn run_one(mut job: Job, output: &Path) -> Result<Done> {
    let file =
        File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    let status = job
        .command
        .stdout(file.try_clone().context("cannot write a log")?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot run {} (through setpriv, of util-linux)", job.name))?;
    let said = fs::read(output).with_context(|| format!("cannot read {}", output.display()))?;
    Ok(Done {
        name: job.name,
        said: String::from_utf8_lossy(&said).into_owned(),
        green: status.success(),
    })
}

/// The closing lines of the test runner, with the name of what it ran, and the figures that tests printed. Runs without
/// any test, of which there are many, are left out.
fn summary(done: &Done) -> Vec<String> {
    let lines = done.said.lines().filter_map(|line| {
        if line.starts_with("test result: ") && !line.contains(" 0 passed; 0 failed; 0 ignored;") {
            return Some(format!("{line} ({})", done.name));
        }
        line.strip_prefix("figures: ").map(str::to_owned)
    });
    lines.collect()
}

/// What the test runner says of the tests that failed, or all that there is, if it never came to say so.
fn failures(said: &str) -> &str {
    said.find("\nfailures:\n")
        .map_or(said, |at| &said[at..])
        .trim()
}

/// The results so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    ignored: usize,
    failed: Vec<String>,
}

impl Tally {
    fn take(&mut self, done: &Done) {
        let before = self.failed.len();
        for line in done.said.lines() {
            let Some((name, verdict)) = line
                .strip_prefix("test ")
                .and_then(|line| line.split_once(" ... "))
            else {
                continue;
            };
            match verdict {
                "ok" => self.passed += 1,
                "FAILED" => self.failed.push(name.to_owned()),
                _ => self.ignored += 1,
            }
        }
        // A program can also be killed, or end before it has told of its tests.
        if !done.green && self.failed.len() == before {
            self.failed.push(done.name.clone());
        }
    }

    fn words(&self) -> String {
        let mut text = format!("{} passed", self.passed);
        if self.ignored > 0 {
            text.push_str(&format!(", {} ignored", self.ignored));
        }
        if !self.failed.is_empty() {
            let names = self.failed.join(", ");
            text.push_str(&format!(", {} FAILED ({names})", self.failed.len()));
        }
        text
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Job {
        let mut command = bound("sh");
        command.args(["-c", script]);
        Job {
            name: name.into(),
            command,
        }
    }

    fn results(jobs: Vec<Job>) -> Vec<Done> {
        let logs = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        run_all(jobs, logs.path(), &mut Live::new(), |done, _| {
            all.push(done);
            Ok(())
        })
        .unwrap();
        assert_eq!(
            fs::read_dir(logs.path()).unwrap().count(),
            0,
            "nothing is left behind"
        );
        all
    }

    #[test]
    fn every_result_counts_even_of_a_program_that_is_killed() {
        let green = "echo 'running 2 tests'; echo 'test a::reads ... ok'; echo 'test slow ... ignored, slow'";
        let red =
            "echo 'test b::hangs ... FAILED'; echo; echo failures:; echo 'b::hangs'; exit 101";
        let killed = "echo 'test c::first ... ok'; kill -9 $$";
        let done = results(vec![
            shell("green", green),
            shell("red", red),
            shell("killed", killed),
        ]);
        let mut tally = Tally::default();
        done.iter().for_each(|done| tally.take(done));
        tally.failed.sort();
        assert_eq!(
            tally.words(),
            "2 passed, 1 ignored, 2 FAILED (b::hangs, killed)"
        );
        let red = done.iter().find(|done| done.name == "red").unwrap();
        assert_eq!(failures(&red.said), "failures:\nb::hangs");
    }

    #[test]
    fn programs_run_beside_each_other() {
        if cores() < 2 {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let meet = |own: &str, other: &str| {
            let path = folder.path().display();
            format!(
                "touch {path}/{own}; for i in $(seq 600); do [ -e {path}/{other} ] && exit 0; sleep 0.1; done; exit 1"
            )
        };
        let done = results(vec![
            shell("a", &meet("a", "b")),
            shell("b", &meet("b", "a")),
        ]);
        assert!(
            done.iter().all(|done| done.green),
            "each waited for the other"
        );
    }

    #[test]
    fn the_runners_closing_lines_are_shown_where_there_were_tests() {
        let done = Done {
            name: "ticker tests/sync.rs".into(),
            said: "figures: 3 s\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured\n\
                   test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured"
                .into(),
            green: true,
        };
        assert_eq!(
            summary(&done),
            [
                "3 s",
                "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured (ticker tests/sync.rs)"
            ]
        );
    }
}

//! `lichen test`: all tests of the project, cheapest first.

use crate::command::program;
use crate::gate;
use crate::nix::Nix;
use crate::sources::{self, Wanted};
use crate::stories;
use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Run the tests: host, modules, images, and stories on the real image in QEMU
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Only what needs no image: host tests and module tests
    #[arg(long)]
    quick: bool,
    /// Also the slow stories, such as the Raspberry Pi 4 under emulation
    #[arg(long, conflicts_with = "quick")]
    slow: bool,
    /// Ignore earlier verdicts: run every story, even those that were green on the same bytes
    #[arg(long, conflicts_with = "quick")]
    fresh: bool,
    /// Explain why these stories would run or are skipped; run nothing
    #[arg(long, value_name = "STORY", conflicts_with_all = ["quick", "fresh", "story"])]
    why: Option<String>,
    /// Only the stories whose name, or whose group's, contains this
    #[arg(conflicts_with = "quick")]
    story: Option<String>,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    let live = Live::new();
    let some = args.story.as_deref().or(args.why.as_deref());
    // Not after the minutes that the host tests take.
    sources::check_room()?;
    if some.is_none() {
        gate::run(workspace)?;
        host(workspace)?;
    }
    let nix = sources::sources(workspace, "checks", &Wanted::Everything, false)?;
    if some.is_none() {
        checks(&nix)?;
    }
    if !args.quick {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        let wanted = stories::Wanted {
            containing: some,
            slow: args.slow,
            fresh: args.fresh,
            why: args.why.is_some(),
            rotation: (ci && !args.slow && some.is_none()).then(begun),
        };
        stories::run(workspace, &wanted)?;
    }
    if args.why.is_some() {
        return Ok(());
    }
    ui::say(format!("all green after {}", ui::duration(live.elapsed())));
    Ok(())
}

/// When this process began, as the script `./lichen` that installed what was missing and compiled this program.
fn begun() -> Instant {
    let now = Instant::now();
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::try_from(uptime).unwrap_or_default();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let started = started(&stat, rustix::param::clock_ticks_per_second());
    let age = started.map(|started| uptime.saturating_sub(started));
    now.checked_sub(age.unwrap_or_default()).unwrap_or(now)
}

/// The start of a process after that of the machine, from /proc/PID/stat; see proc_pid_stat(5).
fn started(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_secs_f64(ticks / ticks_per_second as f64))
}

/// Runs cargo's tests of all crates except the stories.
fn host(workspace: &Workspace) -> Result<()> {
    let mut cargo = program("cargo");
    cargo
        .args([
            "test",
            "--workspace",
            "--exclude",
            "tests",
            "--color",
            "never",
        ])
        // Most tests wait: for a process, a server, or the frames of a camera.
        .env("RUST_TEST_THREADS", threads().to_string())
        .current_dir(workspace.root());
    follow(
        cargo,
        "host tests",
        &workspace.build("log")?.join("host-tests.log"),
    )
}

/// How many tests of a program run at once.
fn threads() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

/// Builds all checks of the flake.
fn checks(nix: &Nix) -> Result<()> {
    let names = nix.eval("checks.x86_64-linux", "builtins.attrNames")?;
    let names: Vec<&str> = names
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|n| n.as_str())
        .collect();
    for name in &names {
        nix.build(&format!("checks.x86_64-linux.{name}"), None)?;
    }
    ui::say(format!(
        "checks: {} passed: {}",
        names.len(),
        names.join(", ")
    ));
    Ok(())
}

/// Runs cargo's tests, shows their names as they pass, and keeps everything in a log.
fn follow(mut cargo: Command, what: &str, log: &Path) -> Result<()> {
    let mut file =
        std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = file.try_clone().context("cannot write the log")?;
    let mut child = cargo
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .context("cannot run cargo")?;
    let stdout = BufReader::new(
        child
            .stdout
            .take()
            .context("cargo has no standard output")?,
    );
    let (send, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || stdout.lines().try_for_each(|line| send.send(line)));
    let mut live = Live::new();
    let mut tally = Tally::default();
    // The test runner prints failures at its end, each with the output of the test.
    let mut failures = false;
    loop {
        live.update(&format!(
            "{what}: {}, {}",
            ui::duration(live.elapsed()),
            tally.summary()
        ));
        let line = match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => line.context("cannot read cargo's output")?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        writeln!(file, "{line}").context("cannot write the log")?;
        if let Some(failed) = tally.take(&line) {
            live.line(&format!("FAILED: {failed}"));
        }
        failures |= line == "failures:";
        // The test runner's own closing lines are the result of this command.
        if line.starts_with("test result: ") {
            println!("{what}: {line}");
            failures = false;
        }
        if failures {
            live.line(&line);
        }
        // A story that passes may have messages, too.
        if let Some(figures) = line.strip_prefix("figures: ") {
            println!("{what}: {figures}");
        }
    }
    live.clear();
    let status = child.wait().context("cannot wait for cargo")?;
    if status.success() {
        ui::say(format!(
            "{what}: {} in {}",
            tally.summary(),
            ui::duration(live.elapsed())
        ));
        return Ok(());
    }
    if tally.failed.is_empty() {
        // The tests did not compile, so only the compiler's output is shown.
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(40))
            .for_each(|l| eprintln!("{l}"));
    }
    crate::fail!(
        hint: format!("the whole log is {}", log.display()),
        "{what}: {}",
        tally.summary()
    );
}

/// The results that cargo's test runners have printed so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    ignored: usize,
    failed: Vec<String>,
    last: Option<String>,
}

impl Tally {
    /// Reads one line; returns the name of a test that failed, if the line reports one.
    fn take(&mut self, line: &str) -> Option<String> {
        let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
        self.last = Some(name.to_owned());
        match verdict {
            "ok" => self.passed += 1,
            "FAILED" => {
                self.failed.push(name.to_owned());
                return Some(name.to_owned());
            }
            _ => self.ignored += 1,
        }
        None
    }

    fn summary(&self) -> String {
        let mut text = format!("{} passed", self.passed);
        if self.ignored > 0 {
            text.push_str(&format!(", {} ignored", self.ignored));
        }
        if !self.failed.is_empty() {
            let names = self.failed.join(", ");
            text.push_str(&format!(", {} FAILED ({names})", self.failed.len()));
        }
        if let Some(name) = &self.last {
            text.push_str(&format!(", last {name}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_lines_are_counted() {
        let mut tally = Tally::default();
        assert_eq!(tally.take("running 2 tests"), None);
        assert_eq!(tally.take("test lock::tests::reads ... ok"), None);
        assert_eq!(tally.summary(), "1 passed, last lock::tests::reads");
        tally.take("test boots_slowly ... ignored, slow: ./lichen test --slow");
        assert_eq!(
            tally.take("test hangs ... FAILED").as_deref(),
            Some("hangs")
        );
        tally.take("test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s");
        assert_eq!(
            tally.summary(),
            "1 passed, 1 ignored, 1 FAILED (hangs), last hangs"
        );
    }

    #[test]
    fn a_process_knows_when_it_began() {
        let stat = "1 (a b) c) S 0 0 0 0 0 0 0 0 0 0 1 2 3 4 20 0 9 0 12345 7 8";
        assert_eq!(started(stat, 100), Some(Duration::from_millis(123_450)));
        let age = begun().elapsed();
        assert!(
            age > Duration::ZERO && age < Duration::from_secs(3600),
            "{age:?}"
        );
    }
}

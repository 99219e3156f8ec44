//! `lichen test`: all tests of the project, cheapest first.

use crate::gate;
use crate::host_tests;
use crate::nix::Nix;
use crate::sources::{self, Wanted};
use crate::stories;
use crate::ui::{self, Live};
use crate::workspace::Workspace;
use anyhow::Result;
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
    #[arg(long, value_name = "STORY", conflicts_with_all = ["quick", "fresh", "stories"])]
    why: Option<String>,
    /// Only the stories whose name, or whose group's, contains one of these
    #[arg(conflicts_with = "quick", value_name = "STORY")]
    stories: Vec<String>,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    let live = Live::new();
    let some: Vec<&str> = args
        .stories
        .iter()
        .chain(&args.why)
        .map(String::as_str)
        .collect();
    let all = some.is_empty();
    // Not after the minutes that the host tests take.
    sources::make_room(workspace)?;
    if all {
        gate::run(workspace)?;
    }
    let nix = sources::sources(workspace, "checks", &Wanted::Everything, false)?;
    if all {
        let programs = host_tests::PROGRAMS
            .iter()
            .map(|(variable, output)| Ok((*variable, nix.keep(output)?.output)));
        host_tests::run(workspace, &programs.collect::<Result<Vec<_>>>()?)?;
        checks(&nix)?;
    }
    if !args.quick {
        let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        let wanted = stories::Wanted {
            containing: some,
            slow: args.slow,
            fresh: args.fresh,
            why: args.why.is_some(),
            rotation: (ci && !args.slow && all).then(begun),
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

#[cfg(test)]
mod tests {
    use super::*;

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

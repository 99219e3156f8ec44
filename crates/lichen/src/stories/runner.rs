//! Running stories: each in a process of its own, two at a time, the longest first.

use super::audit::Audit;
use super::verdicts::Cost;
use crate::command::program;
use crate::ui::{self, Live};
use anyhow::{Context, Result};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Machines take turns at two cores; a third story would only wait.
const AT_A_TIME: usize = 2;
/// What no story takes: its machines may run for a quarter of an hour, and some have many, one after the other.
const LONGEST: Duration = Duration::from_secs(75 * 60);
const POLL: Duration = Duration::from_millis(100);
/// What a story is taken to last of which nothing is known.
const UNKNOWN: f64 = 60.0;

/// How stories are run.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The program that they are in.
    pub program: &'a Path,
    /// The folder it is run in, as cargo would.
    pub folder: &'a Path,
    /// The file of inputs that they are given.
    pub inputs: &'a Path,
    /// Where each leaves what it said.
    pub logs: &'a Path,
    /// What notices the inputs that they open.
    pub audit: &'a Audit,
}

/// A story to run, and what it took the last time.
#[derive(Debug, Clone)]
pub struct Next {
    /// Its name.
    pub name: String,
    /// As far as is known.
    pub cost: Option<Cost>,
}

/// How a story ended.
#[derive(Debug)]
pub struct Done {
    /// Its name.
    pub name: String,
    /// Whether it was green.
    pub green: bool,
    /// All that it said, and the runner of it.
    pub said: String,
    /// What it took.
    pub cost: Cost,
    /// The inputs that it says it used.
    pub inputs: BTreeSet<String>,
    /// Why its verdict lasts no longer than a day.
    pub day: Option<String>,
    /// Inputs that were opened while it ran, and that no story running then had asked for.
    pub unaccounted: BTreeSet<String>,
}

/// What a story wrote about itself; see `testbed::input`.
#[derive(Debug, Default, PartialEq)]
struct Uses {
    inputs: BTreeSet<String>,
    day: Option<String>,
    cold_boots: u32,
    warm_boots: u32,
}

/// The stories that run now, and the inputs that were opened meanwhile by none that had asked for them.
type Running = BTreeMap<String, BTreeSet<String>>;

impl Runner<'_> {
    /// Runs stories; `each` is told of every one that has ended, in the order in which they end.
    pub fn run(
        &self,
        mut stories: Vec<Next>,
        mut each: impl FnMut(Done, &mut Live) -> Result<()>,
    ) -> Result<()> {
        let length = |next: &Next| next.cost.map_or(UNKNOWN, |cost| cost.wall);
        stories.sort_by(|a, b| length(b).total_cmp(&length(a)));
        let (count, mut left) = (stories.len(), stories.iter().map(length).sum::<f64>());
        let lengths: BTreeMap<String, f64> = stories
            .iter()
            .map(|next| (next.name.clone(), length(next)))
            .collect();
        let queue = Mutex::new(VecDeque::from(stories));
        let running = Mutex::new(Running::new());
        let (send, ended) = channel();
        let mut live = Live::new();
        let mut over = 0;
        let result = thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                let (send, queue, running) = (send.clone(), &queue, &running);
                scope.spawn(move || {
                    // The guard is dropped before a story begins, and not after it.
                    let next = || lock(queue).pop_front();
                    while let Some(next) = next() {
                        if send.send(self.tell(&next.name, running)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            loop {
                let now: Vec<String> = lock(&running).keys().cloned().collect();
                let remaining = Duration::from_secs_f64((left / AT_A_TIME as f64).max(0.0));
                live.update(&format!(
                    "stories: {}, {over} of {count}, about {} left, now {}",
                    ui::duration(live.elapsed()),
                    ui::duration(remaining),
                    now.join(", ")
                ));
                let done = match ended.recv_timeout(Duration::from_millis(500)) {
                    Ok(done) => done,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                };
                let kept = done.and_then(|done| {
                    over += 1;
                    left -= lengths[&done.name];
                    each(done, &mut live)
                });
                if let Err(error) = kept {
                    // What runs comes to its end; nothing else is begun.
                    lock(&queue).clear();
                    return Err(error);
                }
            }
        });
        live.clear();
        result
    }

    /// Runs one story to its end.
    fn tell(&self, name: &str, running: &Mutex<Running>) -> Result<Done> {
        let file = name.replace("::", ".");
        let [log, uses] = ["log", "uses"].map(|end| self.logs.join(format!("{file}.{end}")));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        File::create(&uses).with_context(|| format!("cannot write {}", uses.display()))?;
        // It does not outlive this program.
        let mut command = program("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(self.program);
        command.args([
            name,
            "--exact",
            "--include-ignored",
            "--color",
            "never",
            "--test-threads",
            "2",
        ]);
        command.current_dir(self.folder);
        command
            .env("LICHEN_INPUTS", self.inputs)
            .env("LICHEN_USES", &uses);
        command.stdout(output.try_clone()?).stderr(output);
        lock(running).insert(name.to_owned(), BTreeSet::new());
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .context("cannot run a story (through setpriv, of util-linux)")?;
        let processor = processor_until_end(&mut child, begun)?;
        let status = child.wait().context("cannot wait for a story")?;
        let wall = begun.elapsed();
        let unaccounted = self.account(name, running)?;
        let mut said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if wall >= LONGEST {
            said.push_str(&format!("\nit was ended after {}\n", ui::duration(wall)));
        }
        let uses = Uses::parse(&fs::read_to_string(&uses)?);
        Ok(Done {
            // A runner that found no such story is content, too.
            green: status.success() && said.contains("test result: ok. 1 passed"),
            name: name.to_owned(),
            said,
            cost: Cost {
                wall: wall.as_secs_f64(),
                processor,
                cold_boots: uses.cold_boots,
                warm_boots: uses.warm_boots,
            },
            inputs: uses.inputs,
            day: uses.day,
            unaccounted,
        })
    }

    /// Whose were the openings up to now? Gives those that happened while this story ran and were nobody's, and ends
    /// its running.
    fn account(&self, name: &str, running: &Mutex<Running>) -> Result<BTreeSet<String>> {
        let mut running = lock(running);
        let mut asked = BTreeSet::new();
        for story in running.keys() {
            let uses = self.logs.join(format!("{}.uses", story.replace("::", ".")));
            asked.extend(Uses::parse(&fs::read_to_string(uses)?).inputs);
        }
        for opened in self.audit.opened() {
            if !asked.contains(&opened) {
                for unaccounted in running.values_mut() {
                    unaccounted.insert(opened.clone());
                }
            }
        }
        Ok(running.remove(name).unwrap_or_default())
    }
}

impl Uses {
    fn parse(text: &str) -> Self {
        let mut uses = Uses::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("input", name)) => drop(uses.inputs.insert(name.to_owned())),
                Some(("day", reason)) => uses.day = Some(reason.to_owned()),
                Some(("boot", "cold")) => uses.cold_boots += 1,
                Some(("boot", "warm")) => uses.warm_boots += 1,
                _ => {}
            }
        }
        uses
    }
}

/// Waits for a child to end, kills it if it takes too long, and gives the seconds of processor that it and what it
/// waited for took. It is still to be waited for.
fn processor_until_end(child: &mut Child, begun: Instant) -> Result<f64> {
    let pid = Pid::from_child(child);
    // Without NOWAIT it would be gone, and with it what it took.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), options)
        .context("cannot wait for a story")?
        .is_none()
    {
        if begun.elapsed() >= LONGEST {
            child.kill().context("cannot end a story")?;
        }
        thread::sleep(POLL);
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()));
    Ok(stat.map_or(0.0, |stat| processor(&stat)))
}

/// Of /proc/PID/stat, see proc_pid_stat(5): utime, stime, cutime and cstime, in seconds.
fn processor(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(4);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files that stories leave, made anew.
pub fn logs(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;

//! Runs stories: each in its own process, two at a time.

use super::audit::Audit;
use super::verdicts::Cost;
use crate::command::program;
use crate::ui::{self, Live};
use crate::workspace::Lack;
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

/// A story's machines use two cores; a third story would only wait.
const AT_A_TIME: usize = 2;
/// The time limit for a story: its machines may run for a quarter of an hour, and some stories start several in turn.
const LONGEST: Duration = Duration::from_secs(75 * 60);
const POLL: Duration = Duration::from_millis(100);

/// The settings for running stories.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The program that contains them.
    pub program: &'a Path,
    /// Its working directory, the same as under cargo.
    pub folder: &'a Path,
    /// The file that lists the inputs.
    pub inputs: &'a Path,
    /// The directory for their logs.
    pub logs: &'a Path,
    /// Detects the inputs that they open.
    pub audit: &'a Audit,
    /// No story is started that would end after this moment.
    pub until: Option<Instant>,
}

/// A story to run.
#[derive(Debug, Clone)]
pub struct Next {
    /// Its name.
    pub name: String,
    /// How long it should take.
    pub takes: Duration,
}

/// The result of a story.
#[derive(Debug)]
pub struct Done {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub green: bool,
    /// Its output, including the test runner's.
    pub said: String,
    /// Its cost.
    pub cost: Cost,
    /// The inputs that it declared.
    pub inputs: BTreeSet<String>,
    /// Why its verdict is valid for only one day.
    pub day: Option<String>,
    /// The room that it needs and this machine has not got, if it failed for that.
    pub lacks: Option<Lack>,
    /// Inputs that were opened while it ran, but that no running story had declared.
    pub unaccounted: BTreeSet<String>,
}

#[cfg(test)]
impl Done {
    pub fn of_test(name: &str, green: bool) -> Self {
        Done {
            name: name.to_owned(),
            green,
            said: String::new(),
            cost: Cost::default(),
            inputs: BTreeSet::new(),
            day: None,
            lacks: None,
            unaccounted: BTreeSet::new(),
        }
    }
}

/// The report that a story writes about itself; see `testbed::input`.
#[derive(Debug, Default, PartialEq)]
struct Uses {
    inputs: BTreeSet<String>,
    day: Option<String>,
    lacks: Option<Lack>,
    cold_boots: u32,
    warm_boots: u32,
}

/// The running stories, and the inputs that were opened without any of them having declared them.
type Running = BTreeMap<String, BTreeSet<String>>;

impl Runner<'_> {
    /// Runs stories in this order; calls `each` with every finished story, in the order in which they finish. Returns
    /// those that it was too late to start.
    pub fn run(
        &self,
        stories: Vec<Next>,
        mut each: impl FnMut(Done, &mut Live) -> Result<()>,
    ) -> Result<Vec<Next>> {
        let count = stories.len();
        let mut left: Duration = stories.iter().map(|next| next.takes).sum();
        let lengths: BTreeMap<String, Duration> = stories
            .iter()
            .map(|next| (next.name.clone(), next.takes))
            .collect();
        let queue = Mutex::new(VecDeque::from(stories));
        let late = Mutex::new(Vec::new());
        let running = Mutex::new(Running::new());
        let (send, ended) = channel();
        let mut live = Live::new();
        let mut over = 0;
        let result = thread::scope(|scope| {
            for _ in 0..AT_A_TIME {
                let (send, queue, late, running) = (send.clone(), &queue, &late, &running);
                scope.spawn(move || {
                    // Release the lock before running the story, not after.
                    let next = || lock(queue).pop_front();
                    while let Some(next) = next() {
                        if self
                            .until
                            .is_some_and(|until| Instant::now() + next.takes > until)
                        {
                            lock(late).push(next);
                        } else if send.send(self.tell(&next.name, running)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            loop {
                let now: Vec<String> = lock(&running).keys().cloned().collect();
                let remaining = left / AT_A_TIME as u32;
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
                    left = left.saturating_sub(lengths[&done.name]);
                    each(done, &mut live)
                });
                if let Err(error) = kept {
                    // After an error, running stories finish, but no further story is started.
                    lock(&queue).clear();
                    return Err(error);
                }
            }
        });
        live.clear();
        result.map(|()| late.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one story and waits for it.
    fn tell(&self, name: &str, running: &Mutex<Running>) -> Result<Done> {
        let file = name.replace("::", ".");
        let [log, uses] = ["log", "uses"].map(|end| self.logs.join(format!("{file}.{end}")));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        File::create(&uses).with_context(|| format!("cannot write {}", uses.display()))?;
        // setpriv makes the story end with this program.
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
            said.push_str(&format!(
                "\nthe story was killed after {}\n",
                ui::duration(wall)
            ));
        }
        let uses = Uses::parse(&fs::read_to_string(&uses)?);
        Ok(Done {
            // The test runner also succeeds if it finds no such story.
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
            lacks: uses.lacks,
            unaccounted,
        })
    }

    /// Assigns the openings so far to stories. Returns those that no running story declared while this one ran, and
    /// removes this story from the running ones.
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
                Some(("room", figures)) => uses.lacks = lack(figures),
                Some(("boot", "cold")) => uses.cold_boots += 1,
                Some(("boot", "warm")) => uses.warm_boots += 1,
                _ => {}
            }
        }
        uses
    }
}

/// The figures that a story without room reports: what it needs and what is free, in bytes.
fn lack(figures: &str) -> Option<Lack> {
    let (needed, free) = figures.split_once(' ')?;
    Some(Lack {
        needed: needed.parse().ok()?,
        free: free.parse().ok()?,
    })
}

/// Waits for a child to end, and kills it if it takes too long. Returns the processor seconds of the child and its
/// descendants. The caller must still wait for the child.
fn processor_until_end(child: &mut Child, begun: Instant) -> Result<f64> {
    let pid = Pid::from_child(child);
    // Without NOWAIT the child would be reaped, and its processor time lost.
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

/// The processor time in /proc/PID/stat, see proc_pid_stat(5): utime, stime, cutime and cstime, in seconds.
fn processor(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(4);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The directory for the files that stories write; each run of a story begins them anew.
pub fn logs(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_owned())
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;

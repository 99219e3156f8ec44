//! Scrapes all targets, again and again, and puts what they tell into the queue.
//!
//! One worker keeps the time. Some targets are scraped at once, so that one that hangs delays no other; what all of a round
//! tell becomes one frame, which is durable before the next round. There is nothing to do for a slow receiver here.

pub mod exposition;
mod target;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kit::{Actor, Component, Kit};

use crate::clock::Clock;
use crate::config::Config;
use crate::queue::Queue;
use crate::queue::codec::{Frame, Sample};
use crate::stats::Stats;
use target::{Limits, Target};

/// How many targets are scraped at once, beside those that were slow the last time. Each thread costs memory, also when it
/// has ended, as the allocator keeps some for it.
const AT_ONCE: usize = 2;
/// A target that takes longer is slow.
const SLOW: Duration = Duration::from_secs(1);
/// What a thread that scrapes needs of stack.
const STACK: usize = 512 << 10;
/// Longer than any disk takes.
const PERIOD: Duration = Duration::from_secs(120);

/// Starts to scrape. `told` is called after each round.
pub fn start(
    kit: &Kit,
    config: &Config,
    queue: Arc<Mutex<Queue>>,
    clock: Clock,
    stats: Arc<Stats>,
    told: impl Fn() + Send + 'static,
) -> anyhow::Result<()> {
    let settings = &config.scrape;
    let timeout = Duration::from_secs_f64(settings.timeout_seconds);
    let limits = Arc::new(Limits {
        timeout,
        bytes: settings.max_bytes,
        series: settings.max_series,
        line: settings.max_line_bytes,
        keep: settings.keep.clone(),
        drop: settings.drop.clone(),
    });
    let client = Arc::new(crate::client(timeout));
    let targets = settings.targets.iter().map(|target| {
        let mut labels = config.labels();
        labels.insert("job".into(), target.job.clone());
        let (limits, client, stats) = (limits.clone(), client.clone(), stats.clone());
        let labels = labels.into_iter().collect();
        let (job, url) = (target.job.clone(), target.url.clone());
        let component = kit.component(format!("target {job}"));
        let target = Target::new(job, url, labels, limits, client, stats);
        (target, component)
    });
    let targets = targets.collect();
    let interval = Duration::from_secs_f64(settings.interval_seconds);
    // In the first round it is not known yet which targets are slow. If all of them hang, that is no reason to start anew.
    let round = timeout * settings.targets.len().div_ceil(AT_ONCE) as u32;
    kit.worker("scraper", PERIOD + round, move |component| Scraper {
        targets,
        interval,
        due: Instant::now(),
        queue,
        clock,
        component,
        told: Box::new(told),
    })?;
    Ok(())
}

struct Scraper {
    targets: Vec<(Target, Component)>,
    interval: Duration,
    due: Instant,
    queue: Arc<Mutex<Queue>>,
    clock: Clock,
    component: Component,
    told: Box<dyn Fn() + Send>,
}

impl Actor for Scraper {
    fn turn(&mut self) -> Duration {
        let left = self.due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return left;
        }
        let frame = self.round();
        let kept = self
            .queue
            .lock()
            .expect("no panic while held")
            .append(frame);
        match kept {
            Ok(()) => self.component.ok(),
            Err(error) => self.component.degraded(format!(
                "the disk does not take what was scraped, which waits in memory: {error}"
            )),
        }
        (self.told)();
        // Rounds that were missed are not made up for.
        let now = Instant::now();
        while self.due <= now {
            self.due += self.interval;
        }
        self.due - now
    }
}

impl Scraper {
    fn round(&mut self) -> Frame {
        let moment = self.clock.moment();
        let slow = (self.targets.iter()).filter(|(target, _)| target.took() > SLOW);
        let threads = (AT_ONCE + slow.count()).min(self.targets.len());
        let (left, told) = (Mutex::new(self.targets.iter_mut()), Mutex::default());
        let scrapes = || {
            loop {
                let next = left.lock().expect("no panic while held").next();
                let Some((target, component)) = next else {
                    return;
                };
                let samples = scrape(target, component);
                let mut told: MutexGuard<Vec<Sample>> = told.lock().expect("no panic while held");
                told.extend(samples);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let thread = std::thread::Builder::new().stack_size(STACK);
                // Without it, the others have more to do.
                if let Err(error) = thread.spawn_scoped(scope, scrapes) {
                    tracing::warn!("fewer targets are scraped at once: {error}");
                }
            }
            scrapes();
        });
        let samples = told.into_inner().expect("no panic while held");
        Frame { moment, samples }
    }
}

fn scrape(target: &mut Target, component: &Component) -> Vec<Sample> {
    let (samples, outcome) = target.scrape();
    match outcome {
        Ok(()) => component.ok(),
        Err(problem) => component.degraded(problem),
    }
    samples
}

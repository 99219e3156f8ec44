//! Scrapes all targets, again and again, and puts what they tell into the queue.
//!
//! One worker keeps the time. The targets of a round are scraped at once, each on a thread of its own, so that one that
//! hangs delays none; what they tell becomes one frame, which is durable before the next round. There is nothing to do for
//! a slow receiver here.

pub mod exposition;
mod target;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_client::{Client, Options};
use kit::{Actor, Component, Kit};

use crate::clock::Clock;
use crate::config::Config;
use crate::queue::Queue;
use crate::queue::codec::{Frame, Sample};
use crate::stats::Stats;
use target::{Limits, Target};

/// What a thread that scrapes needs of stack.
const STACK: usize = 512 << 10;
/// Longer than any scrape and any disk takes.
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
    let client = Arc::new(Client::new(&Options {
        redirects: 0,
        ..Options::new("lichen-courier", timeout)
    }));
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
    kit.worker("scraper", PERIOD, move |component| Scraper {
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
        let mut samples = Vec::new();
        if let [(target, component)] = self.targets.as_mut_slice() {
            samples = scrape(target, component);
        } else {
            std::thread::scope(|scope| {
                let scrapes = self.targets.iter_mut().map(|(target, component)| {
                    let thread = std::thread::Builder::new().stack_size(STACK);
                    let started = thread.spawn_scoped(scope, || scrape(target, component));
                    started.map_err(|error| tracing::warn!("a target is left out: {error}"))
                });
                let scrapes: Vec<_> = scrapes.collect();
                for scrape in scrapes.into_iter().flatten() {
                    samples.extend(scrape.join().expect("a scrape does not panic"));
                }
            });
        }
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

//! A worker: a state that is owned by a thread of its own and reached through a bounded queue.
//!
//! Slow or exclusive resources (a file, a bus, a receiver of messages) belong to a worker. Jobs are closures that get
//! the state, one after the other; between jobs the state does its own periodic work. The kit does the rest: the
//! watchdog watches the worker, the service is ready only after it has started, and `/health` shows its condition.
//! Workers end in reverse order of their start, once all their jobs are done. A worker must be started after those that
//! it sends jobs to, so that no job is lost at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;

use crate::health::Component;
use crate::readiness::Latch;
use crate::watchdog::Heartbeat;

/// How many jobs may wait; further callers are told that the worker is busy.
const QUEUE: usize = 256;

/// The state that a worker's thread owns.
pub trait Actor: Send + 'static {
    /// How long to wait for its end; a worker that takes longer is abandoned when the process ends.
    const PATIENCE: Duration = Duration::MAX;

    /// Does the work that must be finished before the service is usable.
    fn start(&mut self) {}

    /// Does periodic work, and returns the time until the next. Called after `start`, after every job, and when that
    /// time has passed.
    fn turn(&mut self) -> Duration {
        Duration::MAX
    }

    /// Called after the last job. An error becomes the service's error.
    fn stop(self) -> anyhow::Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }
}

type Job<A> = Box<dyn FnOnce(&mut A) + Send>;

/// A handle that sends jobs to a worker; clones reach the same worker.
pub struct Worker<A> {
    name: &'static str,
    queue: SyncSender<Job<A>>,
}

/// Why a worker did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Its queue is full.
    #[error("the {0} is busy")]
    Busy(&'static str),
    /// It has ended.
    #[error("the {0} is closed")]
    Closed(&'static str),
}

impl<A> std::fmt::Debug for Worker<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({})", self.name)
    }
}

impl<A> Clone for Worker<A> {
    fn clone(&self) -> Self {
        Worker {
            name: self.name,
            queue: self.queue.clone(),
        }
    }
}

impl<A: Actor> Worker<A> {
    /// Sends a job without waiting; returns false if the queue is full.
    #[must_use]
    pub fn offer(&self, job: impl FnOnce(&mut A) + Send + 'static) -> bool {
        self.queue.try_send(Box::new(job)).is_ok()
    }

    /// Sends a job, and waits if the queue is full. Not for threads that must not wait.
    pub fn send(&self, job: impl FnOnce(&mut A) + Send + 'static) {
        let _ = self.queue.send(Box::new(job));
    }

    /// Sends a question and waits for the answer. If the answer is not waited for any more when the question's turn comes, it is
    /// left out, so a question must not change anything that matters.
    pub async fn ask<V: Send + 'static>(
        &self,
        question: impl FnOnce(&mut A) -> V + Send + 'static,
    ) -> Result<V, Unanswered> {
        let (reply, answer) = oneshot::channel();
        // Whoever has gone meanwhile costs nothing any more.
        let job = move |actor: &mut A| {
            if !reply.is_closed() {
                let _ = reply.send(question(actor));
            }
        };
        self.queue
            .try_send(Box::new(job))
            .map_err(|refused| match refused {
                std::sync::mpsc::TrySendError::Full(_) => Unanswered::Busy(self.name),
                std::sync::mpsc::TrySendError::Disconnected(_) => Unanswered::Closed(self.name),
            })?;
        answer.await.map_err(|_| Unanswered::Closed(self.name))
    }
}

/// The kit's handle for ending a worker.
pub(crate) struct Running {
    name: &'static str,
    patience: Duration,
    stopping: Arc<AtomicBool>,
    /// Wakes the worker.
    wake: Box<dyn Fn() + Send + Sync>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

impl Running {
    /// Lets the worker finish its queue, and ends it.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::SeqCst);
        (self.wake)();
        match tokio::time::timeout(self.patience, self.ended).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => anyhow::bail!("the thread of the {} has panicked", self.name),
            Err(_) => {
                tracing::info!(
                    worker = self.name,
                    "still working at shutdown; not waiting for it"
                );
                Ok(())
            }
        }
    }
}

/// Starts a worker.
pub(crate) fn start<A: Actor>(
    name: &'static str,
    heartbeat: Heartbeat,
    latch: Latch,
    component: Component,
    actor: A,
) -> anyhow::Result<(Worker<A>, Running)> {
    let (queue, jobs) = sync_channel(QUEUE);
    let (tell, ended) = oneshot::channel();
    let stopping = Arc::new(AtomicBool::new(false));
    let life = Life {
        actor,
        heartbeat,
        stopping: stopping.clone(),
    };
    // A missing heartbeat would show only after its period.
    let last_words = component.last_words("its thread has panicked");
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            let outcome = life.run(&jobs, latch);
            drop(last_words);
            let _ = tell.send(outcome);
        })
        .with_context(|| format!("cannot start the thread of the {name}"))?;
    let wake = queue.clone();
    let running = Running {
        name,
        patience: A::PATIENCE,
        stopping,
        // If the queue is full, the worker is awake already.
        wake: Box::new(move || drop(wake.try_send(Box::new(|_| {})))),
        ended,
    };
    Ok((Worker { name, queue }, running))
}

struct Life<A> {
    actor: A,
    heartbeat: Heartbeat,
    stopping: Arc<AtomicBool>,
}

impl<A: Actor> Life<A> {
    fn run(mut self, jobs: &Receiver<Job<A>>, latch: Latch) -> anyhow::Result<()> {
        self.actor.start();
        drop(latch);
        let slice = self.heartbeat.period() / 4;
        while !self.stopping.load(Ordering::SeqCst) {
            self.heartbeat.beat();
            let due = Instant::now().checked_add(self.actor.turn());
            self.wait(jobs, due, slice);
        }
        while let Ok(job) = jobs.try_recv() {
            self.heartbeat.beat();
            job(&mut self.actor);
        }
        self.heartbeat.beat();
        self.actor.stop()
    }

    /// Waits for a job until `due` and executes it; beats meanwhile.
    fn wait(&mut self, jobs: &Receiver<Job<A>>, due: Option<Instant>, slice: Duration) {
        loop {
            self.heartbeat.beat();
            let left = due.map_or(slice, |due| due.saturating_duration_since(Instant::now()));
            match jobs.recv_timeout(left.min(slice)) {
                Ok(job) => return job(&mut self.actor),
                Err(RecvTimeoutError::Timeout) if due.is_some() && left <= slice => return,
                Err(RecvTimeoutError::Timeout) => {}
                // The kit holds a sender until it has requested the end.
                Err(RecvTimeoutError::Disconnected) => {
                    return self.stopping.store(true, Ordering::SeqCst);
                }
            }
        }
    }
}

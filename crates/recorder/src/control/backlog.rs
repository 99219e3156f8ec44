//! Sessions that have to be processed, one at a time. What cannot be processed now is tried again for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::task::JoinHandle;

use crate::session::{Failure, Library, Session, process};

/// The pause before processing is tried again; doubled up to the longest one.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// What became of a session.
#[derive(Debug)]
pub enum Outcome {
    /// It has a video.
    Finished(Box<Session>),
    /// It will never have one, for this reason.
    Corrupted(String),
    /// There is nothing to do any more.
    Gone,
}

/// The sessions that have to be processed.
#[derive(Debug)]
pub struct Backlog {
    library: Library,
    /// So much stays free while videos are made.
    reserve_bytes: u64,
    waiting: VecDeque<i64>,
    current: Option<(i64, JoinHandle<anyhow::Result<Outcome>>)>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Backlog {
    pub fn new(library: Library, reserve_bytes: u64) -> Self {
        Backlog {
            library,
            reserve_bytes,
            waiting: VecDeque::new(),
            current: None,
            failures: 0,
            retry_at: None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.current.is_some())
    }

    /// Adds one, unless it is there already.
    pub fn add(&mut self, id: i64) {
        let is_current = self.current.as_ref().is_some_and(|(at, _)| *at == id);
        if !is_current && !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
    }

    /// Begins the next one, if it is time.
    pub fn go_on(&mut self) {
        let waits = self.retry_at.is_some_and(|at| Instant::now() < at);
        if self.current.is_some() || waits {
            return;
        }
        if let Some(id) = self.waiting.pop_front() {
            let one = one(self.library.clone(), id, self.reserve_bytes);
            self.current = Some((id, tokio::spawn(one)));
        }
    }

    /// Waits until the current one is done, if there is one. An error means that it is tried again later.
    pub async fn done(&mut self) -> (i64, anyhow::Result<Outcome>) {
        let Some((id, task)) = &mut self.current else {
            return std::future::pending().await;
        };
        let (id, outcome) = (*id, task.await.map_err(Into::into).flatten());
        self.current = None;
        match &outcome {
            Ok(_) => (self.failures, self.retry_at) = (0, None),
            Err(_) => {
                self.failures += 1;
                let pause = kit::back_off(FIRST_RETRY, self.failures, LONGEST_RETRY);
                self.retry_at = Some(Instant::now() + pause);
                self.waiting.push_back(id);
            }
        }
        (id, outcome)
    }
}

async fn one(library: Library, id: i64, reserve_bytes: u64) -> anyhow::Result<Outcome> {
    let Some((folder, started_at_ms)) = library.unprocessed(id).await? else {
        return Ok(Outcome::Gone);
    };
    match process(&folder, started_at_ms, reserve_bytes).await {
        Ok(made) => {
            library.finished(id, made).await?;
            let session = library.get(id).await?.context("its entry is gone")?;
            Ok(Outcome::Finished(Box::new(session)))
        }
        Err(Failure::Corrupted(why)) => {
            library.corrupted(id, why.clone()).await?;
            Ok(Outcome::Corrupted(why))
        }
        Err(Failure::Later(error)) => {
            library.put_off(id, format!("{error:#}")).await?;
            Err(error)
        }
    }
}

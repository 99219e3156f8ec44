//! Progress, and whether the user wants to stop.
//!
//! A signal is not obeyed at once but between two chunks: the card must be left in a state that can be named.

use crate::ui::{self, Live};
use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Shows progress, and knows whether to go on.
#[derive(Debug, Default)]
pub struct Progress {
    stop: Arc<AtomicBool>,
}

impl Progress {
    /// Listens to what ends a program; a second signal ends it at once.
    pub fn listening() -> Result<Self> {
        let progress = Progress::default();
        let stop = &progress.stop;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_default(signal, stop.clone())
                .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
                .context("cannot listen to signals")?;
        }
        Ok(progress)
    }

    /// Begins a stage that handles so many bytes, if that is known.
    pub fn begin(&self, what: &'static str, total: Option<u64>) -> Stage<'_> {
        Stage {
            what,
            total,
            live: Live::new(),
            stop: &self.stop,
        }
    }
}

/// One stage.
pub struct Stage<'a> {
    what: &'static str,
    total: Option<u64>,
    live: Live,
    stop: &'a AtomicBool,
}

impl Stage<'_> {
    /// Notes how many bytes are done. An error if the user has interrupted the program.
    pub fn step(&mut self, done: u64) -> Result<()> {
        let elapsed = self.live.elapsed();
        self.live
            .update(&line(self.what, done, self.total, elapsed));
        if self.stop.load(Ordering::Relaxed) {
            crate::fail!(hint: "run the same command again", "interrupted while {}", self.what);
        }
        Ok(())
    }

    /// Ends the stage; returns the time it took and the speed, as text.
    pub fn end(self, bytes: u64) -> String {
        let elapsed = self.live.elapsed();
        format!(
            "in {}, {}/s",
            ui::duration(elapsed),
            ui::bytes(speed(bytes, elapsed))
        )
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.live.clear();
    }
}

/// In bytes per second.
fn speed(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}

fn line(what: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let speed = speed(done, elapsed);
    let mut text = format!("{what}: {}", ui::bytes(done));
    if let Some(total) = total {
        text.push_str(&format!(" of {}", ui::bytes(total)));
    }
    text.push_str(&format!(", {}/s", ui::bytes(speed)));
    if let Some(left) = total.and_then(|total| total.saturating_sub(done).checked_div(speed)) {
        text.push_str(&format!(
            ", {} left",
            ui::duration(Duration::from_secs(left))
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_speed_and_time_left() {
        let line = |done, total| line("writing", done, total, Duration::from_secs(5));
        assert_eq!(
            line(100_000_000, Some(480_000_000)),
            "writing: 100.0 MB of 480.0 MB, 20.0 MB/s, 19.0s left"
        );
        assert_eq!(
            line(0, Some(480_000_000)),
            "writing: 0 B of 480.0 MB, 0 B/s"
        );
        assert_eq!(line(100_000_000, None), "writing: 100.0 MB, 20.0 MB/s");
    }

    #[test]
    fn who_interrupts_is_heard_at_the_next_step() {
        let progress = Progress::default();
        let mut stage = progress.begin("writing", None);
        stage.step(1).unwrap();
        progress.stop.store(true, Ordering::Relaxed);
        assert_eq!(
            stage.step(2).unwrap_err().to_string(),
            "interrupted while writing"
        );
    }
}

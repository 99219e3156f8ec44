//! Liveness: every loop that must not stop has to beat within its own period.
//!
//! systemd gets WATCHDOG=1 only while all of them do, so a single stuck loop restarts the service just as a stuck
//! process does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::health::Name;

/// A registered loop; dropping it means that the loop ended as intended.
#[derive(Debug)]
pub struct Heartbeat {
    loops: Loops,
    id: usize,
    period: Duration,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Loops(Arc<Mutex<Vec<Loop>>>);

#[derive(Debug)]
struct Loop {
    name: Name,
    period: Duration,
    last: Option<Instant>,
}

impl Loops {
    pub(crate) fn register(&self, name: Name, period: Duration) -> Heartbeat {
        let mut loops = self.0.lock().expect("no panic while held");
        loops.push(Loop {
            name,
            period,
            last: Some(Instant::now()),
        });
        Heartbeat {
            loops: self.clone(),
            id: loops.len() - 1,
            period,
        }
    }

    /// The loops that have not beaten within their period.
    pub(crate) fn late(&self) -> Vec<Name> {
        self.late_at(Instant::now())
    }

    fn late_at(&self, now: Instant) -> Vec<Name> {
        let loops = self.0.lock().expect("no panic while held");
        let late = |l: &&Loop| {
            l.last
                .is_some_and(|last| now.saturating_duration_since(last) > l.period)
        };
        loops.iter().filter(late).map(|l| l.name.clone()).collect()
    }
}

impl Heartbeat {
    /// Records a beat.
    pub fn beat(&self) {
        self.set(Some(Instant::now()));
    }

    /// The period within which it must beat.
    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    fn set(&self, last: Option<Instant>) {
        self.loops.0.lock().expect("no panic while held")[self.id].last = last;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        // A thread that panics has not ended as intended, so its loop stays late forever.
        if !std::thread::panicking() {
            self.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_late_by_its_own_period() {
        let loops = Loops::default();
        let _fast = loops.register("fast".into(), Duration::from_secs(1));
        let slow = loops.register("slow".into(), Duration::from_secs(60));
        let start = Instant::now();
        assert!(loops.late_at(start).is_empty());
        assert_eq!(loops.late_at(start + Duration::from_secs(2)), ["fast"]);
        assert_eq!(
            loops.late_at(start + Duration::from_secs(61)),
            ["fast", "slow"]
        );
        drop(slow);
        assert_eq!(loops.late_at(start + Duration::from_secs(61)), ["fast"]);
    }

    #[test]
    fn a_loop_that_panicked_stays_late() {
        let loops = Loops::default();
        let beat = loops.register("doomed".into(), Duration::ZERO);
        std::thread::spawn(move || {
            let _beat = beat;
            panic!("as the test wants");
        })
        .join()
        .unwrap_err();
        assert_eq!(
            loops.late_at(Instant::now() + Duration::from_millis(1)),
            ["doomed"]
        );
    }
}

//! The pace of an upload: keeps to the bandwidth limit, proves that the thread is alive, and ends an upload that must
//! not go on.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long to sleep at a time, so that an upload ends soon after it has to.
const NAP: Duration = Duration::from_millis(250);

/// Watches everything that is sent.
pub struct Pace {
    limit: Option<u64>,
    /// Whether nothing more may be sent.
    must_end: Box<dyn Fn() -> bool + Send + Sync>,
    alive: Box<dyn Fn(u64) + Send + Sync>,
    ended: AtomicBool,
    /// The position in the file up to which bytes have been read for sending.
    at: AtomicU64,
    /// When the next byte may be sent.
    next: Mutex<Instant>,
}

impl Pace {
    /// A pace of at most `limit` bytes a second. `must_end` is asked often, and `alive` is called as often, with the number
    /// of bytes that are sent.
    pub fn new(
        limit: Option<u64>,
        must_end: impl Fn() -> bool + Send + Sync + 'static,
        alive: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Pace {
            limit,
            must_end: Box::new(must_end),
            alive: Box::new(alive),
            ended: AtomicBool::new(false),
            at: AtomicU64::new(0),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Whether the upload was ended because it must not go on.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    /// The position in the file up to which bytes have been read for sending.
    pub fn position(&self) -> u64 {
        self.at.load(Relaxed)
    }

    /// An error if the upload must not go on.
    pub fn go_on(&self) -> io::Result<()> {
        (self.alive)(0);
        match (self.must_end)() {
            true => {
                self.ended.store(true, Relaxed);
                Err(io::Error::other("the upload has to end for now"))
            }
            false => Ok(()),
        }
    }

    /// Waits; an error if the upload must not go on meanwhile.
    pub fn rest(&self, pause: Duration) -> io::Result<()> {
        let until = Instant::now() + pause;
        loop {
            self.go_on()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// Watches a part of a file that begins at `start`.
    pub fn watch(self: &Arc<Self>, start: u64) -> http_client::Watch {
        let (pace, before) = (self.clone(), AtomicU64::new(start));
        Arc::new(move |at| {
            let read = at.saturating_sub(before.swap(at, Relaxed));
            pace.at.store(at, Relaxed);
            (pace.alive)(read);
            pace.rest(pace.due(read))
        })
    }

    /// How long to wait before `bytes` may be sent.
    fn due(&self, bytes: u64) -> Duration {
        let Some(limit) = self.limit else {
            return Duration::ZERO;
        };
        let now = Instant::now();
        let mut next = self.next.lock().expect("no panic while held");
        // What was not used in the past is not made up for.
        let begin = (*next).max(now);
        *next = begin + Duration::from_secs_f64(bytes as f64 / limit as f64);
        *next - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_that_the_limit_gives_them() {
        let pace = Pace::new(Some(1_000_000), || false, |_| ());
        let due = pace.due(500_000) + pace.due(250_000);
        let expected = Duration::from_millis(500 + 750);
        assert!(due <= expected && due > expected - Duration::from_millis(100));
        assert_eq!(
            Pace::new(None, || false, |_| ()).due(u64::MAX),
            Duration::ZERO
        );
    }

    #[test]
    fn an_upload_that_must_end_ends_at_its_next_byte() {
        let pace = Arc::new(Pace::new(None, || true, |_| ()));
        let watch = pace.watch(0);
        assert!(!pace.has_ended());
        assert!(watch(10).is_err() && pace.has_ended());
        assert_eq!(pace.position(), 10);
    }
}

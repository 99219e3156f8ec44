//! When to try again: after a failure not at once, after further ones ever later, and never before the receiver wants it.

use std::time::{Duration, Instant};

/// The pause after failures.
#[derive(Debug)]
pub struct Pause {
    first: Duration,
    longest: Duration,
    failures: u32,
    until: Option<Instant>,
}

impl Pause {
    /// No pause yet; the first one is so long, and none is longer than the longest, unless the receiver asks for it.
    pub fn new(first_seconds: f64, longest_seconds: f64) -> Self {
        Pause {
            first: Duration::from_secs_f64(first_seconds),
            longest: Duration::from_secs_f64(longest_seconds),
            failures: 0,
            until: None,
        }
    }

    /// How much of it is left.
    pub fn left(&self) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// It has failed; the receiver may have said how long to wait.
    pub fn failed(&mut self, after: Option<Duration>) {
        self.failures += 1;
        let pause = kit::back_off(self.first, self.failures, self.longest);
        let pause = kit::jittered(pause).max(after.unwrap_or_default());
        self.until = Some(Instant::now() + pause);
    }

    /// It has worked.
    pub fn worked(&mut self) {
        self.failures = 0;
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_each_failure_and_ends_with_a_success() {
        let mut pause = Pause::new(10.0, 15.0);
        assert_eq!(pause.left(), None);
        for (least, most) in [(4, 10), (7, 15), (7, 15)] {
            pause.failed(None);
            let left = pause.left().unwrap().as_secs();
            assert!((least..=most).contains(&left), "{left}");
        }
        pause.worked();
        assert_eq!(pause.left(), None);
    }

    #[test]
    fn it_is_never_shorter_than_the_receiver_wants() {
        let mut pause = Pause::new(1.0, 2.0);
        pause.failed(Some(Duration::from_secs(60)));
        assert!(pause.left().unwrap() > Duration::from_secs(50));
    }
}

//! Pauses between attempts: longer with each failure, and never the same for two devices that lost the same thing.

use std::time::Duration;

/// The pauses of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub struct BackOff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl BackOff {
    /// The pause is `first` after the first failure, doubled with each further one, and never above `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        BackOff {
            next: first.min(longest),
            first,
            longest,
        }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// The same, shortened by up to half at random: what many devices lost at once is not asked by all of them at once.
    pub fn jittered(&mut self) -> Duration {
        self.pause().mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It went well: the next failure is the first.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_once_it_went_well() {
        let mut pauses = BackOff::new(Duration::from_secs(1), Duration::from_secs(30));
        let seconds: Vec<u64> = (0..7).map(|_| pauses.pause().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        pauses.reset();
        assert_eq!(pauses.pause(), Duration::from_secs(1));
    }

    #[test]
    fn jitter_shortens_a_pause_by_half_at_the_most() {
        let first = Duration::from_secs(8);
        for _ in 0..100 {
            let pause = BackOff::new(first, first).jittered();
            assert!((first / 2..=first).contains(&pause), "{pause:?}");
        }
    }
}

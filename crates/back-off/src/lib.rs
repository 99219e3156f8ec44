//! Pauses between retries: they grow with each failure, and are random so that devices do not retry at the same time.

use std::time::Duration;

/// The pause after `failures` failures in a row: `first`, doubled with each further failure, up to `longest`.
pub fn back_off(first: Duration, failures: u32, longest: Duration) -> Duration {
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
    first.saturating_mul(doubled).min(longest)
}

/// Shortens a pause by up to half at random, so that many devices do not ask a recovered server at the same moment.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_however_often_it_fails() {
        let after = |failures| back_off(Duration::from_secs(1), failures, Duration::from_secs(30));
        let seconds = [1, 2, 3, 4, 5, 6, u32::MAX].map(|failures| after(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn jitter_takes_half_of_a_pause_at_the_most() {
        let pause = Duration::from_secs(8);
        assert!((0..100).all(|_| (pause / 2..=pause).contains(&jittered(pause))));
    }
}

//! Waiting for conditions: never for time to pass, never for ever.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The pause between two tries, at least and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The pause after a try is this many times as long as the try: an emulated machine that is asked all the time does
/// nothing else.
const LONGER: u32 = 2;

/// Tries `condition` until it holds, at most for `within`. The error names `what` and the last reason why not.
#[expect(clippy::disallowed_methods, reason = "this is what waits")]
pub fn wait_until<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if start.elapsed() >= within => {
                bail!(
                    "waited {} s for {what}; last seen: {last:#}",
                    within.as_secs()
                );
            }
            Err(_) => thread::sleep((asked.elapsed() * LONGER).clamp(PAUSES.0, PAUSES.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut tries = 0;
        let value = wait_until("three tries", Duration::from_secs(5), || {
            tries += 1;
            anyhow::ensure!(tries >= 3, "only {tries}");
            Ok(tries)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_deadline_says_what_was_awaited_and_what_was_seen_last() {
        let never = || -> Result<()> { bail!("it was dark") };
        let error = wait_until("the sun", Duration::ZERO, never)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "waited 0 s for the sun; last seen: it was dark");
    }
}

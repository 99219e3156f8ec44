//! The retries of a request.

use std::time::Duration;

use back_off::{back_off, jittered};

/// Retries with growing pauses, which are random so that clients do not retry at the same time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// The number of attempts, including the first.
    pub attempts: u32,
    /// The pause after the first attempt; it is doubled after each further one.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            attempts: 5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// The pauses between attempts: each is random, between half of its nominal length and all of it.
    pub fn pauses(self) -> impl Iterator<Item = Duration> {
        (1..self.attempts)
            .map(move |failures| jittered(back_off(self.first, failures, self.longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let patience = Patience {
            attempts: 5,
            first: Duration::from_secs(2),
            longest: Duration::from_secs(10),
        };
        let pauses: Vec<Duration> = patience.pauses().collect();
        assert_eq!(pauses.len(), 4);
        for (pause, due) in pauses.iter().zip([2, 4, 8, 10]) {
            let due = Duration::from_secs(due);
            assert!((due / 2..=due).contains(pause), "{pauses:?}");
        }
    }
}

//! How fast tokens may be guessed.
//!
//! Nobody can tell a guess from the right token before it was looked at. So what is limited is how many tokens from one
//! address are looked at: a few at once, then one after the other, each in its turn. The right one passes when its turn comes,
//! costs nothing, and does not suffer from guesses that come from elsewhere.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// So many wrong tokens from one address are looked at without a pause.
const AT_ONCE: u32 = 10;
/// After these, one is looked at in this time.
const EACH: Duration = Duration::from_secs(6);
/// So many tokens may wait for their turn at an address.
const WAITING: u32 = 4;
/// So many addresses are told apart; further ones count as one.
const ADDRESSES: usize = 256;

/// What is known of those who guessed lately.
#[derive(Default)]
pub(super) struct Guesses(HashMap<IpAddr, Debt>);

/// What wrong tokens cost an address.
struct Debt {
    /// When it is paid.
    paid: Instant,
    /// Whether somebody had to wait because of it.
    told: bool,
}

/// When a token is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// At once.
    Now,
    /// After this time; and whether it is the first one that has to wait.
    After(Duration, bool),
    /// Not at all: too many wait already, for this long.
    Never(Duration),
}

impl Guesses {
    /// The turn of a token from an address, which counts as wrong until it is known to be right.
    pub(super) fn turn(&mut self, from: IpAddr, now: Instant) -> Turn {
        let address = self.told_apart(from, now);
        let debt = self.0.entry(address).or_insert(Debt {
            paid: now,
            told: false,
        });
        let paid = debt.paid.max(now) + EACH;
        let wait = paid.saturating_duration_since(now + EACH * AT_ONCE);
        if wait > EACH * WAITING {
            return Turn::Never(wait - EACH * WAITING);
        }
        debt.paid = paid;
        match wait.is_zero() {
            true => Turn::Now,
            false => Turn::After(wait, !std::mem::replace(&mut debt.told, true)),
        }
    }

    /// A token from an address was right: it costs nothing.
    pub(super) fn was_right(&mut self, from: IpAddr, now: Instant) {
        let address = self.told_apart(from, now);
        if let Some(debt) = self.0.get_mut(&address) {
            debt.paid -= EACH;
            if debt.paid <= now {
                self.0.remove(&address);
            }
        }
    }

    /// The address, or one that stands for all others if there are too many.
    fn told_apart(&mut self, from: IpAddr, now: Instant) -> IpAddr {
        let address = network(from);
        if self.0.contains_key(&address) {
            return address;
        }
        if self.0.len() >= ADDRESSES {
            self.0.retain(|_, debt| debt.paid > now);
        }
        match self.0.len() < ADDRESSES {
            true => address,
            false => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

/// What one machine cannot choose of its address: with IPv6, that is the first half.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 2));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 3));

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn after_ten_wrong_tokens_each_waits_for_its_turn_and_only_at_that_address() {
        let (mut guesses, start) = (Guesses::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(guesses.turn(HERE, start), Turn::Now);
        }
        assert_eq!(guesses.turn(HERE, start), Turn::After(seconds(6), true));
        for waits in [12, 18, 24] {
            let turn = guesses.turn(HERE, start);
            assert_eq!(turn, Turn::After(seconds(waits), false));
        }
        assert_eq!(guesses.turn(HERE, start), Turn::Never(seconds(6)));
        assert_eq!(guesses.turn(ELSEWHERE, start), Turn::Now);
        // In the long run it is ten a minute.
        let looked_at = (1..=600).filter(|second| {
            let turn = guesses.turn(HERE, start + seconds(*second));
            !matches!(turn, Turn::Never(_))
        });
        assert_eq!(looked_at.count(), 100);
        // Whoever stops guessing is forgiven.
        let later = start + seconds(700);
        assert_eq!(guesses.turn(HERE, later), Turn::Now);
    }

    #[test]
    fn right_tokens_cost_nothing_and_leave_nothing_behind() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(guesses.turn(HERE, now), Turn::Now);
            guesses.was_right(HERE, now);
        }
        assert!(guesses.0.is_empty());
        for _ in 0..9 {
            guesses.turn(HERE, now);
        }
        for _ in 0..100 {
            assert_eq!(guesses.turn(HERE, now), Turn::Now);
            guesses.was_right(HERE, now);
        }
    }

    #[test]
    fn what_is_remembered_has_an_end_and_guesses_from_everywhere_too() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let from = |number: u32| IpAddr::V4(number.into());
        let looked_at = (0..10_000).filter(|n| guesses.turn(from(*n), now) == Turn::Now);
        assert_eq!(looked_at.count(), ADDRESSES + 10);
        assert_eq!(guesses.0.len(), ADDRESSES + 1);
        // Once they have stopped, there is room for others.
        let later = now + seconds(3600);
        assert_eq!(guesses.turn(ELSEWHERE, later), Turn::Now);
        assert_eq!(guesses.0.len(), 1);
    }

    #[test]
    fn what_a_machine_may_choose_of_its_address_makes_no_difference() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.168.1.2"), HERE);
    }
}

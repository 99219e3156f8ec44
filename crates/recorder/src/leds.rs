//! Which LED is lit when: a pure function of what is the case and of the time.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::control::Status;
use crate::machine::State;

/// How an LED shines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Dark.
    Off,
    /// Lit.
    On,
    /// Half a second lit, half a second dark.
    Blink,
    /// Four times a second.
    Flicker,
    /// A short flash every two seconds.
    Flash,
}

impl Pattern {
    /// Whether the LED is lit at this time.
    pub fn is_lit(self, at_ms: u64) -> bool {
        match self.rhythm() {
            None => self == Pattern::On,
            Some((lit_ms, of_ms)) => at_ms % of_ms < lit_ms,
        }
    }

    /// In how many milliseconds that changes; never, if it stays as it is.
    pub fn changes_in(self, at_ms: u64) -> Option<u64> {
        let (lit_ms, of_ms) = self.rhythm()?;
        let into_ms = at_ms % of_ms;
        Some(if into_ms < lit_ms { lit_ms } else { of_ms } - into_ms)
    }

    /// How long it is lit at a time, and how long after it was lit it is lit again, in milliseconds.
    fn rhythm(self) -> Option<(u64, u64)> {
        match self {
            Pattern::Off | Pattern::On => None,
            Pattern::Blink => Some((500, 1000)),
            Pattern::Flicker => Some((125, 250)),
            Pattern::Flash => Some((100, 2000)),
        }
    }
}

/// What an LED can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// A recording waits for its camera.
    Stalled,
    /// See [`State`].
    Booting,
    /// See [`State`].
    Ready,
    /// See [`State`].
    Recording,
    /// See [`State`].
    Processing,
    /// See [`State`].
    Error,
    /// There is a network.
    Online,
    /// There is none.
    Offline,
}

/// The patterns of an LED; it is dark when none of its cases holds. The first one in the order of [`Case`] decides.
pub type Patterns = BTreeMap<Case, Pattern>;

/// The cases that hold.
pub fn cases(status: &Status) -> Vec<Case> {
    let state = match status.state {
        State::Booting => Case::Booting,
        State::Ready => Case::Ready,
        State::Recording => Case::Recording,
        State::Processing => Case::Processing,
        State::Error => Case::Error,
    };
    let network = match status.network {
        true => Case::Online,
        false => Case::Offline,
    };
    let stalled = status.state == State::Recording && !status.is_recording();
    let stalled = stalled.then_some(Case::Stalled);
    stalled.into_iter().chain([state, network]).collect()
}

/// The pattern with which an LED shines when these cases hold.
pub fn pattern(patterns: &Patterns, cases: &[Case]) -> Pattern {
    let shown = patterns.iter().find(|(case, _)| cases.contains(case));
    shown.map_or(Pattern::Off, |(_, pattern)| *pattern)
}

/// What the LED `ready` shows: that it is ready and, blinking, that it records.
pub fn ready() -> Patterns {
    BTreeMap::from([
        (Case::Stalled, Pattern::Off),
        (Case::Booting, Pattern::Flash),
        (Case::Ready, Pattern::On),
        (Case::Recording, Pattern::Blink),
        (Case::Processing, Pattern::Flicker),
    ])
}

/// What the LED `error` shows: that something is the matter.
pub fn error() -> Patterns {
    BTreeMap::from([(Case::Stalled, Pattern::Blink), (Case::Error, Pattern::On)])
}

/// What the LED `network` shows.
pub fn network() -> Patterns {
    BTreeMap::from([(Case::Online, Pattern::On)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(pattern: Pattern) -> String {
        let lit = (0..16).map(|step| pattern.is_lit(step * 125));
        lit.map(|lit| if lit { '#' } else { '.' }).collect()
    }

    #[test]
    fn patterns_in_time() {
        assert_eq!(lit(Pattern::Off), "................");
        assert_eq!(lit(Pattern::On), "################");
        assert_eq!(lit(Pattern::Blink), "####....####....");
        assert_eq!(lit(Pattern::Flicker), "#.#.#.#.#.#.#.#.");
        assert_eq!(lit(Pattern::Flash), "#...............");
    }

    #[test]
    fn who_looks_whenever_a_pattern_changes_misses_nothing() {
        for pattern in [Pattern::Blink, Pattern::Flicker, Pattern::Flash] {
            for at_ms in 0..4000 {
                let changes_ms = at_ms + pattern.changes_in(at_ms).unwrap();
                let is_as_now = |ms| pattern.is_lit(ms) == pattern.is_lit(at_ms);
                assert!((at_ms..changes_ms).all(is_as_now), "{pattern:?} {at_ms}");
                assert!(!is_as_now(changes_ms), "{pattern:?} {at_ms}");
            }
        }
        assert_eq!(Pattern::On.changes_in(5), None);
    }

    #[test]
    fn the_three_leds_in_each_case() {
        use Case::*;
        for (cases, ready_error_network) in [
            (
                vec![Booting, Offline],
                [Pattern::Flash, Pattern::Off, Pattern::Off],
            ),
            (
                vec![Ready, Online],
                [Pattern::On, Pattern::Off, Pattern::On],
            ),
            (
                vec![Recording, Online],
                [Pattern::Blink, Pattern::Off, Pattern::On],
            ),
            (
                vec![Stalled, Recording, Offline],
                [Pattern::Off, Pattern::Blink, Pattern::Off],
            ),
            (
                vec![Processing, Online],
                [Pattern::Flicker, Pattern::Off, Pattern::On],
            ),
            (
                vec![Error, Online],
                [Pattern::Off, Pattern::On, Pattern::On],
            ),
        ] {
            let shown = [ready(), error(), network()].map(|led| pattern(&led, &cases));
            assert_eq!(shown, ready_error_network, "{cases:?}");
        }
    }
}

//! The decision: what to do about a service that systemd has given up starting.

use crate::state::Generation;

/// After so many reboots within a day that did not help, an earlier generation may.
const IN_VAIN: usize = 2;
/// So many automatic restarts precede a failure that counts. With fewer, somebody restarted the service by hand too often.
const RESTARTS: u64 = 3;

/// All that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Whether the service is still failed.
    pub failed: bool,
    /// How often systemd restarted it in a row.
    pub restarts: u64,
    /// Whether it ended because of its configuration, which no reboot changes.
    pub misconfigured: bool,
    /// Whether the generation was booted on trial: then its blessing decides.
    pub on_trial: bool,
    /// Reboots by recovery within the last day, and how many there may be.
    pub spent: usize,
    /// See `spent`.
    pub limit: usize,
    /// How many of them were of the generation that runs.
    pub in_vain: usize,
    /// The generation that was good before the one that runs, unless that was left for it already.
    pub before: Option<Generation>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it runs again, or somebody else decides.
    Leave,
    /// Start the service again.
    Start,
    /// Reboot.
    Reboot,
    /// Reboot into this generation, on trial with a single try.
    GoBack(Generation),
    /// No reboot is allowed, or helps: the device stays up, says so, and keeps trying to start the service.
    StayUp,
}

/// Decides.
pub fn decide(now: Situation) -> Step {
    let in_vain = now.misconfigured || now.in_vain >= IN_VAIN;
    match now.before {
        _ if !now.failed || now.on_trial => Step::Leave,
        _ if now.restarts < RESTARTS && !now.misconfigured => Step::Start,
        _ if now.spent >= now.limit => Step::StayUp,
        Some(before) if in_vain => Step::GoBack(before),
        None if now.misconfigured => Step::StayUp,
        _ => Step::Reboot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Situation = Situation {
        failed: true,
        restarts: 3,
        misconfigured: false,
        on_trial: false,
        spent: 0,
        limit: 4,
        in_vain: 0,
        before: Some(Generation(1)),
    };

    #[test]
    fn each_level_follows_when_the_one_before_did_not_help() {
        let after = |spent| Situation {
            spent,
            in_vain: spent,
            ..BAD
        };
        let back = Step::GoBack(Generation(1));
        // The trial of the earlier generation failed, too: it is not offered again.
        let left = |spent| Situation {
            before: None,
            ..after(spent)
        };
        for (situation, step) in [
            (after(0), Step::Reboot),
            (after(1), Step::Reboot),
            (after(2), back),
            (left(3), Step::Reboot),
            (left(4), Step::StayUp),
        ] {
            assert_eq!(decide(situation), step, "{situation:?}");
        }
    }

    #[test]
    fn who_must_not_be_rebooted_is_not() {
        let runs = Situation {
            failed: false,
            ..BAD
        };
        let on_trial = Situation {
            on_trial: true,
            ..BAD
        };
        let by_hand = Situation { restarts: 0, ..BAD };
        let never = Situation { limit: 0, ..BAD };
        for (situation, step) in [
            (runs, Step::Leave),
            (on_trial, Step::Leave),
            (by_hand, Step::Start),
            (never, Step::StayUp),
        ] {
            assert_eq!(decide(situation), step, "{situation:?}");
        }
    }

    #[test]
    fn a_bad_configuration_is_left_at_once_or_stays() {
        let misconfigured = Situation {
            misconfigured: true,
            restarts: 0,
            ..BAD
        };
        assert_eq!(decide(misconfigured), Step::GoBack(Generation(1)));
        let only = Situation {
            before: None,
            ..misconfigured
        };
        assert_eq!(decide(only), Step::StayUp);
    }
}

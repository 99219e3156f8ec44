//! What a receiver refuses is halved until it is found what it does not want, so that the rest arrives.
//!
//! A receiver that refuses a request may have taken none of it, or half. A single old sample must not cost the two thousand
//! that were sent with it, and what was taken already may well be sent again, as receivers know it by its time.

use std::ops::Range;
use std::time::Duration;

use super::Verdict;

/// How many further requests a refused one may cost. A single culprit among two thousand is found with 22.
const BUDGET: usize = 40;

/// Items that are being sent, all at once or in parts.
#[derive(Debug)]
pub struct Parts {
    /// The parts that are left, the next one last.
    left: Vec<Range<usize>>,
    budget: usize,
    delivered: Delivered,
}

/// How it went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// How many were taken.
    pub taken: usize,
    /// How many were refused.
    pub refused: usize,
    /// Why, in the receiver's words.
    pub why: Option<String>,
}

/// Why a part has to be sent again.
#[derive(Debug, PartialEq, Eq)]
pub struct NotYet {
    /// The reason.
    pub why: String,
    /// Not before this.
    pub after: Option<Duration>,
}

impl Parts {
    /// So many items, in their order.
    pub fn of(items: usize) -> Self {
        Parts {
            left: std::iter::once(0..items).collect(),
            budget: BUDGET,
            delivered: Delivered::default(),
        }
    }

    /// What to send next; none if it is decided what becomes of each item.
    pub fn next(&self) -> Option<Range<usize>> {
        self.left.last().cloned()
    }

    /// What the receiver says to that.
    pub fn judged(&mut self, verdict: Verdict) -> Result<(), NotYet> {
        let Some(part) = self.next() else {
            return Ok(());
        };
        if let Verdict::Later(why, after) = verdict {
            return Err(NotYet { why, after });
        }
        self.left.pop();
        match verdict {
            Verdict::Refused(_) if part.len() > 1 && self.budget >= 2 => {
                self.budget -= 2;
                let middle = part.start + part.len() / 2;
                // What is older is sent first.
                self.left.extend([middle..part.end, part.start..middle]);
            }
            Verdict::Refused(why) => {
                self.delivered.refused += part.len();
                self.delivered.why = Some(why);
            }
            Verdict::Taken | Verdict::Later(..) => self.delivered.taken += part.len(),
        }
        Ok(())
    }

    /// How it went so far.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers 2000 items to a receiver that refuses each part that `refuses`; how it went, and the parts that were sent.
    fn deliver(refuses: impl Fn(&Range<usize>) -> bool) -> (Delivered, Vec<Range<usize>>) {
        let (mut parts, mut sent) = (Parts::of(2000), Vec::new());
        while let Some(part) = parts.next() {
            sent.push(part.clone());
            let verdict = match refuses(&part) {
                true => Verdict::Refused("no".into()),
                false => Verdict::Taken,
            };
            parts.judged(verdict).unwrap();
        }
        (parts.delivered().clone(), sent)
    }

    #[test]
    fn a_single_bad_item_costs_no_other() {
        for bad in [0, 1234, 1999] {
            let (delivered, sent) = deliver(|part| part.contains(&bad));
            assert_eq!((delivered.taken, delivered.refused), (1999, 1));
            assert_eq!(delivered.why.as_deref(), Some("no"));
            assert!(sent.len() <= 25, "{}", sent.len());
            let taken = sent.iter().filter(|part| !part.contains(&bad));
            assert!(taken.is_sorted_by_key(|part| part.start), "{sent:?}");
        }
    }

    #[test]
    fn a_receiver_that_refuses_everything_costs_few_requests() {
        let (delivered, sent) = deliver(|_| true);
        assert_eq!((delivered.taken, delivered.refused), (0, 2000));
        assert_eq!(sent.len(), BUDGET + 1);
    }

    #[test]
    fn what_has_to_be_sent_again_stays_and_nothing_else_is() {
        let mut parts = Parts::of(4);
        parts.judged(Verdict::Refused("no".into())).unwrap();
        parts.judged(Verdict::Taken).unwrap();
        let not_yet = parts.judged(Verdict::Later("busy".into(), None));
        let (why, after) = ("busy".into(), None);
        assert_eq!(not_yet, Err(NotYet { why, after }));
        assert_eq!(parts.next(), Some(2..4));
        parts.judged(Verdict::Taken).unwrap();
        assert_eq!((parts.next(), parts.delivered().taken), (None, 4));
    }
}

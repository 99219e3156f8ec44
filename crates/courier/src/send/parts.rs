//! What a receiver refuses is halved until it is found what it does not want, so that the rest arrives.
//!
//! A receiver that refuses a request may have taken none of it, or half. A single old sample must not cost the two thousand
//! that were sent with it, and what was taken already may well be sent again, as both receivers know it by its time.

use std::time::Duration;

use super::Verdict;

/// How many further requests a refused one may cost. A single culprit among two thousand is found with 22.
const BUDGET: usize = 40;

/// How it went with everything, now that it is decided.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many were taken.
    pub taken: usize,
    /// How many were refused.
    pub refused: usize,
    /// Why, in the receiver's words.
    pub why: Option<String>,
}

/// Why it is not decided.
#[derive(Debug, PartialEq, Eq)]
pub struct NotYet {
    /// The reason.
    pub why: String,
    /// Not before this.
    pub after: Option<Duration>,
}

/// Sends all items, in parts if need be.
pub fn deliver<T>(items: &[T], mut post: impl FnMut(&[T]) -> Verdict) -> Result<Delivered, NotYet> {
    let mut delivered = Delivered::default();
    let mut budget = BUDGET;
    let mut parts = vec![items];
    while let Some(part) = parts.pop() {
        match post(part) {
            Verdict::Taken => delivered.taken += part.len(),
            Verdict::Later(why, after) => return Err(NotYet { why, after }),
            Verdict::Refused(_) if part.len() > 1 && budget >= 2 => {
                budget -= 2;
                let (first, second) = part.split_at(part.len() / 2);
                // The first is sent first, as what is older has to arrive first.
                parts.extend([second, first]);
            }
            Verdict::Refused(why) => {
                delivered.refused += part.len();
                delivered.why = Some(why);
            }
        }
    }
    Ok(delivered)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver that refuses whatever has a bad item in it.
    fn refusing(bad: &[u32]) -> impl Fn(&[u32]) -> Verdict {
        move |part| match part.iter().find(|item| bad.contains(item)) {
            Some(item) => Verdict::Refused(format!("{item} is bad")),
            None => Verdict::Taken,
        }
    }

    #[test]
    fn a_single_bad_item_costs_no_other() {
        let items: Vec<u32> = (0..2000).collect();
        for bad in [0, 1234, 1999] {
            let (mut requests, mut arrived) = (0, Vec::new());
            let judge = refusing(&[bad]);
            let delivered = deliver(&items, |part| {
                requests += 1;
                let verdict = judge(part);
                if verdict == Verdict::Taken {
                    arrived.extend(part);
                }
                verdict
            });
            let expected = Delivered {
                taken: 1999,
                refused: 1,
                why: Some(format!("{bad} is bad")),
            };
            assert_eq!(delivered, Ok(expected));
            assert!(requests <= 25, "{requests}");
            assert!(arrived.is_sorted(), "what is older has to arrive first");
        }
    }

    #[test]
    fn a_receiver_that_refuses_everything_costs_few_requests() {
        let items: Vec<u32> = (0..2000).collect();
        let mut requests = 0;
        let delivered = deliver(&items, |_| {
            requests += 1;
            Verdict::Refused("no".into())
        });
        assert_eq!(delivered.unwrap().refused, 2000);
        assert_eq!(requests, BUDGET + 1);
    }

    #[test]
    fn what_has_to_be_tried_again_decides_nothing() {
        let delivered = deliver(&[1, 2], |_| Verdict::Later("busy".into(), None));
        let (why, after) = ("busy".into(), None);
        assert_eq!(delivered, Err(NotYet { why, after }));
        assert_eq!(deliver(&[1], |_| Verdict::Taken).unwrap().taken, 1);
    }
}

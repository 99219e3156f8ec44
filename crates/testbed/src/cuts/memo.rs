//! Answers that are kept for as long as nothing that they were read from has changed.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use anyhow::Result;

use super::Remains;
use super::remains::BLOCK;

/// How many answers to the same question are kept: samples go back and forth between a few.
const KEPT: usize = 6;

/// The blocks that were read, to know later whether reading them again would give the same.
#[derive(Debug, Clone, Default)]
pub struct Trace(Rc<RefCell<BTreeSet<u64>>>);

impl Trace {
    pub(crate) fn add(&self, at: u64, length: usize) {
        if length > 0 {
            let last = (at + length as u64 - 1) / BLOCK;
            self.0.borrow_mut().extend(at / BLOCK..=last);
        }
    }

    /// The numbers of the blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<u64> {
        self.0.borrow().iter().copied().collect()
    }

    /// Forgets what was read up to now.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

#[derive(Debug)]
struct Answer<T> {
    /// The blocks it was read from.
    from: Vec<(u64, Option<u64>)>,
    value: T,
}

/// Answers by question.
#[derive(Debug, Default)]
pub struct Memo<T>(HashMap<String, Vec<Answer<T>>>);

impl<T: Clone> Memo<T> {
    /// No answers yet.
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// The answer to `question` about `disk`: as known, or as `find` finds it, which has to report all that it reads
    /// and whatever else the answer depends on has to be part of the question.
    pub fn answer(
        &mut self,
        question: &str,
        disk: &Remains,
        find: impl FnOnce(&Trace) -> Result<T>,
    ) -> Result<T> {
        let answers = self.0.entry(question.to_owned()).or_default();
        let holds =
            |answer: &Answer<T>| (answer.from.iter()).all(|(number, id)| disk.id(*number) == *id);
        if let Some(at) = answers.iter().position(holds) {
            // The one that was right last is looked at first.
            answers[..=at].rotate_right(1);
            return Ok(answers[0].value.clone());
        }
        let trace = Trace::default();
        let value = find(&trace)?;
        let from = trace
            .blocks()
            .into_iter()
            .map(|number| (number, disk.id(number)))
            .collect();
        answers.truncate(KEPT - 1);
        let value = Answer { from, value };
        answers.insert(0, value);
        Ok(answers[0].value.clone())
    }
}

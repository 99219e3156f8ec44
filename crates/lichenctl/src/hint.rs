//! Hints: for an error, a sentence that says what to do about it.

use std::error::Error;

/// An error that has a hint.
pub trait Hint: Error {
    /// What to do about it.
    fn hint(&self) -> &'static str;
}

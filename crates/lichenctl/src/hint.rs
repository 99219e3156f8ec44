//! What to do about an error: a sentence beside it, for whoever sees it.

use std::error::Error;

/// An error that somebody can do something about.
pub trait Hint: Error {
    /// What to do about it.
    fn hint(&self) -> &'static str;
}

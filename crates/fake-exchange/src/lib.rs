//! An exchange for tests: a feed with the faults that a test asks for, and a reader of what a service stored of it.

mod feed;
mod kept;

pub use feed::{Feed, Format, Mischief, Sent, Session, price, size};
pub use kept::{Kept, kept};

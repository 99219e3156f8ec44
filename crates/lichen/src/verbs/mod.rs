//! One module per verb.

pub mod fetch;
pub mod lock;

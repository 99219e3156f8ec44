//! One module per verb.

pub mod build;
pub mod fetch;
pub mod lock;

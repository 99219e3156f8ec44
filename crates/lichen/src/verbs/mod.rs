//! One module per verb.

pub mod bench;
pub mod build;
pub mod docs;
pub mod fetch;
pub mod flash;
pub mod lock;
pub mod test;
pub mod vm;

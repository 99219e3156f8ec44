//! One module per verb.

pub mod backup;
pub mod bench;
pub mod build;
pub mod completions;
pub mod deploy;
pub mod docs;
mod docs_page;
pub mod fetch;
pub mod flash;
pub mod key;
pub mod lock;
pub mod logs;
pub mod look_after;
pub mod publish;
pub mod test;
pub mod vm;

//! Power cuts at every write of a whole machine: what is recorded, and how what they leave is judged without booting.

mod boot;
mod booted;
mod data;
mod judge;
mod mended;
mod recorded;
mod replayed;
mod specimen;

pub use booted::{Kind, boot, kinds, one_of_each_phase};
pub use judge::Truth;
pub use recorded::{first_boot, life};
pub use replayed::{Effort, judge_all};
pub use specimen::Specimen;

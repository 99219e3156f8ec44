//! A camera far away: records, uploads, heals itself, and reports.

pub mod clock;
pub mod control;
pub mod machine;
pub mod session;
pub mod upload;

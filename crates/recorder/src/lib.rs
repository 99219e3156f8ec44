//! A camera far away: records, uploads, heals itself, and reports.

pub mod upload;

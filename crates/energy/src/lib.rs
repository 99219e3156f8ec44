//! Prices and usage of electricity, on the wall of a kitchen.
//!
//! Two programs share a cache: *sync* is started by a timer, looks at Amber once and ends; the *dashboard* shows what
//! the cache holds and how old that is. Neither needs the other to be well.

pub mod amber;
pub mod cache;
pub mod config;
pub mod dashboard;
pub mod days;
mod http;
pub mod import;
pub mod kiosk;
mod simulated;
pub mod sync;

pub use dashboard::run;

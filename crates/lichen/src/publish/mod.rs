//! What a channel consists of, and where it is published. How that is laid out and signed is told in
//! `protocol::channel`.
//!
//! All of it is static files. Whatever a channel names is there before the channel says so: its file is written
//! last and in one go, and what has been published before stays.

pub mod cache;
pub mod channel;
pub mod images;
mod place;

pub use place::Place;

#[cfg(test)]
mod tests;

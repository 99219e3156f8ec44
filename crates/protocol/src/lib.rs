//! All that the host command `lichen` and `lichenctl` on a device say to each other, and the files that one writes
//! and the other reads. Both ends are made of this crate, so that a format is written down once.
//!
//! Host and device are rarely of the same age: a device in the field is asked by a newer host, and now and then a new
//! device by an older one. So fields are only ever added, and have a default; what a newer end adds the older one
//! passes over; and the formats that cannot grow in this way ([`transfer`], [`channel`]) carry a number.
//!
//! It depends on little, as it is compiled for the device, too.

pub mod channel;
pub mod command;
pub mod delta;
mod generation;
pub mod lichen_toml;
pub mod progress;
pub mod provision;
pub mod status;
pub mod transfer;

pub use generation::Generation;

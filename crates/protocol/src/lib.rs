//! Everything that the host command `lichen` and `lichenctl` on a device exchange, and the files that one writes and
//! the other reads. Both use this crate, so that each format is defined once.
//!
//! Host and device rarely have the same version: a newer host manages devices in the field, and sometimes an older host
//! a new device. Therefore fields are only ever added, and have defaults; unknown fields are ignored; and formats that
//! cannot be extended in this way ([`transfer`], [`channel`]) have a version number.
//!
//! It has few dependencies, because it is compiled for the device, too.

pub mod channel;
pub mod command;
pub mod delta;
mod duration;
mod generation;
pub mod lichen_toml;
pub mod link;
mod nearest;
pub mod progress;
pub mod provision;
pub mod recovery;
pub mod status;
pub mod transfer;
pub mod vitals;
pub mod zones;

pub use generation::Generation;
pub use nearest::nearest;

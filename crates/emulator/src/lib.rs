//! The emulated machine: one description of its boards and devices, for `lichen vm` and the stories alike.
//!
//! [`Hardware`] is what a machine is made of, [`Setup`] what it is switched on with, and [`Hardware::command`] makes
//! both a command line of QEMU, out of a Debian root in the store ([`Tools`]). A running one is talked to by [`Qmp`].
//!
//! The one idea: what runs by hand is what was tested. Who needs another device adds it here, for both. Nothing here
//! starts a process, makes a disk or waits for an appliance: callers differ in that.

mod drive;
mod forward;
mod hardware;
mod qmp;
mod setup;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tools;

pub use drive::Drive;
pub use forward::{Forward, free_port};
pub use hardware::{Board, Hardware};
pub use qmp::Qmp;
pub use setup::{Console, Memory, Setup};
pub use tools::Tools;

/// What `extra.env` on BOOT holds when an emulated machine boots: nearly halves the time that takes, and changes
/// nothing that is tested.
pub const EXTRA: &str = "extra=nokaslr mitigations=off quiet\n";

//! Virtual machines that behave like a device: their disk, their process, where they answer.
//!
//! Boards and devices are described in the crate `emulator`, for the stories as well: what runs here was tested there.

pub mod boot;
pub mod disk;
pub mod qemu;
pub mod tools;

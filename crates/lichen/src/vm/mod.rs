//! Virtual machines that behave like a device: their disk, their QEMU, where they answer.

pub mod boot;
pub mod disk;
pub mod qemu;
pub mod tools;

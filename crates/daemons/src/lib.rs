//! Debian's servers, exactly as their modules set them up for a device, on this machine: what power cuts, kills and full disks leave
//! of what they had acknowledged. The tests of this crate are what it is for.
//!
//! `servers.nix` is the page of a [`Device`]; its units, their scripts and their files below `/etc` are those that an image would have. The
//! programs are Debian's for this machine, of the versions that images have, in a sandbox that has the users of the device.
//!
//! An [`Authority`] gives certificates, and [`Web`] is the nginx that shows them.
//!
//! A [`Recording`] is what a server did to its folder under load, as strace tells it; a [`Disk`] knows what of that a power cut
//! leaves on ext4. No block device and no privilege is needed for it. It is sound for what a server writes by calls, which each
//! recording proves: what its calls make of the folder is compared with the folder, byte by byte. What is written through memory is
//! unknown to it, and refused; none of these servers writes its data so.

mod authority;
mod clients;
mod device;
mod disk;
mod recording;
mod trace;
mod unit;
mod web;

pub use authority::{Authority, free_port, openssl};
pub use clients::{Postgres, Redis, Row, get};
pub use device::{Device, STARTED, Server, Up};
pub use disk::{Disk, Left};
pub use recording::{Cut, Recording, now};
pub use trace::tracer;
pub use web::Web;

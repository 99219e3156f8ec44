//! The mechanism of the stories: the real image in QEMU, driven as its users drive it.
//!
//! A [`Machine`] is one QEMU with one [`Disk`], reached over SSH, HTTP and QMP; its [`Console`] is evidence for
//! whoever reads a failure, never the verdict. A [`Snapshot`] is a machine that was brought to a known state once,
//! so that every story starts there within seconds. What machines are made of is described in the crate `emulator`,
//! so that `lichen vm` runs the same ones. Nothing here knows what is being tested: that is `tests/`.
//!
//! Three things hold everywhere. Every wait has a deadline, and its error says what was awaited, what was seen
//! last and how the console ended. No machine outlives the process that started it. Two machines run at a time,
//! across processes: more of them would slow each other down until they miss their deadlines.

mod browser;
mod console;
pub mod cuts;
mod disk;
mod figures;
mod files;
mod http;
mod inputs;
mod machine;
mod picture;
mod place;
mod process;
mod prometheus;
mod promql;
mod receiver;
mod relay;
mod sense_hat;
mod service;
mod snapshot;
mod ssh;
mod tools;
mod wait;
mod writes;

pub use anyhow::{Context, Error, Result, bail, ensure};
pub use browser::{Browser, Page, Window};
pub use console::Console;
pub use disk::Disk;
pub use emulator::{Board, EXTRA, Hardware, Qmp};
pub use figures::figures;
pub use files::Files;
pub use http::{Answer, Web};
pub use inputs::{input, lasts_a_day, needs_room};
pub use machine::Machine;
pub use picture::Picture;
pub use place::{Turn, story_name, turn};
pub use prometheus::{Prometheus, promtool};
pub use promql::{References, Selector, references};
pub use receiver::{Delivery, Receiver};
pub use relay::Relay;
pub use sense_hat::SenseHat;
pub use service::Service;
pub use snapshot::Snapshot;
pub use ssh::{Output, Ssh, private_key, public_key};
pub use tools::Tools;
pub use wait::wait_until;
pub use writes::{Entry, Log, Mark, Marker, Recording};

//! Lichen on the device, as a library: the same verbs the program `lichenctl` has, and the types the host
//! CLI and the stories read its answers with. Synchronous; every durable write goes through [`durable`].

pub mod durable;
pub mod state;

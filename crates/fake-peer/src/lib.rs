//! For tests, what devices call by UDP: a WireGuard [`Peer`], and a [`TimeServer`].

mod echo;
mod listening;
mod peer;
mod time_server;

pub use peer::Peer;
pub use time_server::TimeServer;

//! Ports of this machine that lead to those of an emulated one.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// A port of this machine that leads to one of the appliance. Displays as QEMU wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The port of this machine.
    pub host: u16,
    /// The port of the appliance.
    pub guest: u16,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:127.0.0.1:{}-:{}", self.host, self.guest)
    }
}

/// A port that was free a moment ago. Another program may take it first; then the one that wanted it says so.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

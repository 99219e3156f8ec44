//! Factory reset: everything that services and the owner left on the device goes; generations stay.
//!
//! Nothing can be removed from under services that run, so that this only asks for it, durably; whoever assembles
//! the root at the next boot does it before anything is mounted from DATA. A cut in between is caught up on.

use crate::durable;
use crate::root::Root;
use anyhow::Result;

/// Asks for a reset at the next boot.
pub fn request(root: &Root) -> Result<()> {
    let path = root.at("run/data").join(assemble::RESET);
    durable::atomic_write(&path, b"", 0o600)
}

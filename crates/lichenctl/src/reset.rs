//! Factory reset: removes everything that services and the owner stored on the device; generations stay.
//!
//! Data cannot be removed while services use them, so this only records the request durably. The initrd carries it out
//! at the next boot, before anything is mounted from DATA, and repeats it if a power cut interrupted it.

use crate::root::Root;
use anyhow::Result;

/// Requests a reset at the next boot.
pub fn request(root: &Root) -> Result<()> {
    let path = root.at("run/data").join(assemble::RESET);
    durable::atomic_write(&path, b"", 0o600)
}

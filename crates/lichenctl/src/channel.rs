//! What this device follows: the channel that the generation that runs names.

mod window;

pub use window::Window;

use crate::root::Root;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;

/// Where the generation names it.
pub(crate) const CONFIG: &str = "etc/lichen/update.json";

/// What is followed, and how: what `services.lichen.autoUpdate` became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The binary cache.
    pub url: String,
    /// The channel's name.
    pub channel: String,
    /// When a generation may be switched to; always, if there is none.
    pub window: Option<Window>,
    /// Whether the device may be rebooted for it.
    pub reboot: bool,
}

impl Config {
    /// Reads it; nothing, if this appliance follows no channel.
    pub fn load(root: &Root) -> Result<Option<Self>> {
        let path = root.at(CONFIG);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("cannot read {}", path.display()))
    }
}

//! The channel that this device follows, as configured by the running generation.

mod window;

pub use window::Window;

use crate::root::Root;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;

/// The file that names the channel.
pub(crate) const CONFIG: &str = "etc/lichen/update.json";

/// The channel and how to follow it: the content of `services.lichen.autoUpdate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the binary cache.
    pub url: String,
    /// The channel's name.
    pub channel: String,
    /// The maintenance window for switching generations; without one, any time is allowed.
    pub window: Option<Window>,
    /// Whether an update may reboot the device.
    pub reboot: bool,
}

impl Config {
    /// Reads the file; returns none if this appliance follows no channel.
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

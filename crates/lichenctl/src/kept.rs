//! What the device keeps of itself on DATA, in /var/lib/lichen, as JSON that only root may read.

use crate::journal::note;
use crate::root::Root;
use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;

const FOLDER: &str = "var/lib/lichen";

/// Reads `file`, a path in the tree. A damaged one counts as empty, and is told: to do nothing any more would be worse.
pub fn load<T: DeserializeOwned + Default>(root: &Root, file: &str) -> T {
    let Ok(text) = fs::read(root.at(file)) else {
        return T::default();
    };
    serde_json::from_slice(&text).unwrap_or_else(|error| {
        note(&format!("/{file} is damaged and counts as empty: {error}"));
        T::default()
    })
}

/// Writes it, durably, if it is another.
pub fn save(root: &Root, file: &str, value: &impl Serialize) -> Result<()> {
    if !root.at(FOLDER).exists() {
        durable::directory(&root.at(FOLDER), 0o700)?;
    }
    let text = serde_json::to_vec_pretty(value)?;
    durable::update(&root.at(file), &text, 0o600).map(drop)
}

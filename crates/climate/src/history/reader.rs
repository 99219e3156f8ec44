//! Who answers queries of the history, on a connection of its own: SQLite's log lets it read while the keeper writes.

use std::path::PathBuf;

use kit::Actor;

use super::store::{Series, Store};

/// The state of the reader's thread.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
}

impl Actor for Reader {}

impl Reader {
    /// Reads the history in this file.
    pub fn of(path: PathBuf) -> Self {
        Reader { path }
    }

    /// Opens the file each time: the keeper may have set a damaged one aside since.
    pub fn series(&mut self, from: i64, to: i64, points: u32) -> anyhow::Result<Series> {
        Store::open_to_read(&self.path)?.series(from, to, points)
    }
}

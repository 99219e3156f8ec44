//! The bucket that `lichen publish` writes to: its address and keys as Nix and Amazon's tools have them, and its
//! refusals in words that name the next command.

mod address;
mod keys;
mod trouble;

use crate::ui;
use address::Address;
use anyhow::Result;
use bucket::{Bucket, Patience, Settings, Upload};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use trouble::explain;

/// What is brought is small.
const SMALL: usize = 16 << 20;

/// A bucket, and someone who may read and write it.
#[derive(Debug)]
pub struct Client {
    address: Address,
    bucket: Bucket,
    /// What to look at when the key is the wrong one.
    found: String,
}

/// Opens what an address says, with the keys that are found; `variable` gives what the environment has by a name.
/// Nothing is asked of the server yet.
pub fn open(to: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Client> {
    let patience = Patience {
        attempts: 4,
        first: Duration::from_secs(2),
        ..Patience::default()
    };
    open_with(to, variable, |settings| settings.patience = patience)
}

fn open_with(
    to: &str,
    variable: impl Fn(&str) -> Option<String>,
    change: impl FnOnce(&mut Settings),
) -> Result<Client> {
    let address = Address::parse(to, &variable)?;
    let keys = keys::find(address.profile.as_deref(), &variable)?;
    let mut settings = address.settings();
    settings.on_retry = |error| ui::say(format!("{error}; trying again"));
    change(&mut settings);
    Ok(Client {
        bucket: Bucket::new(settings, keys.keys)?,
        address,
        found: keys.found,
    })
}

impl Client {
    /// What people know `name` by.
    pub fn shown(&self, name: &str) -> String {
        self.address.shown(name)
    }

    /// A small object, if there is one of that name.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.told("read", name, self.bucket.get(&self.key(name), SMALL))
    }

    /// Whether there is an object of that name.
    pub fn has(&self, name: &str) -> Result<bool> {
        let found = self.told("look for", name, self.bucket.head(&self.key(name)))?;
        Ok(found.is_some())
    }

    /// Puts a small object there, in place of any other of that name.
    pub fn put(&self, name: &str, text: &[u8]) -> Result<()> {
        let put = self.bucket.put(&self.key(name), text);
        self.told("write", name, put).map(drop)
    }

    /// The same without patience: it is the first that is asked of the server, and may be the wrong one.
    pub fn probe(&self, name: &str, text: &[u8]) -> Result<()> {
        let put = self.bucket.put_once(&self.key(name), text);
        self.told("write", name, put).map(drop)
    }

    /// Puts a file there; `progress` is told how many of its bytes are up.
    pub fn upload(
        &self,
        name: &str,
        file: &Path,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<()> {
        let how = Upload {
            progress: Some(Arc::new(move |up| {
                progress(up);
                Ok(())
            })),
            ..Upload::default()
        };
        let uploaded = self.bucket.upload(&self.key(name), file, &how);
        self.told("write", name, uploaded).map(drop)
    }

    fn told<T>(&self, verb: &str, name: &str, result: Result<T, bucket::Error>) -> Result<T> {
        result.map_err(|error| explain(self, &format!("{verb} {}", self.shown(name)), &error))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.address.prefix)
    }
}

#[cfg(test)]
pub(crate) mod tests;

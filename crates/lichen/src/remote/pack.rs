//! What is sent to a device: for each path that it lacks, a delta or the whole archive, whichever is smaller.

use super::closure;
use crate::store;
use anyhow::{Context, Result};
use protocol::delta;
use protocol::transfer::{Coming, Header, Missing, Part, PathInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A delta may take at most this fraction (one in so many) of a device's free memory.
const SHARE: u64 = 2;
/// If a delta saves less than this part of the archive, the compressed archive may well be smaller.
const WORTH: u64 = 2;

/// An archive in the form in which it is sent.
type Bytes = Arc<Vec<u8>>;

/// The archives made so far, by path and by the path of their base, so that each is made once for many devices.
#[derive(Debug, Default)]
pub struct Made(Mutex<BTreeMap<(String, String), Bytes>>);

/// A stream, ready to be sent.
#[derive(Debug)]
pub struct Pack {
    header: Header,
    bytes: Vec<Bytes>,
}

impl Made {
    fn get(&self, path: &str, base: &str) -> Result<Bytes> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path.to_owned(), base.to_owned());
        if let Some(bytes) = made.get(&key) {
            return Ok(bytes.clone());
        }
        let old = if base.is_empty() {
            Vec::new()
        } else {
            closure::archive(base)?
        };
        let bytes = delta::make(&old, &closure::archive(path)?)
            .with_context(|| format!("cannot compress {path}"))?;
        let bytes = Arc::new(bytes);
        made.insert(key, bytes.clone());
        Ok(bytes)
    }
}

impl Pack {
    /// Packs what `device` lacks of `closure`. The paths in `whole` are sent whole, because a delta for them failed.
    pub fn make(
        closure: &[PathInfo],
        device: &Missing,
        whole: &BTreeSet<String>,
        made: &Made,
    ) -> Result<Self> {
        let here = here(&device.bases)?;
        let sizes: BTreeMap<_, _> = here
            .iter()
            .map(|info| (info.path.as_str(), info.nar_size))
            .collect();
        let mut pack = Pack {
            header: Header { parts: Vec::new() },
            bytes: Vec::new(),
        };
        for info in closure
            .iter()
            .filter(|info| device.missing.contains(&info.path))
        {
            let base = (!whole.contains(&info.path))
                .then(|| base(info, device, &sizes))
                .flatten();
            let all = || made.get(&info.path, "");
            let (coming, bytes) = match base {
                None => (Coming::Whole, all()?),
                Some(base) => {
                    let delta = made.get(&info.path, base)?;
                    if (delta.len() as u64) < info.nar_size / WORTH || delta.len() < all()?.len() {
                        (
                            Coming::Delta {
                                base: base.to_owned(),
                            },
                            delta,
                        )
                    } else {
                        (Coming::Whole, all()?)
                    }
                }
            };
            pack.add(info, coming, bytes);
        }
        Ok(pack)
    }

    /// Adds the signatures of paths that the device has already.
    pub fn vouch(&mut self, closure: &[PathInfo], device: &Missing) {
        for info in closure
            .iter()
            .filter(|info| !device.missing.contains(&info.path))
        {
            self.add(info, Coming::Present, Arc::default());
        }
    }

    fn add(&mut self, info: &PathInfo, coming: Coming, bytes: Bytes) {
        self.header.parts.push(Part {
            info: info.clone(),
            coming,
            bytes: bytes.len() as u64,
        });
        self.bytes.push(bytes);
    }

    /// The size of its archives in bytes.
    pub fn len(&self) -> u64 {
        self.header.parts.iter().map(|part| part.bytes).sum()
    }

    /// Whether the device has everything already.
    pub fn is_empty(&self) -> bool {
        self.header.parts.is_empty()
    }

    /// One line for each path: its name, whether it is sent whole or as a delta, and how many bytes that is.
    pub fn lines(&self) -> Vec<String> {
        let parts = self
            .header
            .parts
            .iter()
            .filter(|part| part.coming != Coming::Present);
        let line = |part: &Part| {
            let how = if part.coming == Coming::Whole {
                "whole"
            } else {
                "delta"
            };
            let (size, all) = (
                crate::ui::bytes(part.bytes),
                crate::ui::bytes(part.info.nar_size),
            );
            format!("{how}  {}  {size} for {all}", label(&part.info.path))
        };
        parts.map(line).collect()
    }

    /// Sends it, and shows the progress.
    pub fn send(&self, to: &mut dyn Write, sent: &mut (dyn FnMut(u64) + Send)) -> io::Result<()> {
        let mut head = Vec::new();
        self.header.write(&mut head)?;
        to.write_all(&head)?;
        let mut done = 0;
        for chunk in self.bytes.iter().flat_map(|bytes| bytes.chunks(1 << 16)) {
            to.write_all(chunk)?;
            done += chunk.len() as u64;
            sent(done);
        }
        to.flush()
    }
}

/// The paths of a device that are in this store as well.
fn here(bases: &[String]) -> Result<Vec<PathInfo>> {
    let paths: Vec<PathBuf> = bases.iter().map(PathBuf::from).collect();
    let absent = store::missing(&paths)?;
    let present: Vec<_> = paths
        .iter()
        .filter(|path| !absent.contains(*path))
        .collect();
    closure::these(&present)
}

/// The base for a delta of a path: of the device's paths with the same name, the first that its memory is large enough
/// for.
fn base<'a>(info: &PathInfo, device: &'a Missing, here: &BTreeMap<&str, u64>) -> Option<&'a str> {
    let alike = device
        .bases
        .iter()
        .filter(|base| name(base) == name(&info.path));
    let fits = |size: &u64| size.saturating_add(info.nar_size) <= device.memory / SHARE;
    alike
        .map(String::as_str)
        .find(|base| here.get(base).is_some_and(fits))
}

/// A path's name without its hash.
fn label(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once('-').map_or(name, |(_, name)| name)
}

/// The name without digits, which are versions.
fn name(path: &str) -> String {
    label(path)
        .chars()
        .filter(|c| !c.is_ascii_digit())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(path: &str, nar_size: u64) -> PathInfo {
        PathInfo {
            path: path.into(),
            nar_hash: String::new(),
            nar_size,
            references: Vec::new(),
            signatures: Vec::new(),
            ca: None,
        }
    }

    #[test]
    fn a_delta_begins_with_what_runs_if_there_is_memory_for_it() {
        let device = |memory| Missing {
            missing: Vec::new(),
            bases: [
                "/nix/store/a-config.erofs",
                "/nix/store/b-base.erofs",
                "/nix/store/c-config.erofs",
                "/nix/store/d-linux-7.2",
            ]
            .map(str::to_owned)
            .to_vec(),
            memory,
        };
        let here: BTreeMap<_, _> = [
            ("/nix/store/a-config.erofs", 10),
            ("/nix/store/c-config.erofs", 5),
            ("/nix/store/d-linux-7.2", 10),
        ]
        .into();
        let found =
            |path: &str, memory| base(&info(path, 10), &device(memory), &here).map(str::to_owned);
        assert_eq!(
            found("/nix/store/x-config.erofs", 100).as_deref(),
            Some("/nix/store/a-config.erofs")
        );
        assert_eq!(
            found("/nix/store/x-config.erofs", 30).as_deref(),
            Some("/nix/store/c-config.erofs"),
            "too large for its memory"
        );
        assert_eq!(found("/nix/store/x-config.erofs", 20), None);
        assert_eq!(
            found("/nix/store/x-base.erofs", 100),
            None,
            "not in this store"
        );
        assert_eq!(
            found("/nix/store/x-linux-7.3", 100).as_deref(),
            Some("/nix/store/d-linux-7.2"),
            "another version"
        );
        assert_eq!(found("/nix/store/x-packages.erofs", 100), None);
    }
}

//! Receives store paths from the host, whole or as deltas against paths that are already here.
//!
//! Everything that arrives is rebuilt as a binary cache in a temporary directory on DATA, and Nix imports from there.
//! Nix checks hashes, references and signatures, and registers a path only when it is durable, so an incomplete or
//! wrong path never becomes valid. The next receive removes what an interrupted one left behind.

use crate::facts;
use crate::generations::{self, Running};
use crate::hint::Hint;
use crate::lock::GenerationsLock;
use crate::root::Root;
use crate::systemd::run;
use crate::trust;
use anyhow::{Context, Result};
use protocol::delta;
use protocol::transfer::{Coming, Header, Missing, Part, Received};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;

/// The directory of the temporary binary cache.
const FOLDER: &str = "nix/var/lichen/receive";
/// Space left for Nix's database and other writers, in bytes.
const MARGIN: u64 = 32 << 20;

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// DATA does not have enough free space.
    #[error(
        "DATA has no room: {needed} bytes are needed to receive this, {free} are free; nothing was changed"
    )]
    NoRoom {
        /// The space needed for the archives and for what Nix unpacks from them.
        needed: u64,
        /// The free space.
        free: u64,
    },
    /// The stream is not valid.
    #[error("the received stream is invalid: {0}; nothing was changed")]
    Stream(String),
}

impl Hint for ReceiveError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoRoom { .. } => "`lichenctl gc` removes generations that are not needed",
            Self::Stream(_) => "send it again with `lichen deploy`",
        }
    }
}

/// Which of `paths` are missing here, and which local paths can serve as bases for deltas.
pub fn missing(root: &Root, paths: &[String]) -> Result<Missing> {
    let ask = |question: &[&str], about: Vec<&str>| -> Result<Vec<String>> {
        if about.is_empty() {
            return Ok(Vec::new());
        }
        let answer = run("nix-store", &[question, &about].concat())?;
        Ok(answer.lines().map(str::to_owned).collect())
    };
    let meminfo = fs::read_to_string(root.at("proc/meminfo")).unwrap_or_default();
    let memory = facts::memory(&meminfo);
    let running = Running::read(root).toplevel;
    let on_boot = generations::on_boot(root).unwrap_or_default();
    let others = on_boot
        .iter()
        .rev()
        .filter_map(|(_, env)| env.toplevel.as_deref());
    // A path that is gone would make Nix fail for all the others.
    let others =
        others.filter(|path| Some(*path) != running.as_deref() && Path::new(path).exists());
    let closure = ["--query", "--requisites"];
    let mut bases = ask(&closure, running.as_deref().into_iter().collect())?;
    for path in ask(&closure, others.collect())? {
        if !bases.contains(&path) {
            bases.push(path);
        }
    }
    let paths = paths.iter().map(String::as_str).collect();
    Ok(Missing {
        missing: ask(&["--check-validity", "--print-invalid"], paths)?,
        bases,
        memory: memory.map_or(0, |memory| memory.available),
    })
}

/// Receives one stream.
pub fn receive(root: &Root, stream: &mut impl Read) -> Result<Received> {
    let _lock = GenerationsLock::take(root)?;
    let folder = root.at(FOLDER);
    clear(&folder)?;
    let result = take_in(root, &folder, stream);
    clear(&folder)?;
    result
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn take_in(root: &Root, folder: &Path, stream: &mut impl Read) -> Result<Received> {
    let header = Header::read(stream).map_err(|error| ReceiveError::Stream(error.to_string()))?;
    let store = root.at("nix");
    let stat = rustix::fs::statvfs(&store)
        .with_context(|| format!("cannot ask how full {} is", store.display()))?;
    fits(&header, stat.f_bavail * stat.f_frsize)?;
    let dump = |path: &str| {
        let output = Command::new("nix-store").args(["--dump", path]).output()?;
        let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(io::Error::other(said()))
        }
    };
    let again = rebuild(&header, folder, stream, &dump)?;
    if !again.is_empty() {
        return Ok(Received { imported: 0, again });
    }
    import(root, folder, &header)
}

/// The size of the archives and of what Nix unpacks from them.
fn fits(header: &Header, free: u64) -> Result<(), ReceiveError> {
    let coming = header
        .parts
        .iter()
        .filter(|part| part.coming != Coming::Present);
    let archives = coming.fold(0_u64, |sum, part| sum.saturating_add(part.info.nar_size));
    let needed = archives.saturating_mul(2).saturating_add(MARGIN);
    if archives > 0 && needed > free {
        return Err(ReceiveError::NoRoom { needed, free });
    }
    Ok(())
}

/// Builds the binary cache; returns the deltas that could not be applied.
fn rebuild(
    header: &Header,
    folder: &Path,
    stream: &mut impl Read,
    dump: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> Result<Vec<(String, String)>> {
    durable::directory(folder, 0o700)?;
    put(folder, "nix-cache-info", "StoreDir: /nix/store\n")?;
    let mut again = Vec::new();
    for part in &header.parts {
        let path = &part.info.path;
        let hash = (part.info.hash_part())
            .ok_or_else(|| ReceiveError::Stream(format!("{path:?} is not a store path")))?;
        let archive = format!("{hash}.nar");
        put(
            folder,
            &format!("{hash}.narinfo"),
            &part.info.narinfo(&archive),
        )?;
        if part.coming == Coming::Present {
            continue;
        }
        let mut coming = stream.by_ref().take(part.bytes);
        let result = unpack(part, &mut coming, &folder.join(archive), dump);
        // Skip the rest of this part, so that the next one is read from its beginning.
        let ended = io::copy(&mut coming, &mut io::sink()).map(|_| coming.limit());
        let why = match ended {
            Ok(0) => None,
            Ok(_) => Some(format!("it ends in the middle of {path}")),
            Err(error) => Some(format!("{error} in the middle of {path}")),
        };
        if let Some(why) = why {
            return Err(ReceiveError::Stream(why).into());
        }
        match result {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(error).with_context(|| format!("cannot rebuild {path}"));
            }
            Err(error) if part.coming != Coming::Whole => {
                again.push((path.clone(), error.to_string()))
            }
            Err(error) => return Err(ReceiveError::Stream(format!("{path}: {error}")).into()),
            Ok(()) => {}
        }
    }
    Ok(again)
}

fn unpack(
    part: &Part,
    coming: &mut impl Read,
    to: &Path,
    dump: &dyn Fn(&str) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let base = match &part.coming {
        Coming::Delta { base } => dump(base)?,
        _ => Vec::new(),
    };
    let mut file = io::BufWriter::new(passing(to)?);
    delta::apply(&base, coming, part.info.nar_size, &mut file)?;
    file.flush()
}

fn put(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    passing(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a temporary file that is useless after a power cut, so it need not be durable.
#[expect(clippy::disallowed_methods, reason = "nothing is replaced")]
fn passing(path: &Path) -> io::Result<File> {
    File::create(path)
}

fn import(root: &Root, folder: &Path, header: &Header) -> Result<Received> {
    let cache = format!("file://{}", folder.display());
    let keys = trust::demanded(root);
    let paths = |present: bool| -> Vec<&str> {
        let parts = header.parts.iter();
        let these = parts.filter(|part| (part.coming == Coming::Present) == present);
        these.map(|part| part.info.path.as_str()).collect()
    };
    let (coming, present) = (paths(false), paths(true));
    if !coming.is_empty() {
        let mut arguments = vec!["copy", "--from", &cache, "--no-recursive"];
        arguments.extend((!keys).then_some("--no-check-sigs"));
        run("nix", &[arguments.as_slice(), &coming].concat())?;
    }
    // Paths that arrived before this device trusted any keys may lack signatures.
    if keys && !present.is_empty() {
        run(
            "nix",
            &[
                &["store", "copy-sigs", "--substituter", &cache],
                present.as_slice(),
            ]
            .concat(),
        )?;
    }
    Ok(Received {
        imported: coming.len(),
        again: Vec::new(),
    })
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;

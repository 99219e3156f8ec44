//! Takes in store paths that the host sends, whole or as deltas against what is here.
//!
//! A delta is only how an archive comes: all that arrives is rebuilt as a binary cache in a temporary folder on
//! DATA, and Nix imports from that. Nix checks hashes, references and signatures, and registers a path when it is
//! durable; so nothing that was half received, or is not what it should be, is ever valid. What a cut leaves is
//! removed by the next receive.

use crate::durable;
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

/// Where the binary cache is made.
const FOLDER: &str = "nix/var/lichen/receive";
/// For Nix's database, and whoever else writes meanwhile.
const MARGIN: u64 = 32 << 20;

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// DATA is too full.
    #[error(
        "DATA has no room: {needed} bytes are needed to receive this, {free} are free; nothing was changed"
    )]
    NoRoom {
        /// What it takes: archives and what Nix unpacks from them.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// It is not what a host sends.
    #[error("the stream is no good: {0}; nothing was changed")]
    Stream(String),
}

impl Hint for ReceiveError {
    fn hint(&self) -> &'static str {
        match self {
            Self::NoRoom { .. } => "`lichenctl gc` removes generations that nothing needs",
            Self::Stream(_) => "send it again: `lichen deploy`",
        }
    }
}

/// Which of `paths` are not here, and what there is to make them from.
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
    // One that is gone would spoil the answer about all the others.
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

/// Archives, and beside them what Nix unpacks from them.
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

/// Makes the binary cache; tells which deltas came to nothing.
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
            .ok_or_else(|| ReceiveError::Stream(format!("{path:?} is no store path")))?;
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
        // What comes next begins where this ends, whatever became of it.
        let ended = io::copy(&mut coming, &mut io::sink()).map(|_| coming.limit());
        if !ended.as_ref().is_ok_and(|left| *left == 0) {
            return Err(ReceiveError::Stream(format!("it ends in the middle of {path}")).into());
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

/// A file that is gone in a moment, and of no use after a cut: it need not be durable.
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
    // Of what was here before keys were trusted, nobody has told this device who vouches for it.
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

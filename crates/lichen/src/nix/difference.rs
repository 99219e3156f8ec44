//! What differs between two results of a step, by file: the name of a step says too little of where to look.

use crate::command::program;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Every file that is not the same in both, as "output/folder/file: how"; an archive's members count as files.
///
/// `output` is what both are called. None when they are equal in all that Nix keeps of a file.
pub fn between(output: &str, first: &Path, second: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    compare(output, first, second, &mut found)?;
    Ok(found)
}

/// The kind of file at a path.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    File { executable: bool },
    Folder,
    Link(PathBuf),
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        let about = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kind::Nothing),
            about => about.with_context(|| format!("cannot look at {}", path.display()))?,
        };
        Ok(if about.is_symlink() {
            Kind::Link(fs::read_link(path)?)
        } else if about.is_dir() {
            Kind::Folder
        } else {
            let executable = about.permissions().mode() & 0o100 != 0;
            Kind::File { executable }
        })
    }

    fn named(&self) -> String {
        match self {
            Kind::Nothing => "nothing".into(),
            Kind::File { executable: false } => "a file".into(),
            Kind::File { executable: true } => "a program".into(),
            Kind::Folder => "a folder".into(),
            Kind::Link(to) => format!("a link to {}", to.display()),
        }
    }
}

fn compare(name: &str, first: &Path, second: &Path, found: &mut Vec<String>) -> Result<()> {
    let kinds = (Kind::of(first)?, Kind::of(second)?);
    match &kinds {
        (Kind::Folder, Kind::Folder) => {
            for entry in entries(first)?.union(&entries(second)?) {
                let (first, second) = (first.join(entry), second.join(entry));
                compare(&format!("{name}/{entry}"), &first, &second, found)?;
            }
        }
        (one, other) if one != other => {
            found.push(format!("{name}: {}, then {}", one.named(), other.named()));
        }
        (Kind::File { .. }, _) => {
            if let Some(byte) = first_difference(first, second)? {
                inside(name, first, second, byte, found)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Says where two files differ: in which members, if they are archives.
fn inside(
    name: &str,
    first: &Path,
    second: &Path,
    byte: u64,
    found: &mut Vec<String>,
) -> Result<()> {
    let before = found.len();
    if name.ends_with(".tar.zst") {
        let (one, other) = (unpacked(first)?, unpacked(second)?);
        compare(name, one.path(), other.path(), found)?;
    }
    if found.len() == before {
        found.push(format!("{name}: from byte {byte} on"));
    }
    Ok(())
}

fn unpacked(archive: &Path) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().context("no folder to unpack into")?;
    let mut tar = program("tar")
        .args(["--extract", "--no-same-owner", "--directory"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let mut input = tar.stdin.take().context("tar has no standard input")?;
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    zstd::stream::copy_decode(file, &mut input)
        .with_context(|| format!("cannot unpack {}", archive.display()))?;
    drop(input);
    ensure!(
        tar.wait()?.success(),
        "tar cannot unpack {}",
        archive.display()
    );
    Ok(folder)
}

fn entries(folder: &Path) -> Result<BTreeSet<String>> {
    let read = || -> io::Result<BTreeSet<String>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    };
    read().with_context(|| format!("cannot read {}", folder.display()))
}

/// The first byte that is not the same in both files; where one has ended, if it is the beginning of the other.
fn first_difference(first: &Path, second: &Path) -> Result<Option<u64>> {
    let open = |path: &Path| {
        File::open(path)
            .map(|file| BufReader::with_capacity(1 << 16, file))
            .with_context(|| format!("cannot read {}", path.display()))
    };
    let (mut one, mut other) = (open(first)?, open(second)?);
    let mut at = 0;
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let both = a.len().min(b.len());
        if let Some(byte) = a.iter().zip(b).position(|(a, b)| a != b) {
            return Ok(Some(at + byte as u64));
        }
        if both == 0 {
            return Ok((a.len() != b.len()).then_some(at));
        }
        at += both as u64;
        one.consume(both);
        other.consume(both);
    }
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;

//! Downloads through the machine's own apt: its mirrors, its proxies, many at once, resumed after a cut.

use super::lock::{Key, Package, PackageLock};
use super::mirror::Mirrors;
use crate::command::program;
use crate::failure::Failure;
use crate::{hash, ui};
use anyhow::{Context, Result};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How a download went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Verified files, under their store names.
    pub files: Vec<PathBuf>,
    /// Packages that the mirror no longer has.
    pub vanished: Vec<Key>,
}

/// Gets packages into the cache folder. Partial files stay in `partial/` and are continued next time.
pub fn download(
    lock: &PackageLock,
    keys: &[Key],
    mirrors: &Mirrors,
    cache: &Path,
) -> Result<Outcome> {
    let partial = cache.join("partial");
    fs::create_dir_all(&partial)
        .with_context(|| format!("cannot make the folder {}", partial.display()))?;
    let mut outcome = Outcome::default();
    let mut wanted: Vec<(&Key, &Package)> = Vec::new();
    let mut seen = HashSet::new();
    for key in keys {
        let package = &lock.packages[key];
        let file = cache.join(package.store_name());
        // One "all" package may be in the solutions of two architectures.
        if !seen.insert(file.clone()) {
            continue;
        }
        // What the cache has was verified when it came; verify again, disks do rot.
        if file.is_file() && hash::file_sha256(&file)? == package.sha256 {
            outcome.files.push(file);
        } else {
            wanted.push((key, package));
        }
    }
    if wanted.is_empty() {
        return Ok(outcome);
    }
    let total: u64 = wanted.iter().map(|(_, p)| p.size).sum();
    crate::workspace::check_space(cache, total, "the downloads")?;
    let begun: u64 = wanted
        .iter()
        .map(|(_, p)| size_of(&partial.join(p.store_name())))
        .sum();
    let there = if begun > 0 {
        format!(" ({} are there)", ui::bytes(begun))
    } else {
        String::new()
    };
    ui::say(format!(
        "downloading {} packages, {}{there}",
        wanted.len(),
        ui::bytes(total)
    ));
    let errors = apt_download(&wanted, mirrors, &partial, total)?;

    let mut refused = Vec::new();
    for (key, package) in wanted {
        let (came, place) = (
            partial.join(package.store_name()),
            cache.join(package.store_name()),
        );
        let _ = fs::remove_file(partial.join(format!("{}.FAILED", package.store_name())));
        let problem = errors.get(&mirrors.uri(&package.archive, &package.path));
        match problem {
            None if came.is_file() => match hash::file_sha256(&came)? {
                found if found == package.sha256 => {
                    fs::rename(&came, &place)
                        .with_context(|| format!("cannot write {}", place.display()))?;
                    outcome.files.push(place);
                }
                found => {
                    let _ = fs::remove_file(&came);
                    return Err(wrong_hash(package, &found));
                }
            },
            Some(Problem::WrongHash(found)) => {
                let _ = fs::remove_file(&came);
                return Err(wrong_hash(package, found));
            }
            Some(Problem::Gone) => outcome.vanished.push(key.clone()),
            Some(Problem::Other(text)) => refused.push(format!("{}: {text}", package.title())),
            None => refused.push(format!("{}: nothing was received", package.title())),
        }
    }
    if let Some(first) = refused.first() {
        crate::fail!(
            hint: "run the same command again: finished downloads are kept, and partial ones are resumed",
            "{} of the downloads failed, the first is {first}",
            refused.len()
        );
    }
    Ok(outcome)
}

fn size_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |m| m.len())
}

fn wrong_hash(package: &Package, found: &str) -> anyhow::Error {
    Failure {
        what: format!(
            "the mirror's {} is not the one in the lock:\n  expected sha256 {}\n  found    sha256 {found}\n  nothing of it was kept",
            package.title(),
            package.sha256
        ),
        hint: "a proxy or mirror may be broken: try another mirror in apt's sources; ./lichen lock, if you trust the new content".into(),
    }
    .into()
}

fn apt_download(
    wanted: &[(&Key, &Package)],
    mirrors: &Mirrors,
    partial: &Path,
    total: u64,
) -> Result<HashMap<String, Problem>> {
    let mut errors = HashMap::new();
    let mut live = ui::Live::new();
    let mut earlier = 0;
    // Keeps the command line well below the kernel's limit.
    for some in wanted.chunks(1000) {
        let mut command = program("/usr/lib/apt/apt-helper");
        command.args([
            "-q",
            "-o",
            "APT::Sandbox::User=",
            "-o",
            "Acquire::Retries=2",
            "download-file",
        ]);
        for (_, package) in some {
            command.arg(mirrors.uri(&package.archive, &package.path));
            command.arg(partial.join(package.store_name()));
            command.arg(format!("SHA256:{}", package.sha256));
        }
        let log = partial.join("errors.log");
        let file =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .context("cannot run apt-helper")?;
        let size = || -> u64 {
            some.iter()
                .map(|(_, p)| size_of(&partial.join(p.store_name())))
                .sum()
        };
        while child
            .try_wait()
            .context("cannot wait for apt-helper")?
            .is_none()
        {
            std::thread::sleep(Duration::from_millis(100));
            let done = earlier + size();
            live.update(&format!(
                "downloaded {} of {}, {}",
                ui::bytes(done),
                ui::bytes(total),
                ui::duration(live.elapsed())
            ));
        }
        earlier += size();
        errors.extend(problems(&String::from_utf8_lossy(
            &fs::read(&log).unwrap_or_default(),
        )));
        let _ = fs::remove_file(&log);
    }
    live.clear();
    if earlier > 0 {
        live.line(&format!(
            "downloaded {} in {}",
            ui::bytes(earlier),
            ui::duration(live.elapsed())
        ));
    }
    Ok(errors)
}

/// Why apt could not get an address.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// The mirror does not have it (any more).
    Gone,
    /// Something else came, with this SHA-256.
    WrongHash(String),
    /// In apt's words.
    Other(String),
}

/// apt-helper's complaints by address.
fn problems(text: &str) -> HashMap<String, Problem> {
    let mut all = HashMap::new();
    let mut received = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("E: Failed to fetch ") {
            let (uri, why) = rest.split_once(' ').unwrap_or((rest, ""));
            let why = why.trim();
            let gone = ["404", "410"].iter().any(|code| why.starts_with(code))
                || why.contains("File not found");
            received = why
                .starts_with("Hash Sum mismatch")
                .then(|| (uri.to_owned(), false));
            let problem = if gone {
                Problem::Gone
            } else {
                Problem::Other(why.to_owned())
            };
            all.insert(uri.to_owned(), problem);
        } else if let Some((uri, ours)) = &mut received {
            if line.contains("Hashes of received file") {
                *ours = true;
            } else if let (true, Some(found)) = (*ours, line.trim().strip_prefix("- SHA256:")) {
                all.insert(uri.clone(), Problem::WrongHash(found.to_owned()));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_apt_are_told_apart() {
        let text = "E: Failed to fetch http://m/a.deb  Hash Sum mismatch\n   Hashes of expected file:\n    - SHA256:1111\n\
            \u{20}  Hashes of received file:\n    - SHA256:2e6e\n    - Filesize:53080 [weak]\n\
            E: Failed to fetch http://m/b.deb  404  Not Found [IP: 203.0.113.80 80]\n\
            E: Failed to fetch http://m/c.deb  Could not connect to m:80\nE: Download Failed\n";
        let all = problems(text);
        assert_eq!(all["http://m/a.deb"], Problem::WrongHash("2e6e".into()));
        assert_eq!(all["http://m/b.deb"], Problem::Gone);
        assert_eq!(
            all["http://m/c.deb"],
            Problem::Other("Could not connect to m:80".into())
        );
        assert_eq!(all.len(), 3);
    }
}

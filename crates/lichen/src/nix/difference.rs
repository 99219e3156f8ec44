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

/// What there is at a path.
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
mod tests {
    use super::*;

    /// Two results of one step, made by a shell in two folders.
    fn results(first: &str, second: &str) -> (tempfile::TempDir, Vec<String>) {
        let place = tempfile::tempdir().unwrap();
        for (name, script) in [("one", first), ("other", second)] {
            let made = crate::command::run(
                program("sh")
                    .args(["-euc", script, place.path().join(name).to_str().unwrap()])
                    .current_dir(place.path()),
            );
            assert!(made.unwrap().status.success());
        }
        let found = between(
            "thing",
            &place.path().join("one"),
            &place.path().join("other"),
        );
        (place, found.unwrap())
    }

    #[test]
    fn equal_results_differ_in_nothing() {
        let script = r#"mkdir "$0"; echo 1 > "$0/file"; ln -s file "$0/link""#;
        assert!(results(script, script).1.is_empty());
    }

    #[test]
    fn a_differing_file_is_named_with_its_folder_and_the_byte() {
        let (_place, found) = results(
            r#"mkdir -p "$0/boot"; echo same > "$0/same"; echo abcd > "$0/boot/Image""#,
            r#"mkdir -p "$0/boot"; echo same > "$0/same"; echo abXd > "$0/boot/Image""#,
        );
        assert_eq!(found, ["thing/boot/Image: from byte 2 on"]);
    }

    #[test]
    fn a_file_that_goes_on_differs_where_the_other_ends() {
        let (_place, found) = results(r#"printf abc > "$0""#, r#"printf abcdef > "$0""#);
        assert_eq!(found, ["thing: from byte 3 on"]);
    }

    #[test]
    fn what_is_in_one_result_only_or_of_another_kind_is_told() {
        let (_place, found) = results(
            r#"mkdir "$0"; echo 1 > "$0/gone"; echo 1 > "$0/kind"; ln -s a "$0/link"; echo 1 > "$0/run""#,
            r#"mkdir "$0"; mkdir "$0/kind"; ln -s b "$0/link"; echo 1 > "$0/run"; chmod +x "$0/run""#,
        );
        assert_eq!(
            found,
            [
                "thing/gone: a file, then nothing",
                "thing/kind: a file, then a folder",
                "thing/link: a link to a, then a link to b",
                "thing/run: a file, then a program",
            ]
        );
    }

    /// `between` two archives of the same name.
    fn archives(first: &[(&str, &str)], second: &[(&str, &str)]) -> Vec<String> {
        let place = tempfile::tempdir().unwrap();
        let archive = |name: &str, members: &[(&str, &str)]| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            for (member, text) in members {
                fs::write(folder.join(member), text).unwrap();
            }
            let names = members.iter().map(|(member, _)| member);
            let tar = crate::command::bytes_of(
                program("tar")
                    .args(["--create", "--mtime=@1", "--directory"])
                    .arg(&folder)
                    .args(names),
            );
            let path = place.path().join(format!("{name}.archive"));
            fs::write(&path, zstd::encode_all(tar.unwrap().as_slice(), 1).unwrap()).unwrap();
            path
        };
        let (one, other) = (archive("one", first), archive("other", second));
        between("deps.tar.zst", &one, &other).unwrap()
    }

    #[test]
    fn an_archive_is_looked_into() {
        let found = archives(
            &[("dep-lib-crc32c", "a b c"), ("lib.rlib", "code")],
            &[("dep-lib-crc32c", "b a c"), ("lib.rlib", "code")],
        );
        assert_eq!(found, ["deps.tar.zst/dep-lib-crc32c: from byte 0 on"]);
    }

    #[test]
    fn an_archive_that_holds_the_same_in_another_order_differs_all_the_same() {
        let (a, b) = (("a", "1"), ("b", "2"));
        let found = archives(&[a, b], &[b, a]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("deps.tar.zst: from byte "),
            "{found:?}"
        );
    }
}

//! Finds the project's files: everything that git does not ignore, with or without a repository.

use crate::command::{bytes_of, program};
use anyhow::{Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The text files of the checkout, relative to it, without ignored and empty files.
pub fn of(root: &Path) -> Result<Vec<PathBuf>> {
    let mut git = program("git");
    // `git ls-files` would need a repository, but a checkout may also be a copy without one.
    git.args(["grep", "--no-index", "--exclude-standard", "--no-color"])
        .args(["--files-with-matches", "--null", "-I", "-e", ""])
        .current_dir(root);
    let files: Vec<PathBuf> = String::from_utf8_lossy(&bytes_of(&mut git)?)
        .split_terminator('\0')
        .map(PathBuf::from)
        .collect();
    if files.is_empty() {
        bail!("git sees no files in {}", root.display());
    }
    Ok(files)
}

/// Whether a file is a Rust source.
pub fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "rs")
}

/// Whether a file is a shell script, judged by its name or its first line.
pub fn is_shell(root: &Path, file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "sh")
        || first_line(&root.join(file)).is_some_and(|line| names_a_shell(&line))
}

fn first_line(file: &Path) -> Option<String> {
    let mut line = Vec::new();
    // The kernel reads no more of the line, either.
    let mut start = BufReader::new(File::open(file).ok()?.take(256));
    start.read_until(b'\n', &mut line).ok()?;
    String::from_utf8(line).ok()
}

/// Whether this "#!" line starts a shell: `#!/bin/sh -e`, `#!/usr/bin/env bash`, `#!/bin/busybox sh`.
fn names_a_shell(line: &str) -> bool {
    let Some(interpreter) = line.strip_prefix("#!") else {
        return false;
    };
    interpreter
        .split_whitespace()
        .filter(|word| !word.starts_with('-'))
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .find(|word| !["env", "busybox"].contains(word))
        .is_some_and(|program| ["sh", "ash", "bash", "dash", "ksh"].contains(&program))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_shell_is_known_by_the_first_line() {
        for line in [
            "#!/bin/sh",
            "#! /bin/sh -eu",
            "#!/usr/bin/env bash",
            "#!/usr/bin/env -S dash -e",
            "#!/bin/busybox sh",
        ] {
            assert!(names_a_shell(line), "{line}");
        }
        for line in [
            "#!/usr/bin/env python3",
            "#!/usr/bin/fish",
            "#![allow(unsafe_code)]",
            "echo /bin/sh",
            "",
        ] {
            assert!(!names_a_shell(line), "{line}");
        }
    }

    #[test]
    fn files_are_those_that_git_would_take_in_a_repository_and_out_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, content) in [
            (".gitignore", "/target\n"),
            ("target/left-over.sh", "what cargo made"),
            ("front door", "#!/bin/sh\n"),
            (".ci/run", "#!/bin/dash\n"),
            ("src/new.rs", "fn main() {}"),
            ("notes", "#! of shells"),
            ("picture", "#!/bin/sh\n\0"),
            ("lib.sh", "true"),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), content).unwrap();
        }
        for repository in [false, true] {
            if repository {
                bytes_of(program("git").args(["init", "-q"]).current_dir(root)).unwrap();
            }
            let mut files = of(root).unwrap();
            files.sort();
            let named = |wanted: &dyn Fn(&Path) -> bool| -> Vec<&str> {
                let wanted = files.iter().filter(|file| wanted(file));
                wanted.map(|file| file.to_str().unwrap()).collect()
            };
            assert_eq!(
                named(&|file| is_shell(root, file)),
                [".ci/run", "front door", "lib.sh"]
            );
            assert_eq!(named(&is_rust), ["src/new.rs"]);
        }
    }

    #[test]
    fn where_there_are_no_files_nothing_passes() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of(folder.path()).is_err());
    }
}

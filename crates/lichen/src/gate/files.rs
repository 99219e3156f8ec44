//! Finds the project's files: everything that git does not ignore, with or without a repository, and everything that it
//! tracks.

use crate::command::{last_words, program, run};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The text files of the checkout, relative to it, without empty files, and without ignored ones that git does not track.
pub fn of(root: &Path) -> Result<Vec<PathBuf>> {
    // `git ls-files` would need a repository, but a checkout may also be a copy without one.
    let mut files = text_files(root, &["--no-index", "--exclude-standard"])?;
    if root.join(".git").exists() {
        files.extend(text_files(root, &[])?);
    }
    if files.is_empty() {
        bail!("git sees no files in {}", root.display());
    }
    Ok(files.into_iter().collect())
}

/// The text files that `git grep` looks at: with these options, or else those that it tracks.
fn text_files(root: &Path, options: &[&str]) -> Result<BTreeSet<PathBuf>> {
    let mut git = program("git");
    // A checkout may belong to someone else, as it does in a container.
    git.args(["-c", "safe.directory=*", "grep", "--no-color"])
        .args(options)
        .args(["--files-with-matches", "--null", "-I", "-e", ""])
        .current_dir(root);
    let output = run(&mut git)?;
    // 1 means that there is none.
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!(
            "git cannot list the files of {}: {}",
            root.display(),
            last_words(&output)
        );
    }
    let names = output.stdout.split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    Ok(names
        .map(|name| PathBuf::from(OsStr::from_bytes(name)))
        .collect())
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
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// Whether this first line is that of a shell script: `#!/bin/sh -e`, `#!/usr/bin/env -S VARIABLE=value bash`,
/// `#!/bin/busybox sh`, or for a script without interpreter `# shellcheck shell=sh`.
fn names_a_shell(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}');
    if line.starts_with("# shellcheck shell=") {
        return true;
    }
    let Some(interpreter) = line.strip_prefix("#!") else {
        return false;
    };
    let mut words = interpreter.split_whitespace();
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    while let Some(word) = words.next() {
        match word {
            // Options of env that take a word.
            "-u" | "-C" | "--unset" | "--chdir" => drop(words.next()),
            option if option.starts_with('-') => {}
            variable if variable.contains('=') => {}
            word if ["env", "busybox"].contains(&name(word).as_str()) => {}
            word => return is_a_shell(&name(word)),
        }
    }
    false
}

/// Whether shellcheck understands what this program runs: `bash`, and also `bash-static` or `ksh93`.
fn is_a_shell(program: &str) -> bool {
    let versioned = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let program = program.strip_suffix("-static").unwrap_or(program);
    let program = program.trim_end_matches(versioned);
    ["sh", "ash", "bash", "dash", "ksh", "mksh", "rbash"].contains(&program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bytes_of;
    use std::fs;

    #[test]
    fn a_shell_is_known_by_the_first_line() {
        for line in [
            "#!/bin/sh",
            "#! /bin/sh -eu",
            "#!/usr/bin/env bash",
            "#!/usr/bin/env -S dash -e",
            "#!/bin/busybox sh",
            "#!/usr/bin/env -S LC_ALL=C bash -e",
            "#!/usr/bin/env -u HOME -i sh",
            "#!/bin/bash-static",
            "#!/usr/local/bin/bash5.2",
            "#!/bin/ksh93",
            "#!/bin/sh\r\n",
            "\u{feff}#!/bin/sh",
            "#!/bin/sh # \u{fffd}",
            "# shellcheck shell=sh",
        ] {
            assert!(names_a_shell(line), "{line}");
        }
        for line in [
            "#!/usr/bin/env python3",
            "#!/usr/bin/fish",
            "#!/usr/bin/env",
            "#!/usr/bin/env -S python3 sh",
            "# shellcheck disable=SC2086",
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
    fn a_tracked_file_counts_though_a_pattern_ignores_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, content) in [
            (".gitignore", "*.log\nbuild\n"),
            ("build/run.sh", "true"),
            ("build/left-over.sh", "true"),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), content).unwrap();
        }
        fs::write(root.join("odd"), b"#!/bin/sh # latin-1: \xe9\n").unwrap();
        let git = |args: &[&str]| bytes_of(program("git").args(args).current_dir(root)).unwrap();
        git(&["init", "-q"]);
        git(&["add", "--force", "build/run.sh"]);
        let mut files = of(root).unwrap();
        files.retain(|file| is_shell(root, file));
        assert_eq!(files, [Path::new("build/run.sh"), Path::new("odd")]);
    }

    #[test]
    fn where_there_are_no_files_nothing_passes() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of(folder.path()).is_err());
    }
}

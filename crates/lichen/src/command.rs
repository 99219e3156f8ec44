//! Running other programs: quietly, in one locale, and with their own words in the error.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// What the caller's environment must not tell the programs that we run: they work on our files, not on the caller's, and as
/// we say. Hooks of git set `GIT_DIR` and the like for everything that they start. The rest of the environment is the caller's
/// way to say how to reach proxies, keys, agents and stores.
const NOT_OURS: [&str; 12] = [
    "BASH_ENV",
    "BASHOPTS",
    "CDPATH",
    "ENV",
    "GREP_OPTIONS",
    "GZIP",
    "NIX_PATH",
    "POSIXLY_CORRECT",
    "SHELLOPTS",
    "TAR_OPTIONS",
    "XZ_OPT",
    "ZSTD_CLEVEL",
];

fn is_not_ours(variable: &str) -> bool {
    NOT_OURS.contains(&variable) || variable.starts_with("GIT_")
}

/// A program to run; its errors are always in English, so that they can be recognised.
#[expect(
    clippy::disallowed_methods,
    reason = "this sets what others would forget"
)]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command
        .env("LC_ALL", "C")
        .env("LANGUAGE", "")
        .stdin(Stdio::null());
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(is_not_ours) {
            command.env_remove(variable);
        }
    }
    command
}

/// Runs to the end and keeps both outputs, whatever the exit status.
pub fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .output()
        .with_context(|| format!("cannot run {name}"))
}

/// The standard output of a program that has to succeed.
pub fn stdout_of(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&bytes_of(command)?).into_owned())
}

/// As [`stdout_of`], for binary output.
pub fn bytes_of(command: &mut Command) -> Result<Vec<u8>> {
    let output = run(command)?;
    if !output.status.success() {
        bail!("{}: {}", describe(command), last_words(&output));
    }
    Ok(output.stdout)
}

/// "apt-get update": the program and its first argument that is not an option.
fn describe(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let short = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let mut args = command.get_args().map(OsStr::to_string_lossy);
    let mut verb = None;
    while let Some(arg) = args.next() {
        match arg.as_ref() {
            "-o" => drop(args.next()),
            a if a.starts_with('-') || a.starts_with('/') => {}
            a => {
                verb = Some(a.to_owned());
                break;
            }
        }
    }
    verb.map_or(short.clone(), |v| format!("{short} {v}"))
}

/// What a program said last, without the decoration apt puts in front.
pub fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let errors: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("E: ")).collect();
    match (errors.is_empty(), lines.last()) {
        (false, _) => errors.join("; "),
        (true, Some(last)) => (*last).to_owned(),
        (true, None) => format!("{}", output.status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_wants_of_other_programs_does_not_leak_in() {
        for variable in [
            "GIT_DIR",
            "GIT_WORK_TREE",
            "GIT_INDEX_FILE",
            "CDPATH",
            "TAR_OPTIONS",
        ] {
            assert!(is_not_ours(variable), "{variable}");
        }
        for variable in [
            "HOME",
            "PATH",
            "SSH_AUTH_SOCK",
            "https_proxy",
            "NIX_CONFIG",
            "NIX_REMOTE",
        ] {
            assert!(!is_not_ours(variable), "{variable}");
        }
    }
}

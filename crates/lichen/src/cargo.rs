//! Test programs, compiled by cargo.

use crate::command::program;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A test program that cargo has compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestProgram {
    /// The package and the target, such as `ticker tests/sync.rs`.
    pub name: String,
    /// Whether this is an integration test, a program of its own in `tests/`, and not the unit tests of a crate.
    pub integration: bool,
    /// The program.
    pub file: PathBuf,
    /// The folder of its package, in which cargo would run it.
    pub folder: PathBuf,
}

/// A message of `cargo --message-format json`; see cargo's reference, "External tools".
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    src_path: PathBuf,
}

/// Compiles the test programs that `cargo test` with these arguments would run. The compiler's words go to the file
/// `log`, and are shown if there is an error.
pub fn test_programs(
    workspace: &Workspace,
    arguments: &[&str],
    log: &Path,
) -> Result<Vec<TestProgram>> {
    let errors = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let output = program("cargo")
        .arg("test")
        .args(arguments)
        .args(["--no-run", "--color", "never"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(workspace.root())
        .stderr(errors)
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        eprint!("{}", fs::read_to_string(log).unwrap_or_default());
        crate::fail!(hint: format!("the whole log is {}", log.display()), "the tests do not compile");
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(test_program)
        .collect())
}

/// The test program that a message announces, if it announces one.
fn test_program(message: Message) -> Option<TestProgram> {
    let target = message
        .target
        .filter(|_| message.profile.is_some_and(|profile| profile.test))?;
    let folder = message.manifest_path?.parent()?.to_owned();
    let source = target
        .src_path
        .strip_prefix(&folder)
        .unwrap_or(&target.src_path);
    let package = folder.file_name()?.to_string_lossy();
    Some(TestProgram {
        name: format!("{package} {}", source.display()),
        integration: target.kind.iter().any(|kind| kind == "test"),
        file: message.executable?,
        folder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_cargo_made_the_test_programs_are_found() {
        let message = |test: bool, executable: &str| {
            let text = format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/ticker/Cargo.toml","profile":{{"test":{test}}},
                   "target":{{"kind":["test"],"name":"sync","src_path":"/w/crates/ticker/tests/sync.rs"}},"executable":{executable}}}"#
            );
            test_program(serde_json::from_str(&text).unwrap())
        };
        let sync = TestProgram {
            name: "ticker tests/sync.rs".into(),
            integration: true,
            file: "/w/target/debug/deps/sync-1".into(),
            folder: "/w/crates/ticker".into(),
        };
        assert_eq!(
            message(true, r#""/w/target/debug/deps/sync-1""#),
            Some(sync)
        );
        assert_eq!(message(false, r#""/w/target/debug/ticker""#), None);
        assert_eq!(message(true, "null"), None);
        let end = serde_json::from_str(r#"{"reason":"build-finished","success":true}"#).unwrap();
        assert_eq!(test_program(end), None);
    }
}

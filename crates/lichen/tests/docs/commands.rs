//! The commands that a document shows, and the programs that judge them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs whose commands are checked, besides `lichen` itself.
const OTHERS: [&str; 7] = [
    "lichenctl",
    "climate",
    "courier",
    "energy",
    "ticker",
    "recorder",
    "rack",
];

/// The commands in a piece of code, as words that begin with the program's name. Placeholders such as HOST are 1,
/// which is a name, a number and a path.
pub fn of(code: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for command in pipeline(code) {
        let mut words: &[String] = &command;
        while let Some((first, rest)) = words.split_first() {
            let name = first.strip_prefix("./").unwrap_or(first);
            if name == "lichen" || OTHERS.contains(&name) {
                // A name by itself, as in "the group `climate`", calls nothing.
                if !rest.is_empty() {
                    let mut command = vec![name.to_owned()];
                    command.extend(rest.iter().map(|word| placeholder(word)));
                    commands.push(command);
                }
                break;
            }
            words = match first.as_str() {
                "sudo" | "$" => rest,
                "ssh" => on_the_host(rest),
                "cargo" => through_cargo(rest),
                assignment if assignment.contains('=') => rest,
                _ => &[],
            };
            if let (Some(package), "cargo") = (words.first(), first.as_str())
                && OTHERS.contains(&package.as_str())
            {
                let mut command = vec![package.clone()];
                let dashes = words.iter().position(|word| word == "--");
                let arguments = dashes.map_or(&[][..], |at| &words[at + 1..]);
                command.extend(arguments.iter().map(|word| placeholder(word)));
                commands.push(command);
                break;
            }
        }
    }
    commands
}

/// The command that ssh runs: everything after its options and the host.
fn on_the_host(words: &[String]) -> &[String] {
    match words.split_first() {
        Some((option, rest)) if option.starts_with('-') => {
            let takes_a_value = ["-F", "-i", "-o", "-p"].contains(&option.as_str());
            on_the_host(rest.get(usize::from(takes_a_value)..).unwrap_or_default())
        }
        Some((_host, rest)) => rest,
        None => &[],
    }
}

/// The package that `cargo run` runs, and its arguments; nothing if it runs an example or another program of it.
fn through_cargo(words: &[String]) -> &[String] {
    let runs = words.first().is_some_and(|verb| verb == "run");
    let other = words
        .iter()
        .any(|word| word == "--example" || word == "--bin");
    match words.iter().position(|word| word == "-p") {
        Some(at) if runs && !other => &words[at + 1..],
        _ => &[],
    }
}

fn placeholder(word: &str) -> String {
    let is = |c: char| c.is_ascii_uppercase() || c == '_' || c == '-';
    let named = word.chars().any(|c| c.is_ascii_uppercase())
        && word.chars().all(is)
        && !word.starts_with('-');
    if named { "1".into() } else { word.to_owned() }
}

/// Splits a line of shell at `|`, `&&` and `;` into words, without comments, brackets and dots that stand for more.
fn pipeline(code: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut quoted, mut begun) = (String::new(), None, false);
    let finish = |word: &mut String, begun: &mut bool, words: &mut Vec<String>| {
        if std::mem::take(begun) {
            words.push(std::mem::take(word));
        }
    };
    for c in code.chars() {
        match (quoted, c) {
            (Some(mark), c) if c == mark => quoted = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quoted, begun) = (Some(c), true),
            (None, '#') if !begun => break,
            (None, '[' | ']' | '…') => {}
            (None, '|' | ';' | '&' | '>' | '<') => {
                finish(&mut word, &mut begun, &mut words);
                commands.push(std::mem::take(&mut words));
            }
            (None, c) if c.is_whitespace() => finish(&mut word, &mut begun, &mut words),
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    finish(&mut word, &mut begun, &mut words);
    commands.push(words);
    commands
}

/// The programs, and their answers so far.
#[derive(Debug, Default)]
pub struct Programs {
    verdicts: BTreeMap<Vec<String>, Result<(), String>>,
}

impl Programs {
    /// Whether the program that the first word names knows the verbs and options that follow.
    pub fn understands(&mut self, command: &[String]) -> Result<(), String> {
        if let Some(verdict) = self.verdicts.get(command) {
            return verdict.clone();
        }
        let verdict = ask(command);
        self.verdicts.insert(command.to_vec(), verdict.clone());
        verdict
    }

    /// How many different commands were judged.
    pub fn seen(&self) -> usize {
        self.verdicts.len()
    }
}

/// Adds `--help` to the command: the program then carries nothing out, and answers only if it understood everything
/// before it. Even if it did carry the command out, there is nothing here that it could damage.
#[expect(
    clippy::disallowed_methods,
    reason = "it is asked as a user would; what it says is compared with nothing but words of its own"
)]
fn ask(command: &[String]) -> Result<(), String> {
    let (name, words) = command.split_first().ok_or("it is empty")?;
    let words = words.split(|word| word == "--").next().unwrap_or_default();
    let nowhere = tempfile::tempdir().map_err(|error| error.to_string())?;
    let output = Command::new(program(name))
        .args(words)
        .arg("--help")
        .env_clear()
        .env("LICHEN_ROOT", nowhere.path())
        .current_dir(nowhere.path())
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().next().unwrap_or("it says nothing").to_owned())
        }
    }
}

/// Where a program is: beside this test, where all tests together put it, or else cargo builds it.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever reads cargo's errors here is a developer"
)]
fn program(name: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_lichen"));
    if name == "lichen" {
        return own.into();
    }
    let path = own.with_file_name(name);
    if !is_current(&path) {
        let target = path.ancestors().nth(2);
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", name, "--bin", name])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
            .arg("--target-dir")
            .arg(target.expect("programs are in a folder of the target folder"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cargo does not build {name}"
        );
    }
    path
}

/// Whether a program is newer than all its sources, which cargo lists beside it. When only the tests of this crate are
/// run, cargo does not build the programs of other crates.
fn is_current(program: &Path) -> bool {
    let modified = |file: &Path| file.metadata().and_then(|file| file.modified()).ok();
    let listed = std::fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let Some((_, sources)) = listed.split_once(": ") else {
        return false;
    };
    let made = modified(program);
    let mut sources = sources.split_whitespace().map(Path::new);
    made.is_some() && sources.all(|file| modified(file).is_some_and(|file| Some(file) <= made))
}

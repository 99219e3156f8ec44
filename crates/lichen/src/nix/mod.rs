//! Building with Nix: one call, its progress on standard error, its whole log in a file, one clean error.

mod difference;
mod errors;
mod events;
mod flake;

use crate::command::stdout_of;
use crate::failure::Failure;
use crate::store;
use crate::ui::{Live, duration, warn};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
pub use events::step_name;
use events::{Event, Steps};
use flake::Address;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// What to build from, and where the log goes.
#[derive(Debug, Clone)]
pub struct Nix<'a> {
    workspace: &'a Workspace,
    /// A healed lock that takes the place of the pinned one.
    lock: Option<PathBuf>,
    flake: OnceCell<Address>,
}

/// A thing that has been built.
#[derive(Debug)]
pub struct Built {
    /// Its derivation.
    pub derivation: PathBuf,
    /// Its output.
    pub output: PathBuf,
}

impl<'a> Nix<'a> {
    /// Builds from the checkout, on its own lock or on a healed one.
    pub fn new(workspace: &'a Workspace, lock: Option<PathBuf>) -> Self {
        Nix {
            workspace,
            lock,
            flake: OnceCell::new(),
        }
    }

    /// Builds one of the flake's outputs, such as `packages.x86_64-linux.climate-image`.
    pub fn build(&self, output: &str, link: Option<&Path>) -> Result<Built> {
        self.warn_of_untracked();
        let mut command = store::nix("nix");
        command.args([
            "build",
            "--json",
            "--log-format",
            "internal-json",
            "-v",
            "--no-write-lock-file",
        ]);
        match link {
            Some(link) => command.arg("--out-link").arg(link),
            None => command.arg("--no-link"),
        };
        command.args(self.target(output)?);
        let short = output.rsplit('.').next().unwrap_or(output);
        let log = self.workspace.build("log")?.join(format!("{short}.log"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run nix")?;
        let stderr = child.stderr.take().context("nix has no standard error")?;
        let mut file =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let steps = follow(BufReader::new(stderr), &mut file, short)?;
        let mut json = String::new();
        child
            .stdout
            .take()
            .context("nix has no standard output")?
            .read_to_string(&mut json)?;
        if !child.wait().context("cannot wait for nix")?.success() {
            return Err(self.explain(&steps, &log));
        }
        parse_built(&json)
            .with_context(|| format!("cannot understand what nix says about {output}"))
    }

    /// Builds a package of the flake, with a link of its name in `build/`, so that it stays while this checkout does.
    pub fn keep(&self, package: &str) -> Result<Built> {
        let link = self.workspace.build("")?.join(package);
        self.build(&format!("packages.x86_64-linux.{package}"), Some(&link))
    }

    /// The store paths that building these outputs of the flake may need: what every derivation in their closure gives.
    ///
    /// None for what can't be evaluated: building it says why, and where.
    pub fn store_paths_for(&self, outputs: &[&str]) -> Result<HashSet<PathBuf>> {
        let mut paths = HashSet::new();
        for output in outputs {
            let Ok(derivation) = self.eval(&format!("{output}.drvPath"), "path: path") else {
                continue;
            };
            let derivation = derivation
                .as_str()
                .context("nix gave a drvPath that is not a string")?;
            let steps = requisites(Path::new(derivation))?;
            let mut query = store::nix("nix-store");
            query.args(["--query", "--outputs"]).args(steps);
            paths.extend(stdout_of(&mut query)?.lines().map(PathBuf::from));
        }
        Ok(paths)
    }

    /// The value of one of the flake's outputs, through a Nix function.
    pub fn eval(&self, output: &str, apply: &str) -> Result<serde_json::Value> {
        let mut command = store::nix("nix");
        command.args(["eval", "--json", "--no-write-lock-file", "--apply", apply]);
        command.args(self.target(output)?);
        serde_json::from_str(&stdout_of(&mut command)?).context("nix did not print JSON")
    }

    /// A command that applies a Nix function to the whole flake, on the checkout's own lock, and evaluates what it gives.
    ///
    /// As purely as a build is: a flake may be got by its hash alone, so that it is copied into the store first.
    pub fn apply_to_flake(&self, function: &str) -> Result<Command> {
        let mut metadata = store::nix("nix");
        metadata.args(["flake", "metadata", "--json", "--no-write-lock-file"]);
        let metadata: serde_json::Value =
            serde_json::from_str(&stdout_of(metadata.arg(self.flake()?.to_string()))?)?;
        let (Some(source), Some(hash)) = (
            metadata["path"].as_str(),
            metadata["locked"]["narHash"].as_str(),
        ) else {
            anyhow::bail!("nix does not say where it copied the flake to, or its hash");
        };
        let mut command = store::nix("nix");
        command.args(["eval", "--json", "--expr"]).arg(format!(
            "({function}) (builtins.getFlake \"path:{source}?narHash={hash}\")"
        ));
        Ok(command)
    }

    /// The arguments that name one of the flake's outputs.
    fn target(&self, output: &str) -> Result<Vec<String>> {
        let flake = self.flake()?;
        Ok(match &self.lock {
            None => vec![format!("{flake}#{output}")],
            Some(lock) => {
                let outputs = format!(
                    "(builtins.getFlake \"{flake}\").lib.withLock {}",
                    flake::path_expression(lock)
                );
                vec![
                    "--impure".into(),
                    "--expr".into(),
                    format!("({outputs}).{output}"),
                ]
            }
        })
    }

    fn flake(&self) -> Result<&Address> {
        if let Some(address) = self.flake.get() {
            return Ok(address);
        }
        let address = Address::of(self.workspace.root())?;
        Ok(self.flake.get_or_init(|| address))
    }

    /// Nix takes from a git checkout only files that git knows: these it does not.
    fn untracked(&self) -> Vec<String> {
        let folders = ["appliances", "modules", "hardware", "image", "crates"];
        let mut git = crate::command::program("git");
        git.arg("-C")
            .arg(self.workspace.root())
            .args(["ls-files", "-z", "--others", "--exclude-standard", "--"])
            .args(folders);
        let text = crate::command::stdout_of(&mut git).unwrap_or_default();
        let files = text.split_terminator('\0');
        files.map(str::to_owned).collect()
    }

    fn warn_of_untracked(&self) {
        let files = self.untracked();
        if !files.is_empty() {
            let Failure { what, hint } = errors::untracked(&files);
            warn(format!("{what}: {hint}"));
        }
    }

    fn explain(&self, steps: &Steps, log: &Path) -> anyhow::Error {
        let read = |file: &str| std::fs::read_to_string(self.workspace.path(file)).ok();
        let untracked = self.untracked();
        errors::explain(steps, &read, &untracked, &log.display().to_string()).into()
    }
}

/// Shows what happens until nix is done.
fn follow(stderr: impl BufRead + Send + 'static, log: &mut File, what: &str) -> Result<Steps> {
    let mut steps = Steps::default();
    let mut live = Live::new();
    let (send, lines) = std::sync::mpsc::channel();
    // Time passes on the screen while nix has nothing to say.
    std::thread::spawn(move || stderr.split(b'\n').try_for_each(|line| send.send(line)));
    loop {
        live.update(&format!(
            "{what}: {}, {}",
            duration(live.elapsed()),
            steps.summary()
        ));
        let line = match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => line.context("cannot read nix's messages")?,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        match steps.take(&String::from_utf8_lossy(&line)) {
            Event::Finished { name, took, done } if took.as_secs() >= 1 => {
                live.line(&format!("built {name} ({}); {done}", duration(took)));
            }
            Event::Warning(text) => {
                live.clear();
                warn(text);
            }
            _ => {}
        }
        if let Some(text) = steps.log_line() {
            writeln!(log, "{text}").context("cannot write the log")?;
        }
    }
    live.clear();
    Ok(steps)
}

fn parse_built(json: &str) -> Result<Built> {
    let value: serde_json::Value = serde_json::from_str(json)?;
    let text = |pointer| {
        value
            .pointer(pointer)
            .and_then(serde_json::Value::as_str)
            .map(PathBuf::from)
    };
    let (derivation, output) = (text("/0/drvPath"), text("/0/outputs/out"));
    Ok(Built {
        derivation: derivation.context("no derivation")?,
        output: output.context("no output")?,
    })
}

/// The derivations behind one that are built rather than fetched, in the order they need each other.
pub fn own_derivations(of: &Path) -> Result<Vec<PathBuf>> {
    let mut own = Vec::new();
    for path in requisites(of)? {
        let derivation = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if !is_fixed(&derivation) {
            own.push(path);
        }
    }
    Ok(own)
}

/// Every derivation in a derivation's closure, itself included.
fn requisites(of: &Path) -> Result<Vec<PathBuf>> {
    let mut query = store::nix("nix-store");
    let text = stdout_of(query.args(["--query", "--requisites"]).arg(of))?;
    let derivations = text.lines().filter(|line| line.ends_with(".drv"));
    Ok(derivations.map(PathBuf::from).collect())
}

/// Whether a derivation's output is known by its hash: `Derive([("out","PATH","sha256","HASH")…`.
fn is_fixed(derivation: &str) -> bool {
    derivation
        .split('"')
        .nth(5)
        .is_some_and(|algorithm| !algorithm.is_empty())
}

/// Builds a derivation a second time and tells what differs: nothing, if the results are equal.
pub fn same_again(derivation: &Path) -> Result<Vec<String>> {
    let name = step_name(derivation);
    let again = crate::command::run(
        store::nix("nix-store")
            .args(["--realise", "--check", "--keep-failed"])
            .arg(derivation),
    )?;
    let said = String::from_utf8_lossy(&again.stderr);
    if let Some(folder) = kept_folder(&said) {
        remove(folder);
    }
    if again.status.success() {
        return Ok(Vec::new());
    }
    if !said.contains("may not be deterministic") {
        return Err(Failure {
            what: format!(
                "cannot build {name} again: {}",
                crate::command::last_words(&again)
            ),
            hint: format!("nix-store --realise --check {}", derivation.display()),
        }
        .into());
    }
    let first = output_of(&std::fs::read_to_string(derivation)?)
        .with_context(|| format!("{} has no output", derivation.display()))?;
    let mut second = first.clone().into_os_string();
    second.push(".check");
    let second = PathBuf::from(second);
    let found = difference::between(&name, &first, &second);
    remove(&second);
    let mut found = found?;
    if found.is_empty() {
        found.push(format!("{name}: Nix says so, but its files are the same"));
    }
    Ok(found)
}

/// The build's folder, which Nix leaves along with a result that differs.
fn kept_folder(said: &str) -> Option<&Path> {
    let (_, rest) = said.split_once("keeping build directory '")?;
    rest.split('\'').next().map(Path::new)
}

/// The path of a derivation's output: `Derive([("out","PATH"…`.
fn output_of(derivation: &str) -> Option<PathBuf> {
    derivation.split('"').nth(3).map(PathBuf::from)
}

/// Removes what a check has left behind, where folders are read-only.
fn remove(path: &Path) {
    let _ = crate::command::run(
        crate::command::program("chmod")
            .args(["--recursive", "u+w"])
            .arg(path),
    );
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    if let Err(error) = removed {
        warn(format!("cannot remove {}: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetched_and_built_derivations_are_told_apart() {
        assert!(!is_fixed(
            r#"Derive([("out","/nix/store/x-good","","")],[],"#
        ));
        assert!(is_fixed(
            r#"Derive([("out","/nix/store/x-bash.deb","sha256","5891")],[],"#
        ));
    }

    #[test]
    fn a_derivation_tells_its_output_and_a_check_what_it_left() {
        let output = output_of(r#"Derive([("out","/nix/store/x-good","","")],[],"#);
        assert_eq!(output, Some("/nix/store/x-good".into()));
        let said = "error: derivation '/nix/store/x.drv' may not be deterministic\n\
                    note: keeping build directory '/tmp/nix-build-x.drv-0'\n";
        assert_eq!(kept_folder(said), Some(Path::new("/tmp/nix-build-x.drv-0")));
        assert_eq!(kept_folder("checking outputs of '/nix/store/x.drv'"), None);
    }

    #[test]
    fn steps_are_named_without_their_hash() {
        let path = Path::new("/nix/store/9xcrm99q63m00a3wccxazxxxp1s5r63j-base-layer.drv");
        assert_eq!(step_name(path), "base-layer");
    }

    #[test]
    fn what_was_built_is_read_from_json() {
        let built =
            parse_built(r#"[{"drvPath":"/nix/store/a.drv","outputs":{"out":"/nix/store/a"}}]"#)
                .unwrap();
        assert_eq!(built.output, Path::new("/nix/store/a"));
    }
}

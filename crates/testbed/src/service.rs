//! A service of this project on the host: cargo builds it, and its hardware is simulated.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use emulator::free_port;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Leashed};
use crate::{Web, wait_until};

/// How long a build with all dependencies may take beside other builds.
const BUILD: Duration = Duration::from_secs(1200);
const START: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// A service that runs, with a state directory of its own.
#[derive(Debug)]
pub struct Service {
    name: String,
    port: u16,
    folder: TempDir,
    program: Leashed,
}

impl Service {
    /// Starts `crates/<name>` of the checkout at `root`, which is an input, with `run --simulate`, and waits until it is
    /// ready.
    pub fn simulated(root: &Path, name: &str) -> Result<Self> {
        Self::prepared(root, name, |_, _| Ok(()))
    }

    /// The same with what `prepare` puts into two empty directories before: that of its state, and that of its secrets,
    /// each of which is a file with the secret's full name.
    pub fn prepared(
        root: &Path,
        name: &str,
        prepare: impl FnOnce(&Path, &Path) -> Result<()>,
    ) -> Result<Self> {
        let program = build(root, name)?;
        let folder = tempfile::Builder::new().prefix("lichen-").tempdir()?;
        let [config, state, secrets] =
            ["config.json", "state", "secrets"].map(|part| folder.path().join(part));
        let port = free_port()?;
        fs::create_dir(&state)?;
        fs::create_dir(&secrets)?;
        prepare(&state, &secrets)?;
        fs::write(
            &config,
            json!({ "http": { "address": "127.0.0.1", "port": port } }).to_string(),
        )?;
        let mut command = Command::new(program);
        command
            .args(["run", "--config"])
            .arg(&config)
            .arg("--simulate")
            .env("STATE_DIRECTORY", &state)
            .env("CREDENTIALS_DIRECTORY", &secrets);
        let program = Leashed::start(&command, &folder.path().join("log"), LONGEST)?;
        let service = Self {
            name: name.to_owned(),
            port,
            folder,
            program,
        };
        wait_until(&format!("{name} to be ready"), START, || {
            if let Some(status) = service.program.ended()? {
                return Ok(Err(anyhow::anyhow!(
                    "{name} --simulate: {status}: {}",
                    service.log()
                )));
            }
            service.web().get("/health/ready")?.success()?;
            Ok(Ok(()))
        })??;
        Ok(service)
    }

    /// The crate's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it serves.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its HTTP.
    pub fn web(&self) -> Web {
        Web::new(self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The program, as cargo makes it.
fn build(root: &Path, name: &str) -> Result<String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args([
            "build",
            "--quiet",
            "--message-format=json",
            "--package",
            name,
            "--bin",
            name,
        ])
        .current_dir(root);
    let built = process::finish(&mut cargo, b"", BUILD)?;
    let complaint = String::from_utf8_lossy(&built.stderr);
    ensure!(
        built.status.success(),
        "cargo build --package {name}: {}",
        complaint.trim()
    );
    for line in String::from_utf8_lossy(&built.stdout).lines() {
        let message: Value = serde_json::from_str(line).context("cargo's messages are JSON")?;
        if let Some(program) = message["executable"].as_str() {
            return Ok(program.to_owned());
        }
    }
    bail!("crates/{name} has no program {name}")
}

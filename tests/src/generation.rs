//! Generations to deploy in stories: variants of the climate appliance, from tests/generations.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use testbed::{Context, Machine, Output, Result, ensure};

/// The time limit for unpacking a closure, registering it and syncing, on an emulated processor.
const DEPLOY: Duration = Duration::from_secs(180);

/// The variant of the appliance that is in tests/generations/`name`.nix.
#[derive(Debug, Clone)]
pub struct Generation {
    /// Its toplevel.
    pub toplevel: String,
    archive: PathBuf,
    registration: PathBuf,
}

impl Generation {
    /// Finds it among the inputs.
    pub fn named(name: &str) -> Result<Self> {
        let toplevel = testbed::input(&format!("generation {name}"))
            .with_context(|| format!("there is no tests/generations/{name}.nix"))?;
        let file = |kind: &str| toplevel.with_extension(kind);
        let toplevel = fs::read_to_string(&toplevel)
            .with_context(|| format!("read {}", toplevel.display()))?;
        Ok(Self {
            toplevel: toplevel.trim().to_owned(),
            archive: file("tar.zst"),
            registration: file("registration"),
        })
    }

    /// Copies its closure onto the machine, with the same result as a copy by Nix.
    pub fn copy_to(&self, machine: &Machine) -> Result<&Self> {
        let put = |command: &str, file: &PathBuf| -> Result<()> {
            let bytes = fs::read(file)?;
            let output = machine.ssh().run(command, &bytes, DEPLOY)?;
            output.success(command).map(drop)
        };
        // It has to be durable before it is registered; Nix's own copying does that with `fsync-store-paths`.
        put(
            "tar -x --zstd -C / --keep-old-files -f - && sync -f /nix",
            &self.archive,
        )?;
        put("nix-store --load-db", &self.registration)?;
        Ok(self)
    }

    /// Activates it the way NixOS's tools do.
    pub fn activate(&self, machine: &Machine, verb: &str) -> Result<Output> {
        let command = format!("{}/bin/switch-to-configuration {verb}", self.toplevel);
        machine.ssh().run(&command, b"", DEPLOY)
    }

    /// Checks with `lichenctl status` and the link that this generation runs.
    pub fn runs_on(&self, machine: &Machine) -> Result<()> {
        let link = machine.sh("readlink /run/current-system")?;
        ensure!(
            link.trim() == self.toplevel,
            "{} runs, not {}",
            link.trim(),
            self.toplevel
        );
        let status = status(machine)?;
        ensure!(status["toplevel"] == self.toplevel.as_str(), "{status}");
        Ok(())
    }
}

/// The output of `lichenctl status`.
pub fn status(machine: &Machine) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(
        &machine.sh("lichenctl status --json")?,
    )?)
}

/// The running toplevel.
pub fn running(machine: &Machine) -> Result<String> {
    Ok(machine
        .sh("readlink /run/current-system")?
        .trim()
        .to_owned())
}

//! A channel written by `lichen publish`, on a web server for machines; and machines that follow it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testbed::{Context, Files, Machine, Result, ensure};

use crate::{Generation, status};

/// The secret key to the public one in tests/generations/follows.nix: a seed of 32 zeros.
const KEY: &str = "test-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7aie8zrakLWKjqNAqbw1zZTIVdx3iQ6Y6wEihi1naKQ==";
/// The time limit for copying a closure and a live switch, on an emulated processor.
const UPDATE: Duration = Duration::from_secs(300);

/// A folder with a binary cache and a channel.
#[derive(Debug)]
pub struct Published {
    root: tempfile::TempDir,
    folder: PathBuf,
    files: Files,
    to: String,
    environment: Vec<(&'static str, String)>,
}

impl Published {
    /// Creates an empty folder and serves it.
    pub fn new() -> Result<Self> {
        let root = tempfile::tempdir()?;
        fs::write(root.path().join("key.sec"), KEY)?;
        let folder = root.path().join("bucket/fleet");
        fs::create_dir_all(&folder)?;
        Ok(Self {
            files: Files::serve(&folder)?,
            to: folder.display().to_string(),
            environment: Vec::new(),
            root,
            folder,
        })
    }

    /// The folder that an S3 server has to serve for [`Self::through_s3`].
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Lets the owner publish through an S3 server on this port. Machines still read from the folder.
    pub fn through_s3(&mut self, port: u16, key: &str, secret: &str) {
        self.to = format!("s3://bucket/fleet?endpoint=127.0.0.1:{port}&scheme=http");
        self.environment = vec![
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ];
    }

    /// Publishes a generation on the channel stable, as its owner would.
    pub fn publish(&self, generation: &Generation) -> Result<()> {
        let mut lichen = Command::new(testbed::input("lichen")?);
        lichen.args(["publish", "climate", "--toplevel", &generation.toplevel]);
        lichen.arg("--to").arg(&self.to);
        lichen.arg("--key").arg(self.root().join("key.sec"));
        lichen.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = lichen.output().context("lichen publish")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "lichen publish: {said}");
        Ok(())
    }

    /// The channel's file.
    pub fn channel(&self) -> Result<String> {
        Ok(fs::read_to_string(self.channel_file())?)
    }

    /// Replaces the channel's file.
    pub fn replace_channel(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.channel_file(), text)?)
    }

    fn channel_file(&self) -> PathBuf {
        self.folder.join("channels/climate/stable.json")
    }

    /// The path on the server of a store path's archive.
    pub fn archive(&self, store_path: &str) -> Result<String> {
        let name = store_path.rsplit('/').next().unwrap_or_default();
        let hash = name.split('-').next().unwrap_or_default();
        let info = fs::read_to_string(self.folder.join(format!("{hash}.narinfo")))?;
        let url = info.lines().find_map(|line| line.strip_prefix("URL: "));
        Ok(format!("/{}", url.context("a narinfo without URL")?))
    }

    /// The server.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Lets a machine follow the channel until it boots or switches; its configuration cannot know the server's port.
    pub fn followed_by(&self, machine: &Machine) -> Result<()> {
        let file = "/etc/lichen/update.json";
        let mut config: Value = serde_json::from_str(&machine.sh(&format!("cat {file}"))?)?;
        config["url"] = self.files.url().into();
        machine.write_file(file, config.to_string().as_bytes())
    }

    /// Starts the unit that the machine's timer would start, waits for its end, and returns its part of
    /// `lichenctl status`.
    pub fn strike(&self, machine: &Machine) -> Result<Value> {
        self.followed_by(machine)?;
        let command = "systemctl start lichenctl-update.service";
        let output = machine.ssh().run(command, b"", UPDATE)?;
        output.success(command)?;
        Ok(status(machine)?["update"].clone())
    }
}

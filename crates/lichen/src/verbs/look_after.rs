//! `lichen status`, `rollback`, `secret`: the verbs for running devices.

use crate::remote::{Device, Ended, SshArgs};
use crate::ui;
use anyhow::{Context, Result};
use protocol::Generation;
use protocol::command::{Command, Outcome};
use protocol::progress::{Event, Listener};
use protocol::status::Status;
use std::collections::BTreeMap;

/// Show the state of devices, one screen for each
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Devices, as ssh knows them
    #[arg(required = true)]
    hosts: Vec<String>,
    /// Print it as JSON, by host
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ssh: SshArgs,
}

/// Return a device to an earlier generation
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The device, as ssh knows it
    host: String,
    /// The generation; without it the good one, or from that one the one before
    generation: Option<u64>,
    #[command(flatten)]
    ssh: SshArgs,
}

/// The secrets that a device makes by itself
#[derive(Debug, clap::Args)]
pub struct SecretArgs {
    #[command(subcommand)]
    verb: SecretVerb,
}

#[derive(Debug, clap::Subcommand)]
enum SecretVerb {
    /// Make a new value, and restart the running services that take it
    Rotate {
        /// The device, as ssh knows it
        host: String,
        /// The name of the secret
        name: String,
        #[command(flatten)]
        ssh: SshArgs,
    },
}

/// Runs `lichen status`.
pub fn status(args: &StatusArgs) -> Result<()> {
    let mut all = BTreeMap::new();
    let mut failed = Vec::new();
    for host in &args.hosts {
        match one(host, &args.ssh) {
            Ok(status) if !args.json => {
                // Two devices may have the same host name.
                if args.hosts.len() > 1 {
                    println!("{host}:");
                }
                ui::result(status);
            }
            Ok(status) => drop(all.insert(host, status)),
            Err(error) => {
                ui::warn(format!("{error:#}"));
                if let Some(hint) = crate::failure::hint_of(&error) {
                    ui::say(format!("hint: {hint}"));
                }
                failed.push(host.as_str());
            }
        }
    }
    if args.json {
        println!("{}", in_ascii(&serde_json::to_string_pretty(&all)?));
    }
    anyhow::ensure!(failed.is_empty(), "no answer from {}", failed.join(", "));
    Ok(())
}

/// The same JSON without control characters that JSON would let through and a terminal obeys.
fn in_ascii(json: &str) -> String {
    let escaped = |c: char| match c {
        '\n' => c.to_string(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    json.chars().map(escaped).collect()
}

fn one(host: &str, ssh: &SshArgs) -> Result<Status> {
    let said = Device::connect(host, ssh)?.order(&Command::Status, b"")?;
    serde_json::from_str(&said).with_context(|| format!("cannot understand the status of {host}"))
}

/// Runs `lichen rollback`.
pub fn rollback(args: &RollbackArgs) -> Result<()> {
    let device = Device::connect(&args.host, &args.ssh)?;
    let order = Command::Rollback {
        generation: args.generation.map(Generation),
    };
    let ended = tell(&device, &order)?;
    if Outcome::of(ended.code) == Outcome::Unsuccessful {
        ui::warn("the requested generation runs, but it is not healthy");
    }
    device.success(ended).map(drop)
}

/// Runs `lichen secret`.
pub fn secret(args: &SecretArgs) -> Result<()> {
    let SecretVerb::Rotate { host, name, ssh } = &args.verb;
    let device = Device::connect(host, ssh)?;
    let ended = tell(&device, &Command::RotateSecret { name })?;
    device.success(ended).map(drop)
}

/// Has a device carry out a command, and passes on what it says meanwhile.
fn tell(device: &Device, command: &Command<'_>) -> Result<Ended> {
    let mut listener = Listener::default();
    let mut heard = |line: &str| {
        if let Some(Event::Said { text }) = listener.hear(line) {
            ui::say(format!("{}: {text}", device.host));
        }
    };
    device.run(&command.line(), &mut |_| Ok(()), &mut heard)
}

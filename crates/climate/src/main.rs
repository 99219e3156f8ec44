//! `climate`: the service, and the commands that look after its state.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use climate::config::Config;
use climate::{history, import};

/// Watches temperature and humidity of a server room
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    service: appliance::Args,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy the history, alert state and webhook settings to FILE while the service runs
    Backup {
        /// The file to write, - for stdout
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Replace the history, alert state and webhook settings by those of FILE while the service runs
    Restore {
        /// A file that `climate backup` wrote
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Turn an .env file into configuration (config.json on stdout) and secrets
    ImportEnv {
        /// The .env file
        file: PathBuf,
        /// Write the lines for lichen.toml, which are secret, to FILE instead of naming them only
        #[arg(long, value_name = "FILE")]
        secrets: Option<PathBuf>,
        /// Print the lines for the appliance's configuration instead of config.json
        #[arg(long)]
        nix: bool,
    },
}

/// Where the history is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The service's state directory
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/climate")]
    state_directory: PathBuf,
}

impl Place {
    fn history(&self) -> PathBuf {
        self.state_directory.join(history::FILE)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => appliance::main::<Config, _, _>("climate", cli.service, climate::run),
        Some(command) => appliance::report(run(command)),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Backup { file, place } => {
            let readings = history::back_up(&place.history(), &file)?;
            eprintln!("{readings} readings backed up to {}", file.display());
        }
        Command::Restore { file, place } => {
            let readings = history::restore(&file, &place.history())?;
            eprintln!("{readings} readings restored from {}", file.display());
        }
        Command::ImportEnv { file, secrets, nix } => import_env(&file, secrets.as_deref(), nix)?,
    }
    Ok(())
}

fn import_env(file: &Path, secrets: Option<&Path>, nix: bool) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let imported = import::import(&text)
        .map_err(|problem| anyhow::anyhow!("{}: {problem}", file.display()))?;
    match nix {
        true => print!("{}", imported.nix()),
        false => println!("{:#}", imported.config),
    }
    for note in &imported.notes {
        eprintln!("note: {note}");
    }
    match secrets {
        Some(path) => {
            write_secrets(path, &imported.lichen_toml())?;
            eprintln!(
                "secrets written to {}: put these lines into lichen.toml on the BOOT partition",
                path.display()
            );
        }
        None if !imported.secrets.is_empty() => {
            let names: Vec<&str> = imported.secrets.keys().copied().collect();
            eprintln!("not printed because they are secret: {}", names.join(", "));
            eprintln!("hint: climate import-env {} --secrets FILE", file.display());
        }
        None => {}
    }
    Ok(())
}

/// Only its owner may read it, from the first byte on; nothing is overwritten.
fn write_secrets(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

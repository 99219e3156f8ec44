//! `climate`: the service, and the commands that look after its state.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use climate::config::Config;
use climate::{history, import};
use kit::import::ImportEnv;

/// Watches temperature and humidity of a server room
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    service: kit::Args,

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
    ImportEnv(ImportEnv),
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
        None => kit::main::<Config, _, _>("climate", cli.service, climate::run),
        Some(command) => kit::report(run(command)),
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
        Command::ImportEnv(command) => command.run(import::import)?,
    }
    Ok(())
}

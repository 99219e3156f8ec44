//! `energy`: the dashboard, the sync, and the commands that look after the cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use energy::config::Config;
use energy::{cache, import, kiosk, sync};
use kit::import::ImportEnv;

/// Shows prices and usage of electricity
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    /// Without a command: the dashboard
    #[command(flatten)]
    service: kit::Args,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page, the API and the metrics
    Dashboard(kit::Args),
    /// Look at Amber once, into the cache; exit status 75 if Amber or the network fails
    Sync(kit::Args),
    /// Show the dashboard at PAGE in a browser, until that ends or its page stands still
    Kiosk {
        /// The dashboard's address
        page: String,
        /// The browser and its arguments
        #[arg(last = true, required = true, value_name = "BROWSER")]
        command: Vec<OsString>,
    },
    /// Copy the cache to FILE while the service runs
    Backup {
        /// The file to write, - for stdout
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Replace the cache by FILE while the service runs, or take over what another program has cached in FILE
    Restore {
        /// A file that `energy backup` wrote, or another program's SQLite file
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    ImportEnv(ImportEnv),
}

/// Where the cache is.
#[derive(Debug, clap::Args)]
struct Place {
    /// The service's state directory
    #[arg(long, value_name = "DIRECTORY", default_value = import::STATE_DIRECTORY)]
    state_directory: PathBuf,
}

impl Place {
    fn cache(&self) -> PathBuf {
        self.state_directory.join(cache::FILE)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let dashboard = |args| kit::main::<Config, _, _>("energy", args, energy::run);
    match cli.command {
        None => dashboard(cli.service),
        Some(Command::Dashboard(args)) => dashboard(args),
        Some(Command::Sync(args)) => kit::job::<Config>("energy", args, |config, credentials| {
            sync::run(&config, &credentials)
        }),
        Some(Command::Kiosk { page, command }) => kit::report(kiosk::run(&page, &command)),
        Some(Command::Backup { file, place }) => kit::report(back_up(&file, &place)),
        Some(Command::Restore { file, place }) => kit::report(restore(&file, &place)),
        Some(Command::ImportEnv(command)) => kit::report(command.run(import::import)),
    }
}

fn back_up(file: &Path, place: &Place) -> anyhow::Result<()> {
    let prices = cache::back_up(&place.cache(), file)?;
    eprintln!("{prices} prices backed up to {}", file.display());
    Ok(())
}

fn restore(file: &Path, place: &Place) -> anyhow::Result<()> {
    let restored = cache::restore(file, &place.cache())?;
    eprintln!("{}: {restored}", file.display());
    Ok(())
}

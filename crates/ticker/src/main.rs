//! `ticker`: the service, and the commands beside it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use kit::{Args, EXIT_CONFIG, read_config};
use ticker::config::Config;
use ticker::{status, sync};

/// Something was left undone for now, and may succeed later (EX_TEMPFAIL of sysexits).
const EXIT_LATER: u8 = 75;

/// Keeps market data: WebSocket feeds to Parquet files to S3
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    /// Check the configuration in FILE, say what is wrong with it, and exit (64 if anything is)
    #[arg(long, value_name = "FILE")]
    check_config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Listen to the feeds and write files
    Run {
        #[command(flatten)]
        service: Args,
        /// Seconds between two lines of statistics
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        stats_interval: u64,
    },
    /// Upload complete files, and delete what is old and safely stored
    Sync {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        wishes: sync::Wishes,
    },
    /// Show how the service, its files and the last sync are
    Status {
        #[command(flatten)]
        config: ConfigFile,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// Which configuration.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// Read the configuration from FILE
    #[arg(long, value_name = "FILE", default_value = "/etc/ticker/config.json")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Run {
            service,
            stats_interval,
        }) => run(service, stats_interval),
        None if cli.check_config.is_some() => {
            let check_config = cli.check_config;
            run(
                Args {
                    check_config,
                    ..Args::default()
                },
                30,
            )
        }
        None => {
            let _ = Cli::command().print_help();
            ExitCode::from(EXIT_CONFIG)
        }
        Some(Command::Sync { config, wishes }) => {
            let args = Args {
                config: Some(config.config),
                ..Args::default()
            };
            kit::job("ticker", args, move |config: Config, credentials| {
                let synced = sync::run(&config, &directory(&config), &credentials, wishes);
                Ok(match synced {
                    Ok(_) => ExitCode::SUCCESS,
                    Err(error) => {
                        eprintln!("error: {error:#}");
                        ExitCode::from(EXIT_LATER)
                    }
                })
            })
        }
        Some(Command::Status { config, json }) => match read_config::<Config>(&config.config) {
            Ok(config) => kit::report(show(&config, json)),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(EXIT_CONFIG)
            }
        },
    }
}

fn show(config: &Config, json: bool) -> anyhow::Result<()> {
    let status = status::of(config, &directory(config))?;
    match json {
        true => println!("{status:#}"),
        false => println!("{}", status::in_words(&status)),
    }
    Ok(())
}

fn run(service: Args, stats_interval: u64) -> ExitCode {
    let interval = Duration::from_secs(stats_interval);
    kit::main::<Config, _, _>("ticker", service, move |config, kit| {
        ticker::run(config, kit, interval)
    })
}

/// Whoever calls a command by hand has not the environment that systemd gives the service.
fn directory(config: &Config) -> PathBuf {
    let directory = config.directory();
    directory.unwrap_or_else(|| "/var/lib/ticker".into())
}

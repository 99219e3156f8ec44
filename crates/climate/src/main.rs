//! `climate`: the service, and the commands that look after its state.

use std::process::ExitCode;

use clap::Parser;

/// Watches temperature and humidity of a server room
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    service: appliance::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    appliance::main("climate", cli.service, climate::run)
}

//! The host command: it locks, fetches, builds, runs and tests appliances. Each verb is one module.

mod bootstrap;
mod command;
mod crates_io;
mod debian;
mod failure;
mod hash;
mod nix;
mod store;
mod ui;
mod verbs;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

/// Small Linux appliances from a page of configuration
#[derive(Debug, Parser)]
#[command(name = "lichen", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Build(verbs::build::BuildArgs),
    Lock(verbs::lock::LockArgs),
    Fetch(verbs::fetch::Fetch),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = Workspace::find().and_then(|workspace| match &cli.verb {
        Verb::Build(args) => verbs::build::run(&workspace, args),
        Verb::Lock(args) => verbs::lock::run(&workspace, args),
        Verb::Fetch(args) => verbs::fetch::run(&workspace, args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(failure) = error.downcast_ref::<failure::Failure>() {
                eprintln!("hint: {}", failure.hint);
            }
            ExitCode::FAILURE
        }
    }
}

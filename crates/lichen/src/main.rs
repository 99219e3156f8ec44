//! The host command: it locks, fetches, builds, runs and tests appliances. Each verb is one module.

mod ask;
mod bootstrap;
mod card;
mod command;
mod crates_io;
mod debian;
mod failure;
mod flash;
mod hash;
mod imager;
mod lichen_toml;
mod nix;
mod store;
mod ui;
mod verbs;
mod vm;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

const HELP: &str = "\
Small Linux appliances from a page of configuration

Usage: ./lichen COMMAND

Make:
  build APPLIANCE   Build the SD-card image; prints its path [--locked] [--check]
Run:
  vm APPLIANCE      Boot it in QEMU and say where it answers [--detach] [--http PORT] [--ssh PORT] [--fresh] [--stop]
Deliver:
  flash APPLIANCE DEVICE
                    Write it to a card and read it back [--list] [--hostname NAME] [--ssh-key FILE] [--wifi SSID]
Look after:
  lock              Resolve the package lists with apt's own solver [--check]
  fetch             Download every locked package and crate; after it no build needs a network
  test              Run the tests [--quick] [--slow]
  bench             Measure builds, sizes, booting, memory and latency; prints a table
  docs              Write the reference of all options

./lichen COMMAND --help tells more.";

/// Small Linux appliances from a page of configuration
#[derive(Debug, Parser)]
#[command(name = "lichen", version, override_help = HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Build(verbs::build::BuildArgs),
    Vm(verbs::vm::VmArgs),
    Flash(verbs::flash::FlashArgs),
    Lock(verbs::lock::LockArgs),
    Fetch(verbs::fetch::Fetch),
    Test(verbs::test::TestArgs),
    Docs(verbs::docs::DocsArgs),
    Bench(verbs::bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = Workspace::find().and_then(|workspace| match &cli.verb {
        Verb::Build(args) => verbs::build::run(&workspace, args),
        Verb::Vm(args) => verbs::vm::run(&workspace, args),
        Verb::Flash(args) => verbs::flash::run(&workspace, args),
        Verb::Lock(args) => verbs::lock::run(&workspace, args),
        Verb::Fetch(args) => verbs::fetch::run(&workspace, args),
        Verb::Test(args) => verbs::test::run(&workspace, args),
        Verb::Bench(args) => verbs::bench::run(&workspace, args),
        Verb::Docs(args) => verbs::docs::run(&workspace, args),
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

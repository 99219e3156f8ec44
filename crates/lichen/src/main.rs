//! The host command: it locks, fetches, builds, runs and tests appliances. Each verb is one module.

mod ask;
mod boot_phases;
mod bootstrap;
mod command;
mod crates_io;
mod debian;
mod failure;
mod flash;
mod gate;
mod hash;
mod imager;
mod lichen_toml;
mod nix;
mod publish;
mod remote;
mod s3;
mod sources;
mod store;
mod stories;
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
  deploy HOST... APPLIANCE
                    Send what devices lack, switch, or go back [--boot] [--test] [--dry-run] [--parallel N]
  key generate      Make the key that closures are signed with; `key show` prints the public one
  publish APPLIANCE Publish on a channel that devices follow, in a folder or bucket --to FOLDER|s3://BUCKET [--channel]
Look after:
  status HOST...    How devices are, each on one screen [--json]
  rollback HOST [N] Return a device to an earlier generation
  logs HOST         Show a device's journal [-f] [-u UNIT]
  lock              Resolve the package lists with apt's own solver [--check]
  fetch [APPLIANCE] Download every locked package and crate, or an appliance's; after it no build needs a network
  test [STORY]      Run the tests [--quick] [--slow] [--fresh] [--why STORY]
  bench [APPLIANCE] Measure builds, sizes, booting, memory and latency; prints a table [--runs N]
  docs              Write the reference of all options

./lichen COMMAND --help tells more.";

/// As lichenctl, and NixOS's own tools: it ran, was not healthy or not reachable, and what ran before runs again.
const REVERTED: u8 = 4;

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
    Deploy(verbs::deploy::DeployArgs),
    Key(verbs::key::KeyArgs),
    Status(verbs::look_after::StatusArgs),
    Rollback(verbs::look_after::RollbackArgs),
    Logs(verbs::look_after::LogsArgs),
    Publish(verbs::publish::PublishArgs),
    Bench(verbs::bench::BenchArgs),
}

fn main() -> ExitCode {
    std::panic::set_hook(quiet_when_nobody_reads(std::panic::take_hook()));
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
        Verb::Deploy(args) => verbs::deploy::run(&workspace, args),
        Verb::Key(args) => verbs::key::run(args),
        Verb::Status(args) => verbs::look_after::status(args),
        Verb::Rollback(args) => verbs::look_after::rollback(args),
        Verb::Logs(args) => verbs::look_after::logs(args),
        Verb::Publish(args) => verbs::publish::run(&workspace, args),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = failure::hint_of(&error) {
                eprintln!("hint: {hint}");
            }
            if verbs::deploy::reverted(&error) {
                return ExitCode::from(REVERTED);
            }
            ExitCode::FAILURE
        }
    }
}

type Hook = Box<dyn Fn(&std::panic::PanicHookInfo<'_>) + Send + Sync>;

/// Whoever reads the output may have seen enough, as `| head` has: that is no reason to talk of a panic.
fn quiet_when_nobody_reads(otherwise: Hook) -> Hook {
    Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout: Broken pipe") {
            // What a shell makes of a program that SIGPIPE ends.
            #[expect(
                clippy::disallowed_methods,
                reason = "inside a panic there is no main to return to"
            )]
            std::process::exit(141);
        }
        otherwise(panic);
    })
}

//! The host command: it locks, fetches, builds, runs and tests appliances. Each verb is one module.

mod ask;
mod boot_phases;
mod bootstrap;
mod cargo;
mod command;
mod crates_io;
mod debian;
mod failure;
mod flash;
mod gate;
mod hash;
mod host_tests;
mod imager;
mod lichen_toml;
mod nix;
mod publish;
mod remote;
mod s3;
mod sources;
mod store;
mod stories;
mod text;
mod ui;
mod verbs;
mod vm;
mod workspace;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

const HELP: &str = "\
Small Linux appliances from a page of configuration

Usage: ./lichen COMMAND

Make:
  build APPLIANCE...
                    Build SD-card images; prints their paths [--locked] [--check]
Run:
  vm APPLIANCE      Boot an image in QEMU and print its addresses [--detach] [--http PORT] [--ssh PORT] [--secret NAME=FILE] [--card-size SIZE] [--fresh] [--stop]
Deliver:
  flash APPLIANCE DEVICE
                    Write an image to a card and verify it [--list] [--hostname NAME] [--ssh-key FILE] [--wifi SSID]
  deploy HOST... APPLIANCE
                    Update devices; an unhealthy one goes back [--boot] [--test] [--dry-run] [--parallel N]
  key generate      Create the key that signs closures; `key show` prints its public key, `key backup` makes the one for backups
  publish APPLIANCE Publish to a channel that devices follow: a folder or a bucket --to FOLDER|s3://BUCKET [--channel]
Look after:
  status HOST...    Show the state of devices, one screen each [--json]
  rollback HOST [N] Return a device to an earlier generation
  logs HOST         Show a device's journal [-f] [-u UNIT] [-n LINES] [--since TIME]
  secret rotate HOST NAME
                    Give a secret that the device made a new value, and restart what uses it
  backup HOST       Back up the data of a device's services, encrypted [--to FILE]
  restore HOST FILE Restore them on that device, or on another one of the same appliance [--identity FILE]
  lock              Resolve the package lists with apt's own solver [--check]
  fetch [APPLIANCE] Download all locked packages and crates, or those of an appliance; builds then need no network
  test [STORY...]   Run the tests [--quick] [--slow] [--fresh] [--why STORY]
  bench [APPLIANCE] Measure builds, sizes, booting, memory and latency; prints a table [--runs N]
  docs              Write the reference of all options
  completions SHELL Print what bash, zsh or fish needs to complete these words

./lichen COMMAND --help tells more.";

/// The same status as that of lichenctl and NixOS's tools: the new generation was unhealthy or unreachable, and the
/// previous one runs again.
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
    Logs(verbs::logs::LogsArgs),
    Secret(verbs::look_after::SecretArgs),
    Backup(verbs::backup::BackupArgs),
    Restore(verbs::backup::RestoreArgs),
    Publish(verbs::publish::PublishArgs),
    Bench(verbs::bench::BenchArgs),
    Completions(verbs::completions::CompletionsArgs),
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
        Verb::Logs(args) => verbs::logs::run(args),
        Verb::Secret(args) => verbs::look_after::secret(args),
        Verb::Backup(args) => verbs::backup::backup(args),
        Verb::Restore(args) => verbs::backup::restore(args),
        Verb::Publish(args) => verbs::publish::run(&workspace, args),
        Verb::Completions(args) => verbs::completions::run(&workspace, args, Cli::command()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", ui::harmless(&format!("{error:#}")));
            if let Some(hint) = failure::hint_of(&error) {
                eprintln!("hint: {}", ui::harmless(&hint));
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
        if let Some(why) = said.strip_prefix("failed printing to stdout: ") {
            eprintln!("error: cannot write to standard output: {why}");
            #[expect(clippy::disallowed_methods, reason = "as above")]
            std::process::exit(1);
        }
        otherwise(panic);
    })
}

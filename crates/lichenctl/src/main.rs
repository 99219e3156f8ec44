//! The program `lichenctl`: what a device can be asked and told. Prints errors once, here.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use lichenctl::grow;
use lichenctl::provision::{self, Report};
use lichenctl::root::Root;
use lichenctl::state::StateError;
use lichenctl::{generations, status};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Look after a Lichen appliance, on the device itself
#[derive(Parser)]
#[command(name = "lichenctl", version, after_help = EXIT_CODES)]
struct Arguments {
    /// Take this folder for the device's root
    #[arg(long, global = true, default_value = "/", hide_default_value = true)]
    root: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `provision` also when lichen.toml was wrong, which is told and is no fault of the device
  1  it could not be done; the reason and a hint are on stderr
  2  wrong usage";

#[derive(Subcommand)]
enum Verb {
    /// Show the running generation, the boot state and the device's health
    Status {
        /// Print all of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the generations on BOOT
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take in lichen.toml from BOOT and apply what was provisioned (runs at every boot)
    Provision,
    /// Grow DATA to the end of the disk (runs at every boot)
    Grow,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Some(hint) = hint(&error) {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let of_state = || error.downcast_ref::<StateError>().map(StateError::hint);
    of_state().or_else(|| {
        error
            .downcast_ref::<grow::GrowError>()
            .and_then(grow::GrowError::hint)
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let root = Root::new(arguments.root);
    match arguments.verb {
        Verb::Status { json } => {
            let status = status::collect(&root);
            print(json, &status)?;
        }
        Verb::List { json } => {
            let generations = generations::list(&root)?;
            print(json, &generations)?;
        }
        Verb::Provision => return Ok(tell(&root, &provision::run(&root))),
        Verb::Grow => println!("{}", grow::run(&root)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn print<T: serde::Serialize + std::fmt::Display>(json: bool, value: &T) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(value)? + "\n"
    } else {
        value.to_string()
    };
    // A reader that has seen enough, such as `head`, is no error.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(()),
    }
}

/// Tells journal (stderr) and, if someone has to act, the console: on a device that is not on the network
/// yet it is all there is.
fn tell(root: &Root, report: &Report) -> ExitCode {
    eprint!("{report}");
    if report.needs_attention() {
        // Without a terminal attached a console may block for good; what it can't take is in the journal.
        let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
        let console = OpenOptions::new()
            .append(true)
            .custom_flags(flags.bits() as i32)
            .open(root.at("dev/console"));
        let _ = console.and_then(|mut console| console.write_all(format!("\n{report}").as_bytes()));
    }
    if report.ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

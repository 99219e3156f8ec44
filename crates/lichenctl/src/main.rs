//! The program `lichenctl`: its command line. Errors are printed here, once.

use anyhow::{Context, Result};
use backup::Recipient;
use clap::{Parser, Subcommand};
use lichenctl::apply::{self, ApplyError, Verb as Apply};
use lichenctl::confirm::{self, Confirmation};
use lichenctl::deploy_rs::ActivateRs;
use lichenctl::generations::TRIES;
use lichenctl::lock::GenerationsLock;
use lichenctl::root::Root;
use lichenctl::state::Generation;
use lichenctl::toplevel::Toplevel;
use lichenctl::update::{self, Extent};
use lichenctl::{
    bless, console, generations, grow, hints, journal, link, patient, provision, receive, recovery,
    reset, retention,
};
use lichenctl::{secrets, service_data, stage, status, systemd, vitals};
use protocol::command::{LONGEST_CONFIRMATION, Outcome};
use protocol::progress::{self, Event, Failure};
use protocol::provision::Report;
use protocol::recovery::Reason;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Manage a Lichen appliance, on the device itself
#[derive(Parser)]
#[command(name = "lichenctl", version, after_help = EXIT_CODES)]
struct Arguments {
    /// Use this directory as the root of the device
    #[arg(long, global = true, default_value = "/", hide_default_value = true)]
    root: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `provision` also when lichen.toml was wrong, which is told and is no fault of the device
  1  it could not be done, and nothing was changed; the reason and a hint are on stderr
  2  wrong usage
  4  the generation ran, and was not healthy or not confirmed: what ran before runs again";

#[derive(Subcommand)]
enum Verb {
    /// Show the running generation, the boot state and the device's health
    Status {
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the generations on BOOT
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a toplevel a bootable generation, without changing what boots next
    Stage {
        /// Its store path, or a link to it
        toplevel: PathBuf,
    },
    /// Switch to a toplevel now, and boot it from then on
    Switch {
        #[command(flatten)]
        activation: Activation,
        #[command(flatten)]
        trial: Trial,
    },
    /// Switch to a toplevel now, only until the next boot
    Test {
        #[command(flatten)]
        activation: Activation,
    },
    /// Boot a toplevel from the next boot on
    Boot {
        #[command(flatten)]
        activation: Activation,
        #[command(flatten)]
        trial: Trial,
    },
    /// Print what `switch` would do
    DryRun {
        /// Its store path, or a link to it
        toplevel: PathBuf,
        /// Print the plan as JSON
        #[arg(long)]
        json: bool,
    },
    /// Return to the good generation, to the one before it, or to the given one
    Rollback {
        /// The number of the generation
        generation: Option<u64>,
        /// Also restore the copies of service data that were made when that generation was left
        #[arg(long)]
        restore_state: bool,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Confirm, over a new connection, that the device can still be reached: the running generation stays
    Confirm,
    /// Answer deploy-rs's client
    ActivateRs(ActivateRs),
    /// Mark the running generation as good, if it is healthy
    Bless {
        /// Wait until it is healthy, up to its deadline
        #[arg(long)]
        wait: bool,
    },
    /// Update from this appliance's channel now (a timer also does this)
    Update {
        /// Only print what is available
        #[arg(long)]
        check: bool,
        /// Do not wait for the maintenance window
        #[arg(long, conflicts_with = "check")]
        now: bool,
    },
    /// Remove old generations that are not needed, and the store paths that only they used
    Gc {
        /// How many of the newest generations to keep
        #[arg(long, default_value_t = retention::KEEP)]
        keep: usize,
    },
    /// Back up the data of the services on DATA, encrypted (a timer also does this)
    Backup {
        /// Write the backup to standard output instead, and keep nothing
        #[arg(value_parser = ["-"])]
        to: Option<String>,
        /// A public key of age to encrypt to, besides those of the configuration
        #[arg(long = "recipient", value_name = "KEY", requires = "to")]
        recipients: Vec<Recipient>,
        /// Try twice more, after some minutes, if it fails (as the timer does)
        #[arg(long, hide = true, conflicts_with = "to")]
        patiently: bool,
    },
    /// Restore the decrypted backup on standard input, as `lichen restore` sends it
    Restore,
    /// The secrets that services get: those of lichen.toml, and those that the device makes
    Secret {
        #[command(subcommand)]
        verb: Secret,
    },
    /// Remove everything that services and the owner stored on the device, and reboot
    FactoryReset {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Print as JSON which of the store paths on standard input, one per line, are missing here
    #[command(hide = true)]
    Missing,
    /// Receive store paths on standard input, as `lichen deploy` sends them
    #[command(hide = true)]
    Receive,
    /// Record a soft-reboot (runs after each one)
    #[command(hide = true)]
    Arrive,
    /// Decide what to do about a service that systemd has given up starting (runs by itself)
    #[command(hide = true)]
    Recover {
        /// Its unit
        unit: String,
    },
    /// Watch the network, and heal it while no gateway answers (runs by itself)
    #[command(hide = true)]
    Heal,
    /// Keep the ledger of resets (runs at every boot, while recovery is at work, and at the end)
    #[command(hide = true)]
    Resets {
        /// What happens
        when: When,
    },
    /// Tell what the device knows of itself as metrics (runs every minute)
    #[command(hide = true)]
    Vitals,
    /// Make Nix's system profile agree with the booted generation (runs at every boot)
    Reconcile,
    /// Restore service data if the previous generation had changed their version (runs at every boot)
    RestoreState,
    /// Read lichen.toml from BOOT and apply the provisioned settings (runs at every boot)
    Provision,
    /// Grow DATA to the end of the disk (runs at every boot)
    Grow,
}

#[derive(Subcommand)]
enum Secret {
    /// List their names, where each is from, and which services take it
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a new value for one that the device made, and restart the running services that take it
    Rotate {
        /// Its name
        name: String,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum When {
    /// Userspace begins
    Begin,
    /// Time has passed
    Tick,
    /// Userspace ends in good order
    End,
}

#[derive(clap::Args)]
struct Activation {
    /// Its store path, or a link to it
    toplevel: PathBuf,
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(clap::Args)]
struct Trial {
    /// How many trial boots it gets before the device returns to the good generation
    #[arg(long, value_name = "N", default_value_t = TRIES, value_parser = clap::value_parser!(u64).range(1..=9))]
    tries: u64,
}

#[derive(clap::Args)]
struct Confirm {
    /// Roll back unless `lichenctl confirm` arrives within this many seconds after it is healthy, also after a reboot
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=LONGEST_CONFIRMATION))]
    confirm_within: Option<u64>,
}

impl Confirm {
    fn asked(&self) -> Option<Confirmation> {
        self.confirm_within.map(|within| Confirmation {
            within,
            canary: None,
        })
    }
}

impl Activation {
    fn run(&self, root: &Root, verb: Apply, tries: u64) -> Result<()> {
        let confirmation = self.confirm.asked();
        apply::apply(root, &self.toplevel, verb, tries, confirmation.as_ref())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            journal::tell(&Event::Failed(Failure {
                error: format!("{error:#}"),
                hint: hints::of(&error).map(str::to_owned),
            }));
            let outcome = match error.downcast_ref::<ApplyError>() {
                Some(ApplyError::Unsuccessful { .. }) => Outcome::Unsuccessful,
                _ => Outcome::Failed,
            };
            ExitCode::from(outcome.code())
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let root = Root::new(arguments.root);
    if arguments.verb.outlives_its_caller()
        && root.is_device()
        && let Some(code) = as_a_unit()?
    {
        return Ok(code);
    }
    match arguments.verb {
        Verb::Status { json } => {
            let status = status::collect(&root);
            print(json, &status)?;
        }
        Verb::List { json } => {
            let generations = generations::list(&root)?;
            print(json, &generations)?;
        }
        Verb::Stage { toplevel } => {
            let toplevel = Toplevel::load(&root, &toplevel)?;
            let staged = stage::stage(&root, &toplevel, &GenerationsLock::take(&root)?)?;
            println!("{}", staged.generation);
        }
        Verb::Switch { activation, trial } => activation.run(&root, Apply::Switch, trial.tries)?,
        Verb::Test { activation } => activation.run(&root, Apply::Test, TRIES)?,
        Verb::Boot { activation, trial } => activation.run(&root, Apply::Boot, trial.tries)?,
        Verb::DryRun { toplevel, json } => print(json, &apply::dry_run(&root, &toplevel)?)?,
        Verb::Rollback {
            generation,
            restore_state,
            confirm,
        } => {
            let to = generation.map(Generation);
            apply::rollback(&root, to, restore_state, confirm.asked().as_ref())?;
        }
        Verb::Confirm => drop(confirm::confirm(&root)?),
        Verb::ActivateRs(arguments) => arguments.run(&root)?,
        Verb::Bless { wait } => {
            bless::bless(&root, wait)?;
            console::show(&root);
        }
        Verb::Update { check: true, .. } => update::update(&root, Extent::Check)?,
        Verb::Update { now: true, .. } => update::update(&root, Extent::Now)?,
        Verb::Update { .. } => update::update(&root, Extent::Scheduled)?,
        Verb::Gc { keep } => {
            let lock = GenerationsLock::take(&root)?;
            print!("{}", retention::collect(&root, keep, &lock)?);
        }
        Verb::Backup {
            patiently: true, ..
        } => {
            println!("{}", lichenctl::backup::keep_patiently(&root)?.display());
        }
        Verb::Backup { to: None, .. } => println!("{}", lichenctl::backup::keep(&root)?.display()),
        Verb::Backup { recipients, .. } => {
            lichenctl::backup::stream(&root, &recipients, std::io::stdout().lock())?;
        }
        Verb::Restore => {
            lichenctl::backup::restore(&root, patient::stdin()?)?;
        }
        Verb::Secret { verb } => match verb {
            Secret::List { json } => print(json, &secrets::list(&root)?)?,
            Secret::Rotate { name } => secrets::rotate(&root, &name)?,
        },
        Verb::FactoryReset { yes } => factory_reset(&root, yes)?,
        Verb::Missing => {
            let paths =
                std::io::read_to_string(std::io::stdin()).context("cannot read the paths")?;
            let paths: Vec<_> = paths.lines().map(str::to_owned).collect();
            println!(
                "{}",
                serde_json::to_string(&receive::missing(&root, &paths)?)?
            );
        }
        Verb::Receive => {
            let received = receive::receive(&root, &mut patient::stdin()?)?;
            println!("{}", serde_json::to_string(&received)?);
        }
        Verb::Arrive => bless::arrive(&root)?,
        Verb::Recover { unit } => recovery::recover(&root, &unit)?,
        Verb::Heal => link::heal(&root)?,
        Verb::Resets { when } => match when {
            When::Begin => recovery::begin(&root)?,
            When::Tick => recovery::tick(&root)?,
            When::End => recovery::end(&root)?,
        },
        Verb::Vitals => {
            console::show(&root);
            vitals::publish(&root)?;
        }
        Verb::Reconcile => bless::reconcile(&root)?,
        Verb::RestoreState => {
            // What fails for the one keeps nothing from the other.
            let exchanged = lichenctl::backup::at_boot(&root);
            let restored = service_data::at_boot(&root);
            if let (Err(error), Err(_)) = (&exchanged, &restored) {
                journal::error(&format!("{error:#}"));
            }
            restored.and(exchanged)?;
        }
        Verb::Provision => {
            let report = provision::run(&root);
            console::show(&root);
            return Ok(tell(&root, &report));
        }
        Verb::Grow => println!("{}", grow::run(&root)?),
    }
    Ok(ExitCode::SUCCESS)
}

impl Verb {
    /// Whether the command must run to its end when the connection is lost, which the command itself may cause.
    fn outlives_its_caller(&self) -> bool {
        match self {
            Self::Switch { .. } | Self::Test { .. } | Self::Boot { .. } => true,
            Self::Rollback { .. } | Self::Restore => true,
            Self::Secret { verb } => matches!(verb, Secret::Rotate { .. }),
            Self::Update { check, .. } => !check,
            Self::ActivateRs(arguments) => arguments.outlives_its_caller(),
            _ => false,
        }
    }
}

/// Runs this command again in a unit of its own and returns its exit status; none if it already runs in one.
fn as_a_unit() -> Result<Option<ExitCode>> {
    if std::env::var_os("INVOCATION_ID").is_some() {
        return Ok(None);
    }
    let status = std::process::Command::new("systemd-run")
        .args([
            "--quiet",
            "--collect",
            "--pipe",
            "--wait",
            "--no-ask-password",
        ])
        .args(["--service-type=exec", "--description=lichenctl"])
        .args(
            std::env::var(progress::VARIABLE)
                .map(|value| format!("--setenv={}={value}", progress::VARIABLE)),
        )
        // Others who are turned away meanwhile are told where the order came from.
        .args(
            std::env::var("SSH_CONNECTION").map(|value| format!("--setenv=SSH_CONNECTION={value}")),
        )
        .arg("--")
        .arg(std::env::current_exe().context("cannot find this program")?)
        .args(std::env::args_os().skip(1))
        .status()
        .context("cannot run systemd-run")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(Some(code.map_or(ExitCode::FAILURE, ExitCode::from)))
}

fn factory_reset(root: &Root, yes: bool) -> Result<()> {
    if !yes {
        eprint!(
            "This removes all data of all services, the host's keys and what lichen.toml had set.\n\
             Without another lichen.toml on BOOT nobody can log in afterwards.\nType `reset` to go on: "
        );
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .context("cannot read the answer from the terminal")?;
        anyhow::ensure!(answer.trim() == "reset", "nothing was changed");
    }
    let _lock = GenerationsLock::take(root)?;
    reset::request(root)?;
    let what = "factory reset: rebooting";
    journal::note(what);
    recovery::announce(root, Reason::Asked, what);
    recovery::set_off(root, systemd::reboot_soon)
}

fn print<T: serde::Serialize + std::fmt::Display>(json: bool, value: &T) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(value)? + "\n"
    } else {
        value.to_string()
    };
    // It is no error if the reader of the output exits early, as `head` does.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(()),
    }
}

/// Reports to the journal (stderr) and, if a person must act, to the console: without a network, the console is the
/// only way to reach people. What the console does not take is in the journal.
fn tell(root: &Root, report: &Report) -> ExitCode {
    eprint!("{report}");
    if report.needs_attention() {
        console::write(root, &format!("\n{report}"));
    }
    if report.ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

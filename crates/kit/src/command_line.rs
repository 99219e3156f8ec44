//! The command line of every service: common verbs and exit statuses.
//!
//! 0: success. 1: failure. 64: the command line or the configuration is invalid, so a restart would not help.
//! 75: a temporary failure; a later attempt may succeed.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches};

use crate::args::Args;
use crate::config::{Configuration, EXIT_CONFIG};
use crate::credentials::Credentials;
use crate::import::{self, Becomes, ImportEnv, Variable};
use crate::kit::Kit;
use crate::life;
use crate::service::Service;

/// Exit status for a temporary failure: a later attempt may succeed (EX_TEMPFAIL of sysexits).
pub const EXIT_LATER: u8 = 75;

/// A service's command line: `run`, which is the default verb, and the verbs that the service adds.
pub struct CommandLine<C> {
    service: Service,
    command: Command,
    run: Run<C>,
    change: Change<C>,
    verbs: BTreeMap<&'static str, Verb>,
}

type Run<C> = Box<dyn FnOnce(&ArgMatches, Change<C>) -> ExitCode>;
type Change<C> = Box<dyn FnOnce(&mut C, &ArgMatches)>;
type Verb = Box<dyn FnOnce(&ArgMatches) -> ExitCode>;

/// The file that `backup` and `restore` copy.
#[derive(Debug, Clone, Copy)]
pub struct State {
    /// Its name in messages.
    pub what: &'static str,
    /// The service's state directory on a device.
    pub directory: &'static str,
    /// The name of the file in it.
    pub file: &'static str,
    /// Copies the first file to the second, or to stdout if that is `-`, and returns how much it copied.
    pub back_up: fn(&Path, &Path) -> anyhow::Result<String>,
    /// Replaces the second file with the first, and returns a message about the result.
    pub restore: fn(&Path, &Path) -> anyhow::Result<String>,
}

/// The arguments of `backup` and `restore`.
#[derive(clap::Args)]
struct Copied {
    file: PathBuf,
    /// The service's state directory
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: PathBuf,
}

impl<C: Configuration> CommandLine<C> {
    /// Creates the command line of a service that executes `run` until it is asked to stop.
    pub fn new<F, Fut>(service: Service, about: &'static str, run: F) -> Self
    where
        F: FnOnce(C, Kit) -> Fut + 'static,
        Fut: Future<Output = anyhow::Result<()>>,
    {
        let run = move |matches: &ArgMatches, change: Change<C>| {
            life::main(service, parsed(matches), move |mut config: C, kit| {
                change(&mut config, matches);
                run(config, kit)
            })
        };
        let verb = command::<Args>("run", "Run the service (the default)");
        let command = command::<Args>(service.name, about)
            .version(service.version)
            .args_conflicts_with_subcommands(true)
            .subcommand(verb);
        CommandLine {
            service,
            command,
            run: Box::new(run),
            change: Box::new(|_, _| ()),
            verbs: BTreeMap::new(),
        }
    }

    /// An alternative name of the verb `run`.
    pub fn once_run_as(mut self, name: &'static str) -> Self {
        self.command = self.command.mut_subcommand("run", |run| run.alias(name));
        self
    }

    /// Arguments of `run` that change the configuration.
    pub fn run_arguments<A: clap::Args + 'static>(mut self, change: fn(&mut C, A)) -> Self {
        let augment = |run: Command| {
            let about = run.get_about().cloned().unwrap_or_default();
            A::augment_args(run).about(about)
        };
        self.command = self.command.mut_subcommand("run", augment);
        self.change = Box::new(move |config, matches| change(config, parsed(matches)));
        self
    }

    /// Adds a verb.
    pub fn verb<A: clap::Args>(
        self,
        verb: &'static str,
        about: &'static str,
        does: impl FnOnce(A) -> anyhow::Result<()> + 'static,
    ) -> Self {
        let does = move |matches: &ArgMatches| life::report(does(parsed(matches)));
        self.add(verb, command::<A>(verb, about), does)
    }

    /// Adds a verb for a job that ends by itself and uses the service's configuration, logs and secrets.
    pub fn job<A: clap::Args>(
        self,
        verb: &'static str,
        about: &'static str,
        job: impl FnOnce(C, Credentials, A) -> anyhow::Result<ExitCode> + 'static,
    ) -> Self {
        let service = self.service;
        let does = move |matches: &ArgMatches| {
            let wishes = parsed(matches);
            life::job(service.name, parsed(matches), |config, credentials| {
                job(config, credentials, wishes)
            })
        };
        let command = A::augment_args(command::<Args>(verb, about)).about(about);
        self.add(verb, command, does)
    }

    /// Adds `backup` and `restore`.
    pub fn state(self, state: State) -> Self {
        let copied = |verb, about, file| {
            command::<Copied>(verb, about)
                .mut_arg("state_directory", |arg| {
                    arg.required(false).default_value(state.directory)
                })
                .mut_arg("file", |arg| arg.help(file))
        };
        let (what, live) = (state.what, move |at: &Copied| {
            at.state_directory.join(state.file)
        });
        let about = format!("Copy {what} to FILE while the service runs");
        let back_up = copied("backup", about, "The file to write, or - for stdout");
        let about = format!("Replace {what} with the content of FILE while the service runs");
        let restore = copied("restore", about, "A file written by `backup`");
        self.add("backup", back_up, move |matches| {
            let at: Copied = parsed(matches);
            let copied = (state.back_up)(&live(&at), &at.file);
            life::report(copied.map(|rows| eprintln!("{rows} backed up to {}", at.file.display())))
        })
        .add("restore", restore, move |matches| {
            let at: Copied = parsed(matches);
            let restored = (state.restore)(&at.file, &live(&at));
            life::report(restored.map(|what| eprintln!("{}: {what}", at.file.display())))
        })
    }

    /// Adds `import-env`; `take` maps the service's variables to settings.
    pub fn import(self, take: fn(&Variable) -> Result<Becomes, String>) -> Self {
        let about = "Turn an .env file into configuration (config.json on stdout) and secrets";
        let service = self.service.name;
        self.verb("import-env", about, move |import: ImportEnv| {
            import.run(|text| import::import::<C>(service, text, take))
        })
    }

    /// Executes the command line of this process.
    pub fn main(mut self) -> ExitCode {
        let matches = match self.command.try_get_matches() {
            Ok(matches) => matches,
            Err(error) => {
                // clap reports requested help and version output as errors, too.
                let _ = error.print();
                return ExitCode::from(if error.use_stderr() { EXIT_CONFIG } else { 0 });
            }
        };
        match matches.subcommand() {
            None => (self.run)(&matches, Box::new(|_, _| ())),
            Some((verb, matches)) => match self.verbs.remove(verb) {
                Some(does) => does(matches),
                None => (self.run)(matches, self.change),
            },
        }
    }

    fn add(
        mut self,
        verb: &'static str,
        command: Command,
        does: impl FnOnce(&ArgMatches) -> ExitCode + 'static,
    ) -> Self {
        self.command = self.command.subcommand(command);
        self.verbs.insert(verb, Box::new(does));
        self
    }
}

fn command<A: clap::Args>(
    name: &'static str,
    about: impl Into<clap::builder::StyledStr>,
) -> Command {
    A::augment_args(Command::new(name)).about(about)
}

fn parsed<A: FromArgMatches>(matches: &ArgMatches) -> A {
    A::from_arg_matches(matches).expect("clap has checked the arguments")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bare;

    fn hello() -> CommandLine<Bare> {
        let service = Service {
            name: "hello",
            version: "1.2.3",
        };
        CommandLine::new(service, "Says hello", |_, _| async { Ok(()) })
    }

    #[test]
    fn the_version_is_that_of_the_service() {
        assert_eq!(hello().command.render_version(), "hello 1.2.3\n");
    }

    fn with_state() -> CommandLine<Bare> {
        hello().state(State {
            what: "the greetings",
            directory: "/var/lib/hello",
            file: "hello.db",
            back_up: |_, _| Ok(String::new()),
            restore: |_, _| Ok(String::new()),
        })
    }

    #[test]
    fn on_a_device_backup_needs_no_more_than_the_file() {
        let line = with_state();
        for verb in ["backup", "restore"] {
            let matches = line.command.clone().get_matches_from(["hello", verb, "-"]);
            let at: Copied = parsed(matches.subcommand_matches(verb).unwrap());
            assert_eq!(at.state_directory, Path::new("/var/lib/hello"));
        }
    }

    #[test]
    fn no_argument_of_any_verb_contradicts_itself() {
        let line = with_state()
            .import(|variable| Ok(variable.unknown()))
            .verb("greet", "Greets once", |()| Ok(()))
            .job("sync", "Fetches names", |_, _, ()| Ok(ExitCode::SUCCESS));
        // An argument that is required and has a default, for instance, is found here and not on a device.
        line.command.debug_assert();
    }
}

//! `lichen completions`: what a shell needs to complete this command's words.

use crate::workspace::Workspace;
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};
use clap_complete::Shell;
use std::io::Write;

/// Print a script that completes verbs, options and appliances
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that is to read it
    shell: Shell,
}

/// Runs the verb for this command line.
pub fn run(workspace: &Workspace, args: &CompletionsArgs, command: Command) -> Result<()> {
    let mut script = Vec::new();
    let mut command = with_appliances(command, &workspace.appliances());
    clap_complete::generate(args.shell, &mut command, "lichen", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

/// The command with the names of the appliances where it takes one.
fn with_appliances(command: Command, appliances: &[String]) -> Command {
    if appliances.is_empty() {
        return command;
    }
    // Clap takes only names that last as long as the program, which does nothing else after this.
    let names = appliances
        .iter()
        .map(|name| &*Box::leak(name.clone().into_boxed_str()));
    let names = PossibleValuesParser::new(names);
    let named = |arg: Arg| match arg.get_id().as_str() {
        "appliance" | "appliances" => arg.value_parser(names.clone()),
        _ => arg,
    };
    command.mut_subcommands(|verb| verb.mut_args(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_and_options_are_completed_in_every_shell_and_appliances_where_it_can() {
        let (all, without_values) = (
            ["build", "locked", "climate", "ticker"],
            ["build", "locked"],
        );
        for (shell, words) in [
            (Shell::Bash, &all[..]),
            (Shell::Zsh, &all),
            (Shell::Fish, &without_values),
        ] {
            let command = Command::new("lichen").subcommand(
                Command::new("build")
                    .arg(Arg::new("locked").long("locked"))
                    .arg(Arg::new("appliances")),
            );
            let mut command = with_appliances(command, &["climate".into(), "ticker".into()]);
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "lichen", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in words {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}

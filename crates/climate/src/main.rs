//! `climate`: the service, and the commands that maintain its state.

use std::process::ExitCode;

use climate::{history, import};
use kit::{CommandLine, State};

fn main() -> ExitCode {
    let about = "Watches temperature and humidity of a server room";
    let state = State {
        what: "the history, alert state and webhook settings",
        directory: "/var/lib/climate",
        file: history::FILE,
        back_up: |from, to| Ok(format!("{} readings", history::back_up(from, to)?)),
        restore: |from, to| Ok(format!("{} readings restored", history::restore(from, to)?)),
    };
    CommandLine::new(kit::service!("climate"), about, climate::run)
        .state(state)
        .import(import::take)
        .main()
}

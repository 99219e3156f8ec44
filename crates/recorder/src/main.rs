//! `recorder`: the service, and the commands that maintain its state.

use std::process::ExitCode;

use kit::{CommandLine, State};
use recorder::import;
use recorder::session::{DATABASE, SCHEMA};

fn main() -> ExitCode {
    let about = "Records a camera, uploads the recordings, and heals itself";
    let state = State {
        what: "the list of recordings and uploads, but not the recordings",
        directory: "/var/lib/recorder",
        file: DATABASE,
        back_up: |from, to| Ok(format!("{} recordings", SCHEMA.back_up(from, to)?)),
        restore: |from, to| {
            let sessions = SCHEMA.restore(from, to, |_| Ok(()))?;
            Ok(format!("{sessions} recordings restored"))
        },
    };
    CommandLine::new(kit::service!("recorder"), about, recorder::run)
        .state(state)
        .import(import::take)
        .main()
}

//! `energy`: the dashboard, the sync, and the commands that maintain the cache.

use std::process::ExitCode;

use energy::{cache, config, import, kiosk, sync};
use kit::{CommandLine, State};

fn main() -> ExitCode {
    let about = "Shows prices and usage of electricity";
    let state = State {
        what: "the cache",
        directory: import::STATE_DIRECTORY,
        file: config::CACHE_FILE,
        back_up: |from, to| Ok(format!("{} prices", cache::back_up(from, to)?)),
        restore: |from, to| Ok(cache::restore(from, to)?.to_string()),
    };
    let look =
        "Fetch from Amber once, into the cache; exits with status 75 if Amber or the network fails";
    let show = "Show the dashboard in a browser, until the browser exits or its page stops requesting data";
    CommandLine::new(kit::service!("energy"), about, energy::run)
        .once_run_as("dashboard")
        .job("sync", look, |config, credentials, ()| {
            sync::run(&config, &credentials)
        })
        .verb("kiosk", show, |kiosk: kiosk::Kiosk| kiosk.run())
        .state(state)
        .import(import::take)
        .main()
}

//! `energy`: the dashboard, the sync, and the commands that look after the cache.

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
    let look = "Look at Amber once, into the cache; exit status 75 if Amber or the network fails";
    let show = "Show the dashboard in a browser, until that ends or its page stands still";
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

//! `courier`: the service.

use std::process::ExitCode;

use kit::CommandLine;

fn main() -> ExitCode {
    let about = "Sends a device's metrics and logs away; what cannot be sent waits";
    CommandLine::new(kit::service!("courier"), about, courier::run).main()
}

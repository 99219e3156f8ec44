//! `courier`: the service.

use std::process::ExitCode;

use kit::CommandLine;

fn main() -> ExitCode {
    let about = "Carries a device's metrics and logs away, and never loses them";
    CommandLine::new(kit::service!("courier"), about, courier::run).main()
}

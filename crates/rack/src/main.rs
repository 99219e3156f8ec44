//! `rack`: the service, and the commands that maintain what it knows.

use std::process::ExitCode;

use kit::CommandLine;
use rack::commands;

fn main() -> ExitCode {
    let about = "Plans racks: what is in them, whether it fits, and how warm it gets";
    CommandLine::new(kit::service!("rack"), about, rack::run)
        .job(
            "import-kinds",
            "Take kinds of devices from a folder of the Device-Type Library",
            commands::import_kinds,
        )
        .job(
            "import-sqlite",
            "Take racks and devices from the SQLite file of an existing installation",
            commands::import_sqlite,
        )
        .job(
            "set-password",
            "Set the password of a user; it is read from stdin",
            commands::set_password,
        )
        .main()
}

//! `assemble DATA TOPLEVEL ROOT`: what the initrd calls to get a root file system. Static, small, and built
//! apart from everything else on the device, so that the initrd rarely changes.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [data, toplevel, root] = args.as_slice() else {
        eprintln!("usage: assemble DATA TOPLEVEL ROOT");
        return ExitCode::from(64);
    };
    match assemble::assemble(Path::new(data), Path::new(toplevel), Path::new(root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

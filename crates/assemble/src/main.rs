//! What the initrd calls: `assemble mend DEVICE` before it mounts DATA, and `assemble DATA TOPLEVEL ROOT` to get a
//! root file system. Static, small, and built apart from everything else on the device, so that the initrd rarely
//! changes.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&Path> = args.iter().map(Path::new).collect();
    let done = match args.as_slice() {
        [mend, device] if *mend == Path::new("mend") => {
            assemble::superblock::mend(device).map(|torn| {
                if torn {
                    println!("a torn superblock got its checksum");
                }
            })
        }
        [data, toplevel, root] => assemble::assemble(data, toplevel, root),
        _ => {
            eprintln!("usage: assemble DATA TOPLEVEL ROOT\n       assemble mend DEVICE");
            return ExitCode::from(64);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

//! `compose SPEC.json OUT.tar`: Debian packages and files in, one normalised tar out.
//!
//! A layer's content is never unpacked on the build host: a store path cannot hold owners, set-user-ID bits
//! or modification times. Instead the packages' own archives are merged entry by entry into one tar,
//! sorted by path, with every time at zero, so that the same inputs give the same bytes.
//!
//! It refuses two packages that ship the same file: which one wins must never depend on an order.

mod deb;
mod spec;
mod tree;

use std::{env, fs::File, io::BufWriter, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::{spec::Spec, tree::Tree};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [spec, out] = args.as_slice() else {
        bail!("usage: compose SPEC.json OUT.tar")
    };
    let spec = Spec::load(spec.as_ref())?;
    let mut tree = Tree::new(&spec.include, &spec.exclude);
    // Unpacking is the slow part and independent per package; merging keeps the spec's order.
    for chunk in spec
        .debs
        .chunks(std::thread::available_parallelism().map_or(1, Into::into) * 2)
    {
        let unpacked = std::thread::scope(|scope| {
            let workers: Vec<_> = chunk
                .iter()
                .map(|deb| scope.spawn(|| deb::data(deb)))
                .collect();
            workers
                .into_iter()
                .map(|w| w.join().expect("unpacking panicked"))
                .collect::<Vec<_>>()
        });
        for (deb, data) in chunk.iter().zip(unpacked) {
            let data = data.with_context(|| format!("reading {}", deb.display()))?;
            tree.add_archive(&data, &deb.display().to_string())?;
        }
    }
    let owners = spec.owners()?;
    for entry in &spec.entries {
        tree.add_entry(entry, &owners)
            .with_context(|| format!("adding {}", entry.path))?;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "part of a build, which Nix keeps whole or not at all"
    )]
    let out = File::create(out).with_context(|| format!("creating {out}"))?;
    tree.write(BufWriter::new(out))
}

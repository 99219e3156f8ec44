//! The gate: checks that need neither an image nor a machine and find most mistakes, cheapest first.

mod deny;
mod files;
mod step;

use crate::command::program;
use crate::nix::Nix;
use crate::ui;
use crate::workspace::Workspace;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A Nix function of the flake that evaluates each of its outputs.
const OUTPUTS: &str = include_str!("outputs.nix");

/// Runs all steps. The first failure ends the run, with a hint how to fix it.
///
/// Known vulnerabilities are not checked: their database is a git repository, and tests must not need one.
pub fn run(workspace: &Workspace) -> Result<()> {
    let root = workspace.root();
    let files = files::of(root)?;
    let mut passed: Vec<String> = Vec::new();
    let mut note = |name: &str, step: step::Passed| {
        passed.push(format!("{name} {}", ui::duration(step.took)));
        step.lines
    };

    let scripts = only(&files, |file| files::is_shell(root, file));
    let mut shellcheck = program("shellcheck");
    shellcheck.args(["--color=never", "--"]).args(&scripts);
    let step = step::run(workspace, "shellcheck", shellcheck, |_| {
        "the page of each SC number on shellcheck.net explains how to fix it".into()
    })?;
    note("shellcheck", step);

    let mut deny = deny::program_of(workspace)?;
    deny.args(["--locked", "--color", "never"])
        .args(["check", "licenses", "bans", "sources"]);
    let step = step::run(workspace, "deny", deny, |_| {
        "deny.toml lists what is allowed and why; cargo tree --invert CRATE shows which crates depend on CRATE".into()
    })?;
    note("deny", step);

    // Not `cargo fmt`, which does not find modules declared by automod. rustfmt.toml has the edition.
    let sources = only(&files, files::is_rust);
    let mut rustfmt = program("rustfmt");
    rustfmt.args(["--check", "--color=never"]).args(&sources);
    let step = step::run(workspace, "fmt", rustfmt, |lines| {
        format!("rustfmt {}", unformatted(lines, root).join(" "))
    })?;
    note("fmt", step);

    // Nix uses one processor, and cargo has work for the others meanwhile.
    let evaluation = Nix::new(workspace, None).apply_to_flake(OUTPUTS)?;
    let evaluation = step::start(workspace, "nix", evaluation)?;

    // Tests give some crates more features than devices have, and would hide what does not compile without them.
    for (name, targets) in [("clippy", "--all-targets"), ("clippy-untested", "--bins")] {
        let mut clippy = program("cargo");
        clippy
            .args(["clippy", "--workspace", "--lib", targets, "--locked"])
            .args(["--color", "never", "--", "-D", "warnings"]);
        let step = step::run(workspace, name, clippy, |_| {
            format!(
                "cargo clippy --workspace --lib {targets} --fix --allow-dirty fixes what can be fixed automatically"
            )
        })?;
        note(name, step);
    }

    let mut doc = program("cargo");
    doc.args(["doc", "--workspace", "--no-deps", "--locked"])
        .args(["--document-private-items", "--color", "never"])
        .env("RUSTDOCFLAGS", "-D warnings");
    let step = step::run(workspace, "doc", doc, |_| {
        "cargo doc --workspace --no-deps --document-private-items shows them again".into()
    })?;
    note("doc", step);

    let step = evaluation.finish(|lines| {
        let faulty = traced(lines, "at").last();
        faulty.map_or("nix flake show".into(), |output| {
            format!("nix eval --show-trace '.#{output}.drvPath'")
        })
    })?;
    let lines = note("nix", step);
    let outputs = traced(&lines, "output").count();

    ui::say(format!(
        "gate: passed {}; {} scripts, {} Rust files, {outputs} outputs of the flake; \
         security advisories were not checked, because their database is not available here",
        passed.join(", "),
        scripts.len(),
        sources.len()
    ));
    Ok(())
}

fn only(files: &[PathBuf], wanted: impl Fn(&Path) -> bool) -> Vec<&PathBuf> {
    files.iter().filter(|file| wanted(file)).collect()
}

/// The files named in rustfmt's lines, such as "Diff in /checkout/src/lib.rs:12:", each once.
fn unformatted(lines: &[String], root: &Path) -> Vec<String> {
    let mut files: Vec<String> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("Diff in ")?.split(':').next())
        .map(|file| Path::new(file).strip_prefix(root).unwrap_or(file.as_ref()))
        .map(|file| file.display().to_string())
        .collect();
    files.sort();
    files.dedup();
    files
}

/// The outputs that [`OUTPUTS`] reports with this word, in order.
fn traced<'a>(lines: &'a [String], word: &str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let (said, output) = line.strip_prefix("trace: ")?.split_once(' ')?;
        (said == word).then_some(output)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without it, a crate would have other lints than the workspace, or none.
    #[test]
    fn every_crate_has_the_lints_of_the_workspace() {
        let workspace = Workspace::find().unwrap();
        let manifests = std::fs::read_dir(workspace.path("crates")).unwrap();
        let mut manifests: Vec<PathBuf> = manifests
            .map(|entry| entry.unwrap().path().join("Cargo.toml"))
            .filter(|manifest| manifest.exists())
            .collect();
        assert!(manifests.len() > 10, "{manifests:?}");
        manifests.push(workspace.path("tests/Cargo.toml"));
        for manifest in manifests {
            let text = std::fs::read_to_string(&manifest).unwrap();
            let table: toml::Table = toml::from_str(&text).unwrap();
            let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
            assert_eq!(
                lints,
                Some(&toml::Value::Boolean(true)),
                "{} needs: [lints] workspace = true",
                manifest.display()
            );
        }
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_unformatted_is_named_once() {
        let said = lines(
            "Diff in /w/tests/tests/boot.rs:3:\n-a\n+b\nDiff in /w/tests/tests/boot.rs:9:\nDiff in /w/crates/x/src/lib.rs:1:",
        );
        assert_eq!(
            unformatted(&said, Path::new("/w")),
            ["crates/x/src/lib.rs", "tests/tests/boot.rs"]
        );
    }

    /// A flake like ours: every output must be found, however deeply it is nested.
    #[test]
    fn every_output_of_a_flake_is_found_and_the_faulty_one_is_the_last_named() {
        let flake = |toplevel: &str| {
            format!(
                r#"{{ outputs = {{
                  description = "text";
                  lib.withLock = file: throw "nobody calls it";
                  packages.x86_64-linux = {{ b = made "b"; a = made "a"; }};
                  nixosConfigurations.climate = {{ options = throw "too much"; config.system.build.toplevel = {toplevel}; }};
                }}; }}"#
            )
        };
        let evaluate = |toplevel: &str| {
            let made = r#"name: { type = "derivation"; drvPath = "/nix/store/${name}.drv"; }"#;
            let mut nix = crate::store::nix("nix-instantiate");
            nix.args(["--eval", "--strict", "--expr"]).arg(format!(
                "let made = {made}; in ({OUTPUTS}) {}",
                flake(toplevel)
            ));
            let said = crate::command::run(&mut nix).unwrap();
            let errors = lines(&String::from_utf8_lossy(&said.stderr));
            let named =
                |word| -> Vec<String> { traced(&errors, word).map(str::to_owned).collect() };
            let last = named("at").pop().unwrap();
            (said.status.success(), named("output"), last)
        };
        let toplevel = "nixosConfigurations.climate.config.system.build.toplevel";
        let (succeeded, named, _) = evaluate(r#"made "toplevel""#);
        assert!(succeeded);
        assert_eq!(
            named,
            [
                toplevel,
                "packages.x86_64-linux.a",
                "packages.x86_64-linux.b"
            ]
        );
        // A mistake inside the derivation, and one in the expression that creates it.
        for faulty in [
            r#"(made "x") // { drvPath = throw "a mistake"; }"#,
            r#"throw "a mistake""#,
        ] {
            let (succeeded, named, last) = evaluate(&format!("({faulty})"));
            assert!(!succeeded);
            assert!(named.is_empty(), "{named:?}");
            assert_eq!(last, toplevel);
        }
    }
}

//! `lichen bench`: measures the figures that the project promises, and prints a table.

use super::build::{self, Made};
use super::vm;
use crate::boot_phases::{self, Phases};
use crate::command::{program, run as run_command, stdout_of};
use crate::host_tests::PROGRAMS;
use crate::sources::{self, Wanted};
use crate::ui::{self, Live};
use crate::vm::boot;
use crate::vm::qemu::Qemu;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use emulator::{Forward, Tools, free_port};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);
/// What is measured with programs of Debian, and the outputs of the flake that have them, as for the host tests.
const WITH_DEBIAN: [(&str, &str); 2] = [("courier", "check-tools"), ("rack", "servers")];

/// Measure builds, sizes, booting, memory and latency; prints a table
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// A file appliances/APPLIANCE.nix; with `--only service` also a crate that belongs to all of them, such as courier
    #[arg(default_value = "climate")]
    appliance: String,
    /// Repeat varying measurements N times; the table shows the median, minimum and maximum
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Measure only this part
    #[arg(long, value_name = "WHAT")]
    only: Option<Part>,
}

/// The parts that can be measured separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Builds, including one from nothing but sources
    Builds,
    /// The image and its layers
    Sizes,
    /// First and second boots, and memory
    Boots,
    /// The load tests of the service, on this machine
    Service,
}

/// The measured quantities and their values, in the order in which they are printed.
type Rows = Vec<(String, String)>;

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &BenchArgs) -> Result<()> {
    let name = &args.appliance;
    let mut rows = Rows::new();
    let wanted = |part| args.only.is_none_or(|only| only == part);
    if args.only != Some(Part::Service) {
        let made = build::image(workspace, name, false)?;
        if wanted(Part::Builds) {
            builds(workspace, name, args.runs, &mut rows)?;
        }
        if wanted(Part::Sizes) {
            sizes(&made.image, &mut rows)?;
        }
        if wanted(Part::Boots) {
            device(workspace, name, &made, args.runs, &mut rows)?;
        }
    }
    if wanted(Part::Service) {
        let examples = load_tests(&workspace.path(&format!("crates/{name}/examples")), name);
        if examples.is_empty() && args.only.is_some() {
            crate::fail!(hint: "ls crates/*/examples", "the crate {name} has no load test");
        }
        for example in examples {
            service(workspace, name, &example, &mut rows)?;
        }
    }
    print!("{}", table(&rows));
    Ok(())
}

fn builds(workspace: &Workspace, name: &str, runs: u32, rows: &mut Rows) -> Result<()> {
    let mut measure = |what: &str, build: &dyn Fn() -> Result<Duration>| -> Result<()> {
        let times: Result<Vec<_>> = (0..runs).map(|_| build()).collect();
        rows.push((format!("build, {what}"), spread(times?, ui::duration)));
        Ok(())
    };
    measure("nothing changed", &|| timed_build(workspace, name))?;
    let clone = clone(workspace)?;
    if clone.path(&main_of(name)).exists() {
        measure("one line of the service changed", &|| {
            one_line_change(&clone, name)
        })?;
    }
    measure("nothing but its sources there", &|| cold(&clone, name))
}

fn timed_build(workspace: &Workspace, name: &str) -> Result<Duration> {
    let live = Live::new();
    build::image(workspace, name, false)?;
    Ok(live.elapsed())
}

/// The last commit in a checkout of its own, in which files can be changed.
fn clone(workspace: &Workspace) -> Result<Workspace> {
    let clone = workspace.build("bench")?.join("source");
    if clone.exists() {
        std::fs::remove_dir_all(&clone)
            .with_context(|| format!("cannot remove {}", clone.display()))?;
    }
    stdout_of(
        program("git")
            .args(["clone", "--quiet", "--shared"])
            .arg(workspace.root())
            .arg(&clone),
    )?;
    Ok(workspace.at(&clone))
}

/// The main source file of the service that an appliance is named after.
fn main_of(name: &str) -> String {
    format!("crates/{name}/src/main.rs")
}

/// Measures how long a new image takes after an edit of the service.
fn one_line_change(clone: &Workspace, name: &str) -> Result<Duration> {
    build::image(clone, name, false)?;
    let file = clone.path(&main_of(name));
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .context("the clock is before 1970")?
        .as_nanos();
    std::fs::write(&file, format!("{text}\n// {now}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    timed_build(clone, name)
}

/// Measures a build on a new machine that has fetched the sources: a build in an otherwise empty store.
///
/// The store is a new directory, mounted on /nix in its own mount namespace; a user who is not root gets a user
/// namespace for that.
fn cold(clone: &Workspace, name: &str) -> Result<Duration> {
    let store = clone.path("build/nix");
    let lichen = std::env::current_exe().context("cannot tell where this program is")?;
    let there = |script: &str| {
        let mut unshare = program("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--mount", "sh", "-euc", script]);
        unshare.arg(&store).arg(&lichen).arg(name);
        unshare.env("LICHEN_ROOT", clone.root());
        // It may take minutes, and shows its progress.
        stdout_of(unshare.stderr(Stdio::inherit()))
    };
    ui::say("a build in an empty store");
    there(
        r#"rm -rf "$0"; mkdir -p "$0/store" "$0/var/nix"; mount --bind "$0" /nix; exec "$1" fetch "$2""#,
    )?;
    let live = Live::new();
    let image = there(r#"mount --bind "$0" /nix; exec "$1" build "$2""#)?;
    let took = live.elapsed();
    ensure!(
        !image.trim().is_empty(),
        "the build in an empty store gave no image"
    );
    there(r#"rm -rf "$0""#)?;
    Ok(took)
}

/// The median of the measurements (the lower one of two), with minimum and maximum.
fn spread<T: Ord + Copy>(mut all: Vec<T>, show: impl Fn(T) -> String) -> String {
    all.sort_unstable();
    match all.as_slice() {
        [] => "?".into(),
        [one] => show(*one),
        [least, .., most] => {
            let median = all[(all.len() - 1) / 2];
            let (least, most) = (show(*least), show(*most));
            format!("{} ({least} – {most}, {} runs)", show(median), all.len())
        }
    }
}

/// The sizes of the image and its layers.
fn sizes(image: &Path, rows: &mut Rows) -> Result<()> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    rows.push(("image".into(), ui::bytes(size(image))));
    rows.push((
        "image, zst".into(),
        ui::bytes(size(&image.with_extension("img.zst"))),
    ));
    let manifest = image.with_file_name("manifest.json");
    let text = std::fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    rows.extend(layers(&text)?);
    Ok(())
}

fn layers(manifest: &str) -> Result<Rows> {
    let manifest: serde_json::Value =
        serde_json::from_str(manifest).context("manifest.json is not valid JSON")?;
    let layers = manifest["layers"]
        .as_array()
        .context("manifest.json has no layers")?;
    let row = |layer: &serde_json::Value| {
        Some((
            format!("layer {}", layer["name"].as_str()?),
            ui::bytes(layer["bytes"].as_u64()?),
        ))
    };
    Ok(layers.iter().filter_map(row).collect())
}

/// Boots new cards, each twice, and measures the memory once the appliance answers.
fn device(
    workspace: &Workspace,
    name: &str,
    made: &Made,
    runs: u32,
    rows: &mut Rows,
) -> Result<()> {
    let boots: Result<Vec<[Boot; 2]>> = (0..runs)
        .map(|_| two_boots(workspace, name, made))
        .collect();
    let boots = boots?;
    for (n, which) in ["first", "second"].into_iter().enumerate() {
        let took = boots.iter().map(|card| card[n].took).collect();
        rows.push((
            format!("power on until it answers ({which} boot, emulated)"),
            spread(took, ui::duration),
        ));
        let phases = boots.last().and_then(|card| card[n].phases.as_ref());
        for (phase, took) in phases.map(|p| p.rows(ui::duration)).unwrap_or_default() {
            rows.push((format!("{which} {phase}"), took));
        }
    }
    let first = || boots.iter().map(|card| &card[0]);
    for (what, bytes) in [
        (
            "RAM in use, idle".to_owned(),
            first().filter_map(|boot| boot.used).collect(),
        ),
        (
            format!("RSS of {name}"),
            first().filter_map(|boot| boot.resident).collect(),
        ),
    ] {
        rows.push((what, spread(bytes, ui::bytes)));
    }
    Ok(())
}

/// A boot: the time until the appliance answered, where the time was spent, and the memory in use afterwards.
#[derive(Debug, Default)]
struct Boot {
    took: Duration,
    phases: Option<Phases>,
    used: Option<u64>,
    resident: Option<u64>,
}

/// The first boot of a new card, and another one after a shutdown.
fn two_boots(workspace: &Workspace, name: &str, made: &Made) -> Result<[Boot; 2]> {
    let folder = workspace.build(&format!("vm/bench-{name}"))?;
    let qemu = Qemu::new(folder.clone());
    let tools = crate::vm::tools::build(&made.nix)?;
    let card = vm::Card {
        fresh: true,
        ..vm::Card::default()
    };
    vm::prepare_card(&qemu, &folder, &made.image, &tools, card, name)?;
    let _ = std::fs::remove_file(qemu.file("known_hosts"));
    let web = vm::web_port(&made.nix, name);
    let boot = || boot(&qemu, &tools, &folder, name, web);
    Ok([boot()?, boot()?])
}

fn boot(qemu: &Qemu, tools: &Tools, folder: &Path, name: &str, web: Option<u16>) -> Result<Boot> {
    let (ssh, http) = (free_port()?, free_port()?);
    let mut forwards = vec![Forward {
        host: ssh,
        guest: 22,
    }];
    forwards.extend(web.map(|guest| Forward { host: http, guest }));
    let config = qemu.file("ssh.conf");
    std::fs::write(&config, boot::ssh_config(name, ssh, folder))
        .context("cannot write ssh.conf")?;

    let live = Live::new();
    let started = run_command(&mut qemu.command(tools, &forwards, true)?)?;
    if !started.status.success() {
        bail!(
            "QEMU failed to start: {}",
            crate::command::last_words(&started)
        );
    }
    let there = || {
        if web.is_some() {
            boot::answers(http)
        } else {
            boot::greets(ssh)
        }
    };
    let measured = boot::wait(name, PATIENCE, there, || qemu.running().is_some()).and_then(|up| {
        if !up {
            bail!(
                "{name} has not answered within {}; see {}",
                ui::duration(PATIENCE),
                qemu.file("console.log").display()
            );
        }
        let took = live.elapsed();
        // At the first boot, logins are refused until Nix's database is ready, which is later.
        let greets = || boot::greets(ssh);
        boot::wait("ssh", PATIENCE, greets, || qemu.running().is_some())?;
        let said = ask(tools, &config, name, boot_phases::SCRIPT)?;
        let phases = boot_phases::of(took, live.elapsed(), &said);
        let boot = memory(tools, &config, name)?;
        Ok(Boot {
            took,
            phases,
            ..boot
        })
    });
    let stopped = qemu.stop();
    let measured = measured?;
    stopped.map(|()| measured)
}

/// The output of a script on the device.
fn ask(tools: &Tools, config: &Path, name: &str, script: &str) -> Result<String> {
    let mut ssh = tools.command("ssh");
    stdout_of(ssh.arg("-F").arg(config).arg(name).arg(script))
}

fn memory(tools: &Tools, config: &Path, name: &str) -> Result<Boot> {
    // Everything that belongs to booting has settled by then.
    let script = format!(
        "systemctl is-system-running --wait >/dev/null; sleep 20; cat /proc/meminfo; \
         cat /proc/$(pgrep -o -x {name})/status || true"
    );
    let text = ask(tools, config, name, &script)?;
    let bytes = |field: &str| -> Option<u64> {
        let kilobytes: u64 = text.lines().find_map(|l| {
            l.strip_prefix(field)?
                .trim_start_matches(':')
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })?;
        Some(kilobytes * 1024)
    };
    let total = bytes("MemTotal").zip(bytes("MemAvailable"));
    Ok(Boot {
        used: total.map(|(total, free)| total - free),
        resident: bytes("VmRSS"),
        ..Boot::default()
    })
}

/// The examples of a crate that measure it, sorted: `NAME_load` and perhaps others that begin with `NAME_`.
fn load_tests(folder: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let names = files.filter_map(|file| Some(file.strip_suffix(".rs")?.to_owned()));
    let mut names: Vec<String> = names
        .filter(|example| example.starts_with(&format!("{name}_")))
        .collect();
    names.sort_unstable();
    names
}

/// Runs one of the service's own load tests on this machine, which prints JSON.
fn service(workspace: &Workspace, name: &str, example: &str, rows: &mut Rows) -> Result<()> {
    let mut cargo = program("cargo");
    let needed = PROGRAMS
        .iter()
        .filter(|(_, output)| WITH_DEBIAN.contains(&(name, output)));
    for (variable, output) in needed {
        let package = format!("packages.x86_64-linux.{output}");
        let wanted = [package.as_str()];
        let nix = sources::sources(workspace, "checks", &Wanted::Of(&wanted), false)?;
        cargo.env(variable, nix.keep(output)?.output);
    }
    ui::say(format!("measuring {name} on this machine: {example}"));
    cargo
        .args(["run", "--release", "--quiet"])
        .args(["--package", name, "--example", example])
        .current_dir(workspace.root());
    let report: serde_json::Value = serde_json::from_str(&stdout_of(&mut cargo)?)
        .with_context(|| format!("{example} did not print valid JSON"))?;
    let part = example[name.len()..].trim_start_matches('_');
    flatten(if part == "load" { "" } else { part }, &report, rows);
    Ok(())
}

/// Flattens nested JSON into rows: "many_connections p99_us".
fn flatten(prefix: &str, value: &serde_json::Value, rows: &mut Rows) {
    match value {
        serde_json::Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(key, value)| flatten(format!("{prefix} {key}").trim(), value, rows));
        }
        // What could not be measured here.
        serde_json::Value::Null => {}
        other => rows.push((prefix.replace('_', " "), other.to_string())),
    }
}

/// Formats a table that is readable on a terminal and in `docs/figures.md`.
fn table(rows: &Rows) -> String {
    let width = rows
        .iter()
        .map(|(what, _)| what.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = format!(
        "| {:width$} | value |\n|-{:-<width$}-|------:|\n",
        "measured", ""
    );
    for (what, value) in rows {
        text.push_str(&format!("| {what:width$} | {value} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_becomes_rows_and_rows_a_table() {
        let rows = layers(r#"{"layers":[{"name":"base","path":"/nix/store/x","bytes":50073600}]}"#)
            .unwrap();
        assert_eq!(
            table(&rows),
            "| measured   | value |\n|------------|------:|\n| layer base | 50.0 MB |\n"
        );
    }

    #[test]
    fn of_several_runs_the_middle_one_counts() {
        let seconds = |all: &[u64]| spread(all.to_vec(), |s| format!("{s}s"));
        assert_eq!(seconds(&[]), "?");
        assert_eq!(seconds(&[9]), "9s");
        assert_eq!(seconds(&[9, 7, 8]), "8s (7s – 9s, 3 runs)");
        assert_eq!(seconds(&[9, 7]), "7s (7s – 9s, 2 runs)");
    }

    #[test]
    fn the_load_tests_of_a_crate_are_found_and_nothing_else() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let of = |name: &str| load_tests(&crates.join(name).join("examples"), name);
        assert_eq!(of("courier"), ["courier_load", "courier_recovery"]);
        assert_eq!(of("recorder"), ["recorder_load"]);
        assert_eq!(of("kit"), [""; 0]);
        assert_eq!(of("moon"), [""; 0]);
    }

    #[test]
    fn nested_reports_become_rows() {
        let mut rows = Rows::new();
        flatten(
            "",
            &serde_json::json!({"many_connections": {"p99_us": 812, "not_there": null}}),
            &mut rows,
        );
        assert_eq!(
            rows,
            [("many connections p99 us".to_owned(), "812".to_owned())]
        );
    }
}

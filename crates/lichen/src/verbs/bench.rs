//! `lichen bench`: what is promised in numbers, measured, as a table.

use super::build::{self, Made};
use super::vm;
use crate::command::{program, run as run_command, stdout_of};
use crate::ui::{self, Live};
use crate::vm::boot;
use crate::vm::qemu::{Forward, Qemu};
use crate::vm::tools::Tools;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(600);

/// Measure builds, sizes, booting, memory and latency; prints a table
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// A file appliances/<APPLIANCE>.nix
    #[arg(default_value = "climate")]
    appliance: String,
}

/// Measured things and their values, in the order they are printed.
type Rows = Vec<(String, String)>;

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &BenchArgs) -> Result<()> {
    let name = &args.appliance;
    let mut rows = Rows::new();
    let made = build::image(workspace, name, false, false)?;
    let live = Live::new();
    build::image(workspace, name, false, false)?;
    rows.push((
        "build, nothing changed".into(),
        ui::duration(live.elapsed()),
    ));
    one_line_change(workspace, name, &mut rows)?;
    sizes(&made.image, &mut rows)?;
    device(workspace, name, &made, &mut rows)?;
    service(workspace, name, &mut rows)?;
    print!("{}", table(&rows));
    Ok(())
}

/// A service is edited, in a clone: how long until there is a new image?
fn one_line_change(workspace: &Workspace, name: &str, rows: &mut Rows) -> Result<()> {
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
    let copy = workspace.at(&clone);
    build::image(&copy, name, false, false)?;
    let file = copy.path(&format!("crates/{name}/src/main.rs"));
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .context("the clock is before 1970")?
        .as_nanos();
    std::fs::write(&file, format!("{text}\n// {now}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let live = Live::new();
    build::image(&copy, name, false, false)?;
    rows.push((
        "build, one line of the service changed".into(),
        ui::duration(live.elapsed()),
    ));
    Ok(())
}

/// What the image and its layers weigh.
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
        serde_json::from_str(manifest).context("manifest.json is no JSON")?;
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

/// Boots a new card and looks at memory once the appliance answers.
fn device(workspace: &Workspace, name: &str, made: &Made, rows: &mut Rows) -> Result<()> {
    let folder = workspace.build(&format!("vm/bench-{name}"))?;
    let qemu = Qemu::new(folder.clone());
    let tools = vm::tools(workspace, &made.nix)?;
    vm::prepare_card(&qemu, &folder, &made.image, &tools, true, name)?;
    let (ssh, http) = (free_port()?, free_port()?);
    let web = vm::web_port(&made.nix, name);
    let mut forwards = vec![Forward {
        host: ssh,
        guest: 22,
    }];
    forwards.extend(web.map(|guest| Forward { host: http, guest }));
    let config = qemu.file("ssh.conf");
    let _ = std::fs::remove_file(qemu.file("known_hosts"));
    std::fs::write(&config, boot::ssh_config(name, ssh, &folder))
        .context("cannot write ssh.conf")?;

    let live = Live::new();
    let started = run_command(&mut qemu.command(&tools, &forwards, true))?;
    if !started.status.success() {
        bail!(
            "QEMU does not start: {}",
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
        rows.push((
            "power on until it answers (first boot, emulated)".into(),
            ui::duration(live.elapsed()),
        ));
        memory(&tools, &config, name, rows)
    });
    let stopped = qemu.stop();
    measured.and(stopped)
}

fn memory(tools: &Tools, config: &Path, name: &str, rows: &mut Rows) -> Result<()> {
    // Whatever belongs to booting has settled by then.
    let script = format!(
        "systemctl is-system-running --wait >/dev/null; sleep 20; cat /proc/meminfo; \
         cat /proc/$(systemctl show --value -p MainPID {name})/status"
    );
    let text = stdout_of(
        tools
            .command("ssh")
            .arg("-F")
            .arg(config)
            .arg(name)
            .arg(script),
    )?;
    let kilobytes = |field: &str| -> Option<u64> {
        text.lines().find_map(|l| {
            l.strip_prefix(field)?
                .trim_start_matches(':')
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
    };
    let used = kilobytes("MemTotal")
        .zip(kilobytes("MemAvailable"))
        .map(|(total, free)| total - free);
    for (what, value) in [
        ("RAM in use, idle".to_owned(), used),
        (format!("RSS of {name}"), kilobytes("VmRSS")),
    ] {
        rows.push((what, value.map_or("?".into(), |kb| ui::bytes(kb * 1024))));
    }
    Ok(())
}

/// The service's own load example, on this machine: it prints JSON.
fn service(workspace: &Workspace, name: &str, rows: &mut Rows) -> Result<()> {
    if !workspace
        .path(&format!("crates/{name}/examples/load.rs"))
        .exists()
    {
        return Ok(());
    }
    ui::say(format!("measuring {name} on this machine"));
    let mut cargo = program("cargo");
    cargo
        .args([
            "run",
            "--release",
            "--quiet",
            "--package",
            name,
            "--example",
            "load",
        ])
        .current_dir(workspace.root());
    let report: serde_json::Value =
        serde_json::from_str(&stdout_of(&mut cargo)?).context("the load example said no JSON")?;
    flatten("", &report, rows);
    Ok(())
}

/// Nested JSON as rows: "many_connections p99_us".
fn flatten(prefix: &str, value: &serde_json::Value, rows: &mut Rows) {
    match value {
        serde_json::Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(key, value)| flatten(format!("{prefix} {key}").trim(), value, rows));
        }
        other => rows.push((prefix.replace('_', " "), other.to_string())),
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

/// A table that reads well on a terminal and in the README.
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
    fn nested_reports_become_rows() {
        let mut rows = Rows::new();
        flatten(
            "",
            &serde_json::json!({"many_connections": {"p99_us": 812}}),
            &mut rows,
        );
        assert_eq!(
            rows,
            [("many connections p99 us".to_owned(), "812".to_owned())]
        );
    }
}

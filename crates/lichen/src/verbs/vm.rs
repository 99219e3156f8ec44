//! `lichen vm`: boots an appliance's image in QEMU, on a virtual card that persists.

use super::build;
use crate::lichen_toml;
use crate::nix::Nix;
use crate::ui;
use crate::vm::boot;
use crate::vm::disk;
use crate::vm::qemu::{Qemu, check_port};
use crate::vm::tools;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use emulator::{EXTRA, Forward, Tools};
use protocol::lichen_toml::{Provision, Ssh};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The card has the size of the smallest one on sale.
const CARD: u64 = 4 << 30;
/// The time limit for the first boot, under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Boot an appliance in QEMU and print its addresses
#[derive(Debug, clap::Args)]
pub struct VmArgs {
    /// A file appliances/APPLIANCE.nix
    appliance: String,
    /// Leave it running in the background; its console is logged to build/vm/APPLIANCE/console.log
    #[arg(long)]
    detach: bool,
    /// The local port that is forwarded to the appliance's web server
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    http: u16,
    /// The local port that is forwarded to the appliance's SSH server
    #[arg(long, value_name = "PORT", default_value_t = 2222)]
    ssh: u16,
    /// Start with a new card instead of the existing one
    #[arg(long)]
    fresh: bool,
    /// Shut down the one that runs in the background
    #[arg(long, conflicts_with_all = ["detach", "fresh"])]
    stop: bool,
}

/// Runs the verb.
pub fn run(workspace: &Workspace, args: &VmArgs) -> Result<()> {
    workspace.check_appliance(&args.appliance)?;
    let name = &args.appliance;
    let folder = workspace.build(&format!("vm/{name}"))?;
    let qemu = Qemu::new(folder.clone());
    if args.stop {
        if qemu.running().is_none() {
            crate::fail!(hint: format!("./lichen vm {name} --detach starts it"), "no virtual machine '{name}' is running");
        }
        qemu.stop()?;
        ui::say(format!("{name} is off; its card is kept"));
        return Ok(());
    }
    if let Some(pid) = qemu.running() {
        crate::fail!(hint: format!("./lichen vm {name} --stop"), "the virtual machine '{name}' runs already, as process {pid}");
    }
    check_port(args.http, "--http")?;
    check_port(args.ssh, "--ssh")?;

    let made = build::image(workspace, name, false)?;
    let tools = tools::build(workspace, &made.nix)?;
    prepare_card(&qemu, &folder, &made.image, &tools, args.fresh, name)?;
    let web = web_port(&made.nix, name);
    let mut forwards = vec![Forward {
        host: args.ssh,
        guest: 22,
    }];
    forwards.extend(web.map(|guest| Forward {
        host: args.http,
        guest,
    }));
    let _ = std::fs::remove_file(qemu.file("known_hosts"));
    std::fs::write(
        qemu.file("ssh.conf"),
        boot::ssh_config(name, args.ssh, &folder),
    )
    .context("cannot write ssh.conf")?;

    let log = workspace.build("log")?.join(format!("vm-{name}.log"));
    let errors =
        std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = qemu.command(&tools, &forwards, args.detach)?;
    if args.detach {
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(errors);
    }
    let mut child = command.spawn().context("cannot run QEMU")?;
    if !args.detach {
        announce(name, args, web.is_some());
        ui::say("this terminal is its console; Ctrl-A X pulls the plug");
        let status = child.wait().context("cannot wait for QEMU")?;
        if !status.success() {
            bail!("QEMU failed: {status}");
        }
        return Ok(());
    }
    if !child.wait().context("cannot wait for QEMU")?.success() {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        bail!("QEMU failed to start: {}", said.trim());
    }
    let there = || match web {
        Some(_) => boot::answers(args.http),
        None => boot::greets(args.ssh),
    };
    let up = boot::wait(&format!("{name} to answer"), PATIENCE, there, || {
        qemu.running().is_some()
    })
    .with_context(|| format!("see {}", qemu.file("console.log").display()))?;
    announce(name, args, web.is_some());
    if !up {
        crate::fail!(
            hint: format!("its console is {}", qemu.file("console.log").display()),
            "{name} runs but has not answered within {}",
            ui::duration(PATIENCE)
        );
    }
    Ok(())
}

fn announce(name: &str, args: &VmArgs, web: bool) {
    if web {
        println!("http://localhost:{}", args.http);
    }
    println!("ssh -F build/vm/{name}/ssh.conf {name}");
    ui::say(format!(
        "or: ssh -p {} root@localhost, with a key of ~/.ssh",
        args.ssh
    ));
}

/// Gives the machine its existing card, or a new one with the image and the owner's keys.
pub fn prepare_card(
    qemu: &Qemu,
    folder: &Path,
    image: &Path,
    tools: &Tools,
    fresh: bool,
    hostname: &str,
) -> Result<()> {
    let path = qemu.file("card.img");
    let origin = qemu.file("image");
    let real: PathBuf =
        std::fs::canonicalize(image).with_context(|| format!("{} is missing", image.display()))?;
    if path.exists() && !fresh {
        if std::fs::read_to_string(&origin).is_ok_and(|text| Path::new(text.trim()) != real) {
            ui::warn(
                "this machine's card was made from an earlier image and keeps running that; --fresh begins anew",
            );
        }
        return Ok(());
    }
    disk::copy(image, &path, CARD)?;
    let (keys, _) = boot::keys(tools, folder)?;
    let toml = lichen_toml::text(&Provision {
        hostname: Some(hostname.into()),
        ssh: Some(Ssh {
            authorized_keys: keys,
        }),
        ..Provision::default()
    })?;
    let files = [(lichen_toml::NAME, toml.as_str()), ("extra.env", EXTRA)];
    card::write_to_boot(&path, &files.map(|(name, text)| (name, text.as_bytes())))?;
    std::fs::write(&origin, real.display().to_string())
        .with_context(|| format!("cannot write {}", origin.display()))
}

/// The port of the appliance's web server: the first port that its firewall opens besides SSH.
pub fn web_port(nix: &Nix, appliance: &str) -> Option<u16> {
    let output =
        format!("nixosConfigurations.{appliance}.config.networking.firewall.allowedTCPPorts");
    let ports = nix.eval(&output, "ports: ports").ok()?;
    let ports = ports
        .as_array()?
        .iter()
        .filter_map(|p| u16::try_from(p.as_u64()?).ok());
    ports.filter(|p| *p != 22).min()
}

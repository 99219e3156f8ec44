//! `lichen vm`: boots an appliance's image in QEMU, on a virtual card that persists.

use super::build;
use super::flash;
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
use protocol::lichen_toml::{Provision, Secret, Ssh};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The card has the size of the smallest one on sale.
const CARD: u64 = 4 << 30;
const HELP: &str = "./lichen vm --help";
/// Kernel arguments that log root in on the console of this machine, which belongs to whoever started it. No image says so, and
/// nothing but the card's extra.env does (`agetty(8)`, `login(1)`, `systemd.system-credentials(7)`).
const LOGGED_IN: &str =
    "systemd.set_credential=agetty.autologin:root systemd.set_credential=login.noauth:yes";
/// The time limit for the first boot, under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a machine that can be reached may take for the rest. Its SSH server and its page start together.
const MOMENT: Duration = Duration::from_secs(30);

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
    /// A credential that a service imports by this name, from a file, or - for standard input
    #[arg(long, value_name = "NAME=FILE")]
    secret: Vec<String>,
    /// The size of a new card in MiB, GiB or TiB, such as 16G; 4G if not given. The file grows only as it is written to
    #[arg(long, value_name = "SIZE", value_parser = card_size)]
    card_size: Option<u64>,
    /// Shut down the one that runs in the background
    #[arg(long, conflicts_with_all = ["detach", "fresh", "secret", "card_size"])]
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
    let card = Card {
        fresh: args.fresh,
        size: args.card_size,
        secrets: flash::secrets(&args.secret)?,
    };
    flash::checked(&card.provision(), HELP)?;

    let made = build::image(workspace, name, false)?;
    let tools = tools::build(&made.nix)?;
    prepare_card(&qemu, &folder, &made.image, &tools, card, name)?;
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
        ui::say(
            "this terminal is its console, where root will be logged in; Ctrl-A X pulls the plug",
        );
        ui::say(
            "U-Boot warns of a bad CRC and of a missing TPM: that is so on each emulated machine, and harmless",
        );
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
    let alive = || qemu.running().is_some();
    let silent = boot::reach(
        name,
        args.ssh,
        web.map(|_| args.http),
        [PATIENCE, MOMENT],
        alive,
    )
    .with_context(|| format!("see {}", qemu.file("console.log").display()))?;
    announce(name, args, web.is_some());
    let Some(silent) = silent else {
        crate::fail!(
            hint: format!("its console is {}", qemu.file("console.log").display()),
            "{name} runs but has not answered within {}",
            ui::duration(PATIENCE)
        );
    };
    for what in silent {
        ui::warn(format!(
            "{what} does not answer yet; the console is {}",
            qemu.file("console.log").display()
        ));
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

/// What the card of a machine shall be.
#[derive(Debug, Default)]
pub struct Card {
    /// A new one, though there is one.
    pub fresh: bool,
    /// The size in bytes, if it matters.
    pub size: Option<u64>,
    /// The secrets that the device gets at its next boot, by their names.
    pub secrets: BTreeMap<String, Secret>,
}

impl Card {
    fn provision(&self) -> Provision {
        Provision {
            secrets: self.secrets.clone(),
            ..Provision::default()
        }
    }
}

/// A number with M, G or T, as QEMU understands it.
fn card_size(text: &str) -> Result<u64, String> {
    let units = [("M", 20), ("G", 30), ("T", 40)];
    let size = units.into_iter().find_map(|(unit, bits)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << bits).filter(|size| *size > 0)
    });
    size.ok_or_else(|| "a size is a number with M, G or T, such as 16G".into())
}

/// Gives the machine its existing card, or a new one with the image and the owner's keys.
pub fn prepare_card(
    qemu: &Qemu,
    folder: &Path,
    image: &Path,
    tools: &Tools,
    card: Card,
    hostname: &str,
) -> Result<()> {
    let path = qemu.file("card.img");
    let origin = qemu.file("image");
    let real: PathBuf =
        std::fs::canonicalize(image).with_context(|| format!("{} is missing", image.display()))?;
    if path.exists() && !card.fresh {
        if std::fs::read_to_string(&origin).is_ok_and(|text| Path::new(text.trim()) != real) {
            ui::warn(
                "this machine's card was made from an earlier image and keeps running that; --fresh begins anew",
            );
        }
        return change_card(&path, card);
    }
    let size = card.size.unwrap_or(CARD);
    let needs = disk::size(image)?;
    if size < needs {
        let needs = ui::bytes(needs);
        crate::fail!(hint: format!("./lichen vm {hostname} --card-size 4G"), "the image takes {needs}, and a card of {} is too small for it", ui::bytes(size));
    }
    disk::copy(image, &path, size)?;
    let (keys, _) = boot::keys(tools, folder)?;
    let toml = lichen_toml::text(&Provision {
        hostname: Some(hostname.into()),
        ssh: Some(Ssh {
            authorized_keys: keys,
        }),
        ..card.provision()
    })?;
    let extra = format!("{} {LOGGED_IN}\n", EXTRA.trim_end());
    let files = [(lichen_toml::NAME, toml.as_str()), ("extra.env", &extra)];
    card::write_to_boot(&path, &files.map(|(name, text)| (name, text.as_bytes())))?;
    std::fs::write(&origin, real.display().to_string())
        .with_context(|| format!("cannot write {}", origin.display()))
}

/// Puts further secrets on a card that there is. Its size stays.
fn change_card(path: &Path, card: Card) -> Result<()> {
    let has = disk::size(path)?;
    if card.size.is_some_and(|size| size != has) {
        crate::fail!(hint: "--fresh begins anew with another one", "this machine has a card of {}", ui::bytes(has));
    }
    if card.secrets.is_empty() {
        return Ok(());
    }
    // What the device has not read yet stays.
    let waiting = card::read_from_boot(path, lichen_toml::NAME).unwrap_or_default();
    let waiting = protocol::lichen_toml::read(&waiting, &|_| true).unwrap_or_default();
    let toml = lichen_toml::text(&waiting.merge(card.provision()))?;
    card::write_to_boot(path, &[(lichen_toml::NAME, toml.as_bytes())])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_the_size_that_was_asked_for() {
        assert_eq!(card_size("16G"), Ok(16 << 30));
        assert_eq!(card_size("512M"), Ok(512 << 20));
        for wrong in ["", "16", "0G", "-1G", "16 G", "99999999999T"] {
            assert!(card_size(wrong).is_err(), "{wrong}");
        }
    }

    /// A machine with a card of 4 MiB, and what is done to it.
    fn prepared(first: Card, then: Option<Card>) -> Result<Provision> {
        let folder = tempfile::tempdir()?;
        let tools = emulator::testing::tools(folder.path()).unwrap();
        // So that no key has to be made.
        std::fs::write(folder.path().join("key"), "")?;
        std::fs::write(folder.path().join("key.pub"), KEY)?;
        let image = folder.path().join("image.img");
        card::testing::card(&image)?;
        let qemu = Qemu::new(folder.path().into());
        for card in [Some(first), then].into_iter().flatten() {
            prepare_card(&qemu, folder.path(), &image, &tools, card, "attic")?;
        }
        let extra = card::read_from_boot(&qemu.file("card.img"), "extra.env")?;
        let extra = String::from_utf8(extra)?;
        assert!(
            extra.starts_with("extra=") && extra.lines().count() == 1,
            "{extra}"
        );
        assert!(extra.trim_end().ends_with(LOGGED_IN), "{extra}");
        let toml = card::read_from_boot(&qemu.file("card.img"), lichen_toml::NAME)?;
        Ok(protocol::lichen_toml::read(&toml, &|_| true).unwrap())
    }

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1lCyLg8uNLwgEd7CM/8mxZGPTlWUQ9F5OG9JYyqUVn vm";

    fn with_secret(name: &str) -> Card {
        Card {
            secrets: [(name.to_owned(), Secret::from("x".to_owned()))].into(),
            ..Card::default()
        }
    }

    #[test]
    fn secrets_reach_a_new_card_and_one_that_there_is() {
        let found = prepared(with_secret("recorder.token"), None).unwrap();
        assert_eq!(found.hostname.as_deref(), Some("attic"));
        assert_eq!(found.ssh.unwrap().authorized_keys[0], KEY);
        assert!(found.secrets.contains_key("recorder.token"));
        let found = prepared(with_secret("recorder.token"), Some(with_secret("other"))).unwrap();
        let names: Vec<&String> = found.secrets.keys().collect();
        assert_eq!(names, ["other", "recorder.token"]);
        assert_eq!(found.hostname.as_deref(), Some("attic"), "it stays");
    }

    #[test]
    fn a_card_that_cannot_have_the_size_is_refused() {
        let sized = |size| Card {
            size: Some(size),
            ..Card::default()
        };
        let error = prepared(sized(1), None).unwrap_err().to_string();
        assert!(error.contains("a card of 1 B is too small"), "{error}");
        let error = prepared(Card::default(), Some(sized(16 << 30))).unwrap_err();
        let hint = crate::failure::hint_of(&error);
        assert_eq!(
            hint.as_deref(),
            Some("--fresh begins anew with another one")
        );
    }
}

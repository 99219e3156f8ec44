//! Debian's programs: a target, and somebody to be compared with.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use emulator::Tools;
use kit::testing::{eventually, nobody, try_call};
use serde_json::{Value, json};

/// A root that has Prometheus, if it is not installed on this machine.
const ROOT: &str = "CHECK_TOOLS";
/// In how many parts Linux tells a second of processor time to programs.
const TICKS: f64 = 100.0;

/// A running program; it is killed when this is dropped.
pub struct Program {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
    folder: PathBuf,
}

/// What a program uses.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time since its start.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
}

impl Program {
    fn start(mut command: Command, address: SocketAddr, folder: PathBuf) -> Result<Self> {
        let name = format!("{command:?}");
        let log = fs::File::create(folder.with_extension("log"))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = child.stderr(log).spawn();
        let program = Program {
            address,
            child: child.with_context(|| format!("cannot start {name}"))?,
            folder,
        };
        eventually("it answers", || {
            try_call(address, "GET", "/metrics", &[], "").ok()
        });
        Ok(program)
    }

    /// What it uses now.
    pub fn usage(&self) -> Result<Usage> {
        let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
        let (stat, status) = (of("stat")?, of("status")?);
        let (_, fields) = stat.rsplit_once(") ").context("/proc: stat")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("/proc: stat")?;
        let resident = status.lines().find_map(|line| {
            let text = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            text.parse::<u64>().ok()
        });
        Ok(Usage {
            cpu_seconds: (user + system) / TICKS,
            resident_bytes: resident.context("/proc: VmRSS")? * 1024,
        })
    }

    /// How many bytes the files have that it keeps.
    pub fn bytes_on_disk(&self) -> Result<u64> {
        bytes(&self.folder)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bytes(folder: &Path) -> Result<u64> {
    let mut all = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        all += match about.is_dir() {
            true => bytes(&entry.path())?,
            false => about.len(),
        };
    }
    Ok(all)
}

/// The target that tells of this machine.
pub fn node_exporter(place: &Path) -> Result<Program> {
    let address = nobody();
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}"));
    let started = Program::start(command, address, place.join("node-exporter"));
    started.context("hint: apt-get install --no-install-recommends prometheus-node-exporter")
}

/// Prometheus as an agent with these targets, if there is one.
pub fn agent(
    place: &Path,
    interval: usize,
    targets: &[(String, SocketAddr)],
    url: &str,
) -> Result<Option<Program>> {
    let root = std::env::var_os(ROOT).map(PathBuf::from);
    let tools = root.map_or_else(Tools::of_this_machine, Tools::new);
    if tools
        .command("prometheus")
        .arg("--version")
        .output()
        .is_err()
    {
        return Ok(None);
    }
    let jobs = targets.iter().map(|(job, at)| {
        let static_configs =
            json!([{ "targets": [at.to_string()], "labels": { "instance": "rack7" } }]);
        json!({ "job_name": job, "static_configs": static_configs })
    });
    let jobs: Vec<Value> = jobs.collect();
    let interval = format!("{interval}s");
    let config = json!({
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "external_labels": { "customer": "acme", "location": "cellar" },
        },
        "scrape_configs": jobs,
        "remote_write": [{ "url": url }],
    });
    let file = place.join("agent.yml");
    // JSON is valid YAML.
    fs::write(&file, config.to_string())?;
    let (address, folder) = (nobody(), place.join("agent"));
    let mut command = tools.command("prometheus");
    command
        .arg("--enable-feature=agent")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.agent.path={}", folder.display()))
        .arg(format!("--web.listen-address={address}"));
    Program::start(command, address, folder).map(Some)
}

//! Debian's programs: a target, and those that the courier is compared with.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use emulator::Tools;
use kit::ProcessUsage;
use kit::testing::{eventually, nobody, try_call};
use serde_json::{Value, json};

/// A root that has them; without it, those of this machine are taken.
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

impl From<ProcessUsage> for Usage {
    fn from(usage: ProcessUsage) -> Self {
        Usage {
            cpu_seconds: usage.cpu_seconds,
            resident_bytes: usage.resident_bytes,
        }
    }
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

/// What is scraped.
pub struct Target {
    /// The name of its job.
    pub job: String,
    /// Where it tells its metrics.
    pub address: SocketAddr,
}

impl Target {
    /// A target.
    pub fn new(job: impl Into<String>, address: SocketAddr) -> Self {
        Target {
            job: job.into(),
            address,
        }
    }
}

/// Where Debian's programs are.
pub struct Debian(Tools);

impl Debian {
    /// In the root of the tests, or on this machine.
    pub fn find() -> Self {
        let root = std::env::var_os(ROOT).map(PathBuf::from);
        Debian(root.map_or_else(Tools::of_this_machine, Tools::new))
    }

    /// The target that tells of this machine.
    pub fn node_exporter(&self, place: &Path) -> Result<Program> {
        let address = nobody();
        let mut command = self.0.command("prometheus-node-exporter");
        command.arg(format!("--web.listen-address={address}"));
        let started = Program::start(command, address, place.join("node-exporter"));
        started.with_context(|| format!("hint: {ROOT}=DIRECTORY names a root that has it"))
    }

    /// Prometheus as an agent with these targets.
    pub fn prometheus_agent(
        &self,
        place: &Path,
        interval: usize,
        targets: &[Target],
        url: &str,
    ) -> Result<Option<Program>> {
        let Some(mut command) = self.program("prometheus", "--version") else {
            return Ok(None);
        };
        let mut config = scrape_config(interval, targets);
        config["remote_write"] = json!([{ "url": url }]);
        let (address, folder) = (nobody(), place.join("prometheus-agent"));
        command
            .arg("--enable-feature=agent")
            .arg(format!("--config.file={}", written(&folder, &config)?))
            .arg(format!("--storage.agent.path={}", folder.display()))
            .arg(format!("--web.listen-address={address}"));
        Program::start(command, address, folder).map(Some)
    }

    /// vmagent with these targets. By itself it speaks a protocol of VictoriaMetrics' own if the receiver knows that one.
    pub fn vmagent(
        &self,
        place: &Path,
        interval: usize,
        targets: &[Target],
        url: &str,
    ) -> Result<Option<Program>> {
        let Some(mut command) = self.program("vmagent", "-version") else {
            return Ok(None);
        };
        let (address, folder) = (nobody(), place.join("vmagent"));
        let config = written(&folder, &scrape_config(interval, targets))?;
        command
            .arg(format!("-promscrape.config={config}"))
            .arg(format!("-remoteWrite.url={url}"))
            .arg("-remoteWrite.forcePromProto")
            .arg(format!("-remoteWrite.tmpDataPath={}", folder.display()))
            .arg(format!("-httpListenAddr={address}"));
        Program::start(command, address, folder).map(Some)
    }

    /// A program, if it is there and can tell its version.
    fn program(&self, name: &str, version: &str) -> Option<Command> {
        self.0.command(name).arg(version).output().ok()?;
        Some(self.0.command(name))
    }
}

/// What Prometheus and vmagent both understand.
fn scrape_config(interval: usize, targets: &[Target]) -> Value {
    let jobs = targets.iter().map(|target| {
        let address = target.address.to_string();
        let labelled = json!({ "targets": [address], "labels": { "instance": "rack7" } });
        json!({ "job_name": target.job, "static_configs": [labelled] })
    });
    let jobs: Vec<Value> = jobs.collect();
    json!({
        "global": {
            "scrape_interval": format!("{interval}s"),
            "scrape_timeout": format!("{}s", interval.min(10)),
            "external_labels": { "customer": "acme", "location": "cellar" },
        },
        "scrape_configs": jobs,
    })
}

/// Writes the configuration of the program that keeps its data in `folder`; where it is.
fn written(folder: &Path, config: &Value) -> Result<String> {
    let file = folder.with_extension("yml");
    // JSON is valid YAML.
    fs::write(&file, config.to_string())?;
    Ok(file.display().to_string())
}

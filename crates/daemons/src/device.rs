//! A device that has nothing but one server: `/usr` and `/etc` as the page makes them, and data of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use emulator::Tools;
use rustix::process::{Pid, Signal, kill_process};
use testbed::wait_until;

use crate::unit::Unit;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Servers that have been built already; without it, Nix is asked.
const SERVERS: &str = "SERVERS";
/// How often systemd would have to start a server again before a test takes it for broken.
const MOST_STARTS: usize = 4;

/// What a server on a small file system says before each start.
pub const STARTED: &str = "the server is started";

/// Where a server has its data.
#[derive(Debug, Clone, Copy)]
enum Data {
    /// In a folder of the device, which outlives the server.
    Kept,
    /// On a file system of so many bytes, which is gone with the server.
    Small(u64),
}

/// One server's part of a device. It is in a folder that is gone when this is dropped.
pub struct Device {
    unit: Unit,
    folder: tempfile::TempDir,
    ids: (u32, u32),
    etc: PathBuf,
    /// Whether it is reached through the network of this machine, where ports are taken; otherwise it has one of its own.
    networked: bool,
}

impl Device {
    /// A device with this unit of the page, and no data yet, and with a network of its own; unless `instead` replaces addresses, which the
    /// unit and its file below `/etc` say, by those of this machine.
    pub fn new(unit: &str, instead: &[(&str, String)]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("lichen-server-")
            .tempdir_in(home())?;
        let original = servers()?.join("etc").canonicalize()?;
        let mut unit = Unit::read(&original, unit)?;
        let etc = folder.path().join("etc");
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=mode"])
            .arg(&original)
            .arg(&etc);
        ensure(&mut copy)?;
        // Scripts were executable, and some of the rest is secret on a device.
        for entry in fs::read_dir(etc.join("lichen/scripts"))? {
            executable(&entry?.path())?;
        }
        for (from, to) in instead {
            unit.start = unit.start.replace(from, to);
            for word in unit.start.split(['=', ' ', '\'']) {
                let Some(file) = word.strip_prefix("/etc/") else {
                    continue;
                };
                let file = etc.join(file);
                fs::write(&file, fs::read_to_string(&file)?.replace(from, to))?;
            }
        }
        let users = fs::read_to_string(etc.join("passwd"))?;
        let ids = ids(&users, &unit.user)
            .with_context(|| format!("the page has no user {}", unit.user))?;
        let device = Device {
            unit,
            folder,
            ids,
            etc,
            networked: !instead.is_empty(),
        };
        fs::create_dir_all(device.data())?;
        fs::create_dir_all(device.runtime())?;
        fs::create_dir_all(device.traces())?;
        Ok(device)
    }

    /// The folder that the server keeps its data in.
    pub fn data(&self) -> PathBuf {
        self.var_lib().join(&self.unit.state)
    }

    /// That folder, as the server calls it.
    pub fn data_there(&self) -> PathBuf {
        Path::new("/var/lib").join(&self.unit.state)
    }

    /// The folder of its sockets.
    pub fn runtime(&self) -> PathBuf {
        self.run()
            .join(self.unit.runtime.as_deref().unwrap_or_default())
    }

    /// Its `/run`.
    pub fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Where data are: those of the server and, only for who looks from outside, what else is put there.
    pub fn var_lib(&self) -> PathBuf {
        self.folder.path().join("var/lib")
    }

    fn traces(&self) -> PathBuf {
        self.folder.path().join("traces")
    }

    /// What strace writes when it is told to write to `/traces/NAME`.
    pub fn trace(&self, name: &str) -> PathBuf {
        self.traces().join(name)
    }

    /// `line` of a shell, confined to this device.
    fn command(&self, data: Data, line: &str, more: &[(&str, &str)]) -> Result<Command> {
        let root = root()?;
        let mut command = Tools::new(root.clone()).command("bwrap");
        let ids = [self.ids.0.to_string(), self.ids.1.to_string()];
        command
            .args(["--unshare-user", "--unshare-pid", "--unshare-ipc"])
            .args(["--die-with-parent", "--uid", &ids[0], "--gid", &ids[1]])
            .arg("--ro-bind")
            .arg(root.join("usr"))
            .arg("/usr");
        if !self.networked {
            command.arg("--unshare-net");
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
        }
        command
            .arg("--ro-bind")
            .arg(&self.etc)
            .arg("/etc")
            .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"])
            .arg("--bind")
            .arg(self.run())
            .arg("/run")
            .arg("--bind")
            .arg(self.traces())
            .arg("/traces");
        match data {
            Data::Kept => command.arg("--bind").arg(self.data()),
            Data::Small(bytes) => command
                .args(["--perms", "0700", "--size", &bytes.to_string()])
                .arg("--tmpfs"),
        };
        command
            .arg(self.data_there())
            .args(["--chdir", "/", "--clearenv"])
            .args(["--setenv", "PATH", "/usr/bin:/usr/sbin"]);
        let environment = self.unit.environment.iter();
        let environment = environment.map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in environment.chain(more.iter().copied()) {
            command.args(["--setenv", name, value]);
        }
        command.args(["--", "/usr/bin/sh", "-c", &format!("umask 0077; {line}")]);
        Ok(command)
    }

    /// Runs a script of the unit, and returns what it said.
    fn script(&self, script: Option<&String>, more: &[(&str, &str)]) -> Result<Vec<String>> {
        let Some(script) = script else {
            return Ok(Vec::new());
        };
        let output = self.command(Data::Kept, script, more)?.output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if !output.status.success() {
            bail!("{script} ended with {}: {said}", output.status);
        }
        Ok(said.lines().map(str::to_owned).collect())
    }

    /// Starts the server as systemd would, after the script before it. `tracer` is put before both.
    pub fn start(&self, tracer: &str) -> Result<Server> {
        let before = self.unit.before.as_deref().unwrap_or("true");
        let both = format!("{before} && exec {}", self.unit.start);
        let line = format!("exec {tracer} /usr/bin/sh -c \"$BOTH\"");
        self.launch(Data::Kept, &line, &[("BOTH", &both)])
    }

    /// Starts the server with its data on a file system that is so small, which is gone with it. There it is started again, with the
    /// scripts before and after, whenever it ends, as systemd would; each time [`STARTED`] is among its lines. The unit `timed`, which has a
    /// timer on a device, runs every second.
    pub fn start_small(&self, bytes: u64, timed: Option<&str>) -> Result<Server> {
        let script = |script: &Option<String>| script.clone().unwrap_or("true".into());
        let (before, after) = (script(&self.unit.before), script(&self.unit.after));
        let start = &self.unit.start;
        let timed = match timed {
            None => String::new(),
            Some(name) => {
                let unit = Unit::read(&self.etc, name)?;
                let condition = unit.condition.unwrap_or("/".into());
                let start = unit.start;
                format!("while sleep 1; do [ ! -e {condition} ] || {start}; done &")
            }
        };
        let line = format!(
            "{timed} while :; do echo '{STARTED}'; {before} && {start}; EXIT_STATUS=$?; EXIT_CODE=exited; \
             [ $EXIT_STATUS -le 128 ] || EXIT_CODE=killed; export EXIT_CODE EXIT_STATUS; {after}; sleep 1; done"
        );
        self.launch(Data::Small(bytes), &line, &[])
    }

    fn launch(&self, data: Data, line: &str, more: &[(&str, &str)]) -> Result<Server> {
        let mut command = self.command(data, line, more)?;
        let (reader, writer) = std::io::pipe()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        drop(command);
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let heard = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                heard
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Ok(Server {
            child,
            lines,
            reader: Some(reader),
        })
    }

    /// Starts the server, and as often again as systemd would if it ends, until it is `ready`. Says how often it ended, and which errors the
    /// scripts before its starts put into the journal.
    pub fn up<T>(&self, mut ready: impl FnMut() -> Result<T>) -> Result<Up<T>> {
        let mut said = Vec::new();
        for _ in 0..MOST_STARTS {
            let mut server = self.start("")?;
            let is_ready = server.ready(&mut ready)?;
            let errors = server.lines().into_iter();
            said.extend(errors.filter(|line| line.starts_with("<3>")));
            match is_ready {
                Some(value) => {
                    return Ok(Up {
                        server,
                        value,
                        said,
                    });
                }
                None => {
                    let (status, lines) = server.ended()?;
                    let code = status.code().filter(|code| *code < 128);
                    let (how, number) = match (code, status.signal()) {
                        (Some(code), _) => ("exited", code),
                        (None, signal) => {
                            ("killed", signal.unwrap_or_else(|| status.into_raw() >> 8))
                        }
                    };
                    let number = number.to_string();
                    let more = [("EXIT_CODE", how), ("EXIT_STATUS", number.as_str())];
                    let mut after = self.script(self.unit.after.as_ref(), &more)?;
                    after.push(format!("it ended: {how} {number}: {}", tail(&lines)));
                    said.extend(after);
                }
            }
        }
        bail!(
            "{} did not start in {MOST_STARTS} tries:\n{}",
            self.unit.name,
            said.join("\n")
        )
    }
}

/// A server that is up.
pub struct Up<T> {
    /// It.
    pub server: Server,
    /// What its readiness gave.
    pub value: T,
    /// Of each try: the errors that the scripts put into the journal, and how it ended if it did.
    pub said: Vec<String>,
}

/// A running server. All of its processes are killed at once when this is dropped.
pub struct Server {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Waits until `ready`; `None` if it ended before.
    pub fn ready<T>(&mut self, mut ready: impl FnMut() -> Result<T>) -> Result<Option<T>> {
        let found = wait_until("the server", Duration::from_secs(120), || {
            if self.child.try_wait()?.is_some() {
                return Ok(None);
            }
            ready().map(Some)
        });
        found.with_context(|| tail(&self.lines()))
    }

    /// What it has said until now.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }

    /// The main process of the server.
    fn pid(&self) -> Result<u32> {
        let mut pid = self.child.id();
        loop {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
            // bwrap itself is started by the loader.
            if !["ld-linux-x86-64", "bwrap", "strace", "sh"].contains(&name.trim_end()) {
                return Ok(pid);
            }
            pid = child(pid)?;
        }
    }

    /// A folder of the device, as it is there.
    pub fn there(&self, folder: &Path) -> Result<PathBuf> {
        let inside = child(self.child.id())?;
        let root = PathBuf::from(format!("/proc/{inside}/root"));
        Ok(root.join(folder.strip_prefix("/")?))
    }

    /// Waits until it ends by itself, which a job does.
    pub fn end(mut self) -> Result<(ExitStatus, Vec<String>)> {
        self.ended()
    }

    /// Lets it end in order, by this signal.
    pub fn stop(mut self, signal: Signal) -> Result<Vec<String>> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw);
        kill_process(pid.context("not a process")?, signal)?;
        Ok(self.ended()?.1)
    }

    /// Kills all of its processes at once, as a power cut does, and waits until they are gone.
    pub fn kill(mut self) -> Result<Vec<String>> {
        kill_process(Pid::from_child(&self.child), Signal::KILL)?;
        Ok(self.ended()?.1)
    }

    fn ended(&mut self) -> Result<(ExitStatus, Vec<String>)> {
        let status = self.child.wait()?;
        // Each of its processes holds the other end of this pipe.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Ok((status, self.lines()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.ended();
    }
}

/// The first child of a process.
fn child(pid: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let first = children.split_whitespace().next();
    Ok(first.context("the server has no process yet")?.parse()?)
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Where devices are: in memory, if it has room for some, since a start after a cut syncs all that it finds.
fn home() -> PathBuf {
    const MEMORY: &str = "/dev/shm";
    let room = rustix::fs::statvfs(MEMORY).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    if room < 2 << 30 {
        return std::env::temp_dir();
    }
    MEMORY.into()
}

/// The ids of a user of `passwd`.
fn ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(user))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o755),
    )?)
}

fn ensure(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// The folder with the root of Debian's programs and the page's `/etc`; builds it if it is not there yet.
pub(crate) fn servers() -> Result<&'static Path> {
    static SERVERS_ROOT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(root) = SERVERS_ROOT.get() {
        return Ok(root);
    }
    let root = match std::env::var_os(SERVERS) {
        Some(root) => root.into(),
        None => build()?,
    };
    Ok(SERVERS_ROOT.get_or_init(|| root))
}

/// The root of Debian's programs.
pub(crate) fn root() -> Result<PathBuf> {
    Ok(servers()?.join("root").canonicalize()?)
}

fn build() -> Result<PathBuf> {
    let mut nix = Command::new("nix");
    nix.args(["--extra-experimental-features", "nix-command flakes"])
        .args(["build", "--no-link", "--json", "--no-write-lock-file"])
        .arg(format!("git+file://{CHECKOUT}#servers"))
        .stdin(Stdio::null());
    let output = nix.output().context("cannot run nix")?;
    if !output.status.success() {
        bail!(
            "the servers cannot be built\nhint: {SERVERS}=DIRECTORY names a folder that has them\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let built: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let path = built[0]["outputs"]["out"].as_str();
    Ok(path.context("nix does not say what it has built")?.into())
}

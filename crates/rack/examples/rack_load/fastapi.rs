//! The same endpoints in FastAPI, as `bench/fastapi` has them.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use daemons::{free_port, get};
use rustix::process::{Pid, Signal, kill_process};
use testbed::wait_until;

use crate::local;
use crate::world::World;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/fastapi");
const WORKERS: &str = "4";
/// Longer than nginx keeps its connections, which is 60 s; the planner has the same.
const KEEP_ALIVE: &str = "75";

/// It, running.
pub struct FastApi {
    /// Where it is.
    pub address: SocketAddr,
    bin: PathBuf,
    child: Child,
    folder: tempfile::TempDir,
}

impl FastApi {
    /// Installs it, if that was not done before, and starts it.
    pub fn start(world: &World) -> Result<Self> {
        let bin = installed()?.join("bin");
        let address = local(free_port()?);
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        let (host, name, user) = world.database();
        let child = Command::new(bin.join("gunicorn"))
            .args(["app:app", "--chdir", SOURCES, "--workers", WORKERS])
            .args(["--worker-class", "uvicorn_worker.UvicornWorker"])
            .args(["--bind", &address.to_string(), "--backlog", "4096"])
            .args(["--keep-alive", KEEP_ALIVE, "--log-level", "warning"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DATABASE_FOLDER", host)
            .env("DATABASE_NAME", name)
            .env("DATABASE_USER", user)
            .env("CACHE_SOCKET", world.cache())
            .env("REQUESTS_PER_MINUTE", world.per_minute().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut fastapi = FastApi {
            address,
            bin,
            child,
            folder,
        };
        let ready = wait_until("FastAPI", Duration::from_secs(120), || {
            ensure!(fastapi.child.try_wait()?.is_none(), "it ended");
            get(address, "/health/ready")
        });
        ready.map(drop).with_context(|| fastapi.said())?;
        Ok(fastapi)
    }

    /// The interpreter and the packages that matter.
    pub fn versions(&self) -> Result<String> {
        let script = "import platform\nfrom importlib.metadata import version\n\
            names = ['fastapi', 'gunicorn', 'uvicorn', 'uvloop', 'httptools', 'orjson', 'asyncpg', 'redis', 'hiredis']\n\
            print('Python', platform.python_version(), *(f'{name} {version(name)}' for name in names), sep=', ')";
        let mut python = Command::new(self.bin.join("python"));
        let output = python.args(["-c", script]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for FastApi {
    fn drop(&mut self) {
        // Its workers are told to end, too.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The virtual environment, which is made if there is none with these requirements.
fn installed() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    // target/release/examples/rack_load
    let target = program
        .ancestors()
        .nth(3)
        .context("not in a target folder")?;
    let (folder, wanted) = (
        target.join("rack-bench"),
        Path::new(SOURCES).join("requirements.txt"),
    );
    let text = fs::read_to_string(&wanted)?;
    let done = folder.join("installed.txt");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == text) {
        return Ok(folder);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder))
    .context("hint: apt-get install --no-install-recommends python3-venv")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--only-binary", ":all:", "--requirement"]);
    run(pip.arg(&wanted))?;
    fs::write(&done, text)?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

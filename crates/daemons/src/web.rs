//! nginx with the page's configuration, on ports of this machine.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emulator::Tools;
use rustix::process::{Pid, Signal, kill_process};
use testbed::wait_until;

use crate::authority::{free_port, openssl};
use crate::device::{Device, root, servers};

/// Where the planner of the page is.
const PLANNER: &str = "127.0.0.1:8084";

/// A running nginx.
pub struct Web {
    folder: tempfile::TempDir,
    /// The port of HTTP.
    pub http: u16,
    /// The port of HTTPS.
    pub tls: u16,
    child: Child,
}

impl Web {
    /// Starts it, with the files below `/run` and `/var/lib` that this device has.
    pub fn start(device: &Device, http: u16, tls: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let places = [device.run(), device.var_lib()];
        Self::with(folder, &places, [http, tls], 1, Limits::AsThePageHasThem)
    }

    /// Starts it before a planner at this port of this machine. Whoever comes from `::1` is taken for somebody outside of the local
    /// network.
    pub fn before(planner: u16) -> Result<Self> {
        Self::before_planner(planner, Limits::AsThePageHasThem)
    }

    /// Starts it before a planner at this port of this machine, without the limits of how much one address may ask for: who measures what
    /// a planner can do is one address.
    pub fn without_limits(planner: u16) -> Result<Self> {
        Self::before_planner(planner, Limits::None)
    }

    fn before_planner(planner: u16, limits: Limits) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let places = ["run", "lib"].map(|name| folder.path().join(name));
        let ports = [free_port()?, free_port()?];
        Self::with(folder, &places, ports, planner, limits)
    }

    fn with(
        folder: tempfile::TempDir,
        [run, data]: &[PathBuf; 2],
        [http, tls]: [u16; 2],
        planner: u16,
        limits: Limits,
    ) -> Result<Self> {
        let etc = servers()?.join("etc").canonicalize()?;
        let there = |path: &Path| path.display().to_string();
        // What it writes itself is in a folder of its own. Who runs the test may be root, and then the workers are, too.
        let page = fs::read_to_string(etc.join("nginx/nginx.conf"))?
            .replace("/run/nginx/", &format!("{}/", there(folder.path())))
            .replace("/var/cache/nginx/", &format!("{}/", there(folder.path())))
            .replace("/run/", &format!("{}/", there(run)))
            .replace("/var/lib/", &format!("{}/", there(data)))
            .replace(
                "/etc/nginx/",
                &format!("{}/nginx/", there(&root()?.join("etc"))),
            )
            .replace(PLANNER, &format!("127.0.0.1:{planner}"))
            .replace("::1 1;", "::1 0;")
            .replace("[::0]:", "[::1]:")
            .replace("0.0.0.0:", "127.0.0.1:")
            .replace(":8080", &format!(":{http}"))
            .replace(":8443", &format!(":{tls}"));
        let page = match limits {
            Limits::AsThePageHasThem => page,
            Limits::None => unlimited(&page),
        };
        signed(&page)?;
        let user = match rustix::process::geteuid().is_root() {
            true => "user root;\n",
            false => "",
        };
        let config = folder.path().join("nginx.conf");
        fs::write(&config, format!("daemon off;\n{user}{page}"))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut nginx = Tools::new(root()?).command("nginx");
        nginx.arg("-p").arg(folder.path()).arg("-c").arg(&config);
        let child = nginx
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut web = Web {
            folder,
            http,
            tls,
            child,
        };
        let up = wait_until("nginx", Duration::from_secs(60), || {
            ensure!(web.child.try_wait()?.is_none(), "it ended");
            web.issuer()
        });
        up.map(drop).with_context(|| web.said())?;
        Ok(web)
    }

    /// Who signed the certificate that it shows.
    pub fn issuer(&self) -> Result<String> {
        let address = format!("127.0.0.1:{}", self.tls);
        let shown = openssl(&["s_client", "-connect", &address, "-servername", "rack.test"])?;
        let line = shown.lines().find(|line| line.starts_with("issuer="));
        Ok(line.context("it shows no certificate")?.to_owned())
    }

    /// All that is answered when this is said to the planner's host over TLS; the request has to say that it is the last one.
    pub fn says_over_tls(&self, request: &str) -> Result<String> {
        let address = format!("127.0.0.1:{}", self.tls);
        let mut client = Tools::new(root()?).command("openssl");
        client
            .args(["s_client", "-quiet", "-servername", "planner.test"])
            .args(["-connect", &address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut client = client.spawn()?;
        let mut stdin = client.stdin.take().context("no input")?;
        stdin.write_all(request.as_bytes())?;
        let output = client.wait_with_output()?;
        drop(stdin);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the reload of its unit does.
    pub fn reload(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::HUP)?)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// How much one address may ask for.
enum Limits {
    AsThePageHasThem,
    None,
}

/// The page without what limits an address.
fn unlimited(page: &str) -> String {
    let limits = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("limit_req ") || line.starts_with("limit_conn ")
    };
    page.lines()
        .filter(|line| !limits(line))
        .fold(String::new(), |page, line| page + line + "\n")
}

/// Signs certificates for the hosts of this page that have none yet, as a device does at its first boot.
fn signed(page: &str) -> Result<()> {
    for line in page.lines() {
        let file = line.trim().strip_prefix("ssl_certificate ");
        let Some(file) = file.and_then(|rest| rest.strip_suffix(';')) else {
            continue;
        };
        if Path::new(file).exists() {
            continue;
        }
        fs::create_dir_all(Path::new(file).parent().context("no folder")?)?;
        let [key, certificate] = ["key", "crt"].map(|kind| format!("{file}.{kind}"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-subj",
            "/CN=own",
            "-days",
            "9",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ])?;
        let both = fs::read_to_string(key)? + &fs::read_to_string(certificate)?;
        fs::write(file, both)?;
    }
    Ok(())
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

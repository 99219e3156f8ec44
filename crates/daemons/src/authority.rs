//! Debian's pebble: an authority that speaks ACME, made by Let's Encrypt for tests, with its own server of names.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use emulator::Tools;
use testbed::wait_until;

use crate::device::root;

/// A running authority, which gives certificates to whoever answers its questions on this machine.
pub struct Authority {
    folder: tempfile::TempDir,
    port: u16,
    children: [Child; 2],
}

impl Authority {
    /// One that asks for a file on the port `http`, and gives certificates for so many days.
    pub fn start(http: u16, days: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [port, management, names, tls] =
            [free_port()?, free_port()?, free_port()?, free_port()?];
        let at = |name: &str| folder.path().join(name);
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-noenc",
            "-subj",
            "/CN=authority",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-days",
            "2",
            "-keyout",
            &text(at("key.pem")),
            "-out",
            &text(at("cert.pem")),
        ])?;
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": at("cert.pem"),
            "privateKey": at("key.pem"),
            "httpPort": http,
            "tlsPort": tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": u64::from(days) * 86400,
        }});
        fs::write(at("config.json"), config.to_string())?;
        let tools = Tools::new(root()?);
        let start = |mut command: Command| {
            let log = fs::File::options()
                .append(true)
                .create(true)
                .open(at("log"))?;
            command
                .stdin(Stdio::null())
                .stderr(log.try_clone()?)
                .stdout(log);
            command.spawn().context("the authority does not start")
        };
        let mut server_of_names = tools.command("pebble-challtestsrv");
        let address = format!("127.0.0.1:{names}");
        server_of_names
            .args([
                "-dns01",
                &address,
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ])
            .args([
                "-doh",
                "",
                "-management",
                "",
                "-defaultIPv6",
                "",
                "-defaultIPv4",
                "127.0.0.1",
            ]);
        let mut pebble = tools.command("pebble");
        pebble
            .arg("-config")
            .arg(at("config.json"))
            .args(["-dnsserver", &address])
            // It would sleep before it asks, and refuse a good request now and then.
            .env("PEBBLE_VA_NOSLEEP", "1");
        let authority = Authority {
            children: [start(pebble)?, start(server_of_names)?],
            folder,
            port,
        };
        let up = wait_until("the authority", Duration::from_secs(60), || {
            TcpStream::connect(("127.0.0.1", names))?;
            Ok(TcpStream::connect(("127.0.0.1", port))?)
        });
        up.map(drop).with_context(|| authority.said())?;
        Ok(authority)
    }

    /// The address of its directory, without what precedes and follows the port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate that it is known by.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// What it wrote.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn text(path: PathBuf) -> String {
    path.display().to_string()
}

/// A port of this machine that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What Debian's openssl says.
pub fn openssl(arguments: &[&str]) -> Result<String> {
    let mut command = Tools::new(root()?).command("openssl");
    let output = command.args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!(
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! nginx with the page's configuration, on ports of this machine, beside a device whose files it serves.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use emulator::Tools;
use rustix::process::{Pid, Signal, kill_process};
use testbed::wait_until;

use crate::authority::openssl;
use crate::device::{Device, root, servers};

/// A running nginx.
pub struct Web {
    folder: tempfile::TempDir,
    tls: u16,
    child: Child,
}

impl Web {
    /// Starts it, with the files below `/run` and `/var/lib` that this device has.
    pub fn start(device: &Device, http: u16, tls: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let etc = servers()?.join("etc").canonicalize()?;
        let there = |path: &Path| path.display().to_string();
        // What it writes itself is in a folder of its own. Who runs the test may be root, and then the workers are, too.
        let page = fs::read_to_string(etc.join("nginx/nginx.conf"))?
            .replace("/run/nginx/", &format!("{}/", there(folder.path())))
            .replace("/var/cache/nginx/", &format!("{}/", there(folder.path())))
            .replace("/run/", &format!("{}/", there(&device.run())))
            .replace("/var/lib/", &format!("{}/", there(&device.var_lib())))
            .replace(
                "/etc/nginx/",
                &format!("{}/nginx/", there(&root()?.join("etc"))),
            )
            .replace("[::0]:", "[::1]:")
            .replace("0.0.0.0:", "127.0.0.1:")
            .replace(":8080", &format!(":{http}"))
            .replace(":8443", &format!(":{tls}"));
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
        let mut web = Web { folder, tls, child };
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

    /// What the reload of its unit does.
    pub fn reload(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::HUP)?)
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

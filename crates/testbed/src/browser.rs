//! Chromium without a screen, from the check tools: it shows what becomes of a page once its scripts have run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::Tools;
use crate::inputs::input;
use crate::place;
use crate::process;

/// Starting it takes seconds of its own on a loaded host.
const PATIENCE: Duration = Duration::from_secs(90);

/// The browser.
#[derive(Debug)]
pub struct Browser {
    tools: Tools,
    root: PathBuf,
}

/// The window that a page is opened in.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Whether they prefer dark colours.
    pub dark: bool,
}

/// A page after its scripts have run.
#[derive(Debug)]
pub struct Page {
    /// The document then, as HTML.
    pub dom: String,
    /// What its scripts complained of, a line each.
    pub complaints: Vec<String>,
    /// Its picture, a PNG, kept among what the calling story leaves behind.
    pub picture: PathBuf,
}

impl Browser {
    /// From the inputs `check tools` and `test tools`.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            tools: Tools::from_env()?,
            root: input("check tools")?,
        })
    }

    /// Opens `url`, lets `settle` pass for its scripts, and keeps the picture as `name`.png.
    ///
    /// The time is the page's own: timers fire early when nothing else is left to do, and answers of the
    /// network are waited for.
    pub fn open(&self, url: &str, window: Window, settle: Duration, name: &str) -> Result<Page> {
        let pictures = place::directory(&format!("runs/{}", place::story_name()))?;
        let picture = pictures.join(format!("{name}.png"));
        let _ = fs::remove_file(&picture);
        // It starts copies of itself by its own path, so it needs its root to be the root, unlike other tools.
        let mut command = self.tools.command("bwrap");
        let bind = |from: &Path, to: &str| ["--ro-bind".into(), from.into(), PathBuf::from(to)];
        command
            .args(bind(&self.root.join("usr"), "/usr"))
            .args(bind(&self.root.join("etc"), "/etc"))
            .args(["--symlink", "usr/lib", "/lib"])
            .args(["--symlink", "usr/lib64", "/lib64"])
            .args(["--symlink", "usr/bin", "/bin"])
            .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"])
            .arg("--bind")
            .args([pictures.as_path(), Path::new("/pictures")])
            .args(["--unshare-user", "--unshare-pid", "--die-with-parent"])
            .args(["--setenv", "HOME", "/tmp", "/usr/lib/chromium/chromium"])
            // Chromium's own sandbox does not work inside ours.
            .args(["--headless", "--no-sandbox", "--disable-gpu"])
            // It makes no connections but those of the page.
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync"])
            .args(["--disable-quic", "--user-data-dir=/tmp/profile"])
            .args(["--enable-logging=stderr", "--dump-dom"])
            .arg(format!("--window-size={},{}", window.width, window.height))
            .arg(format!("--virtual-time-budget={}", settle.as_millis()))
            .arg(format!("--screenshot=/pictures/{name}.png"));
        if window.dark {
            command.arg("--force-dark-mode");
        }
        let done = process::finish(command.arg(url), b"", PATIENCE)?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success() && picture.exists(),
            "Chromium shows no page at {url}: {}: {}",
            done.status,
            said.trim()
        );
        let complaints = said.lines().filter(|line| line.contains(":CONSOLE"));
        Ok(Page {
            dom: String::from_utf8_lossy(&done.stdout).into_owned(),
            complaints: complaints.map(str::to_owned).collect(),
            picture,
        })
    }
}

//! Shows the page on the device's own screen: runs a browser, as long as its page keeps requesting data.
//!
//! systemd restarts a browser that has died. A browser whose page is frozen looks alive to systemd, but shows outdated
//! data; its page then sends no more requests, which the dashboard notices.

use std::ffi::OsString;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http_client::{Client, Options, Request};
use serde::Deserialize;

/// How often the dashboard is asked and the browser is checked.
const LOOK: Duration = Duration::from_secs(5);
/// The longest time between two requests of a working page, which sends one every 10 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time until the first request: a browser on a slow card needs longer to start.
const BEGINNING: Duration = Duration::from_secs(600);

/// The largest answer of the dashboard, which is a single line.
const LONGEST_ANSWER: usize = 64 << 10;

/// The dashboard's answer about its page on the screen.
#[derive(Debug, Deserialize)]
struct Wall {
    asked_seconds_ago: Option<f64>,
}

/// The arguments of `energy kiosk`.
#[derive(Debug, clap::Args)]
pub struct Kiosk {
    /// The dashboard's address
    page: String,
    /// The browser and its arguments
    #[arg(last = true, required = true, value_name = "BROWSER")]
    command: Vec<OsString>,
}

impl Kiosk {
    /// Runs the browser until it exits or its page stops requesting data; both are errors.
    pub fn run(&self) -> anyhow::Result<()> {
        run(&self.page, &self.command)
    }
}

/// Runs `command`, a browser that shows the dashboard at `page`, until it exits or its page stops requesting data.
fn run(page: &str, command: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = command
        .split_first()
        .context("no browser command is given")?;
    let mut browser = Command::new(program)
        .args(arguments)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let client = Client::new(&Options::new("lichen-energy", LOOK * 2));
    let address = format!("{}/api/wall", page.trim_end_matches('/'));
    let mut page = Page::opened(Instant::now());
    loop {
        sleep(LOOK);
        if let Some(status) = browser.try_wait()? {
            bail!("the browser ended: {status}");
        }
        if !page.is_alive(asked(&client, &address), Instant::now()) {
            browser.kill()?;
            browser.wait()?;
            bail!("the page has stopped requesting data");
        }
    }
}

/// How long ago the page sent a request, if ever; `None` while the dashboard does not answer.
fn asked(client: &Client, address: &str) -> Option<Option<Duration>> {
    let answer = client.send(Request::get(address)).ok()?;
    let wall: Wall = serde_json::from_slice(&answer.bytes(LONGEST_ANSWER).ok()?).ok()?;
    let ago = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Some(wall.asked_seconds_ago.map(ago))
}

/// The observed state of a page.
struct Page {
    /// When the page was last known to work.
    good: Instant,
    patience: Duration,
}

impl Page {
    fn opened(now: Instant) -> Self {
        Page {
            good: now,
            patience: BEGINNING,
        }
    }

    /// Whether the page may keep running. If the dashboard is down, the page shows that by itself.
    fn is_alive(&mut self, asked: Option<Option<Duration>>, now: Instant) -> bool {
        match asked {
            None => self.good = now,
            Some(Some(ago)) if now.checked_sub(ago).is_some_and(|at| at > self.good) => {
                self.good = now - ago;
                self.patience = PATIENCE;
            }
            Some(_) => {}
        }
        now - self.good < self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_browser_may_take_long_to_begin_with_but_its_page_may_not_stand_still() {
        let begun = Instant::now();
        let mut page = Page::opened(begun);
        // Requests of an earlier browser do not count for this one.
        assert!(page.is_alive(Some(Some(seconds(300))), begun + seconds(200)));
        assert!(page.is_alive(Some(None), begun + seconds(599)));
        assert!(!page.is_alive(Some(None), begun + seconds(601)));

        let mut page = Page::opened(begun);
        assert!(page.is_alive(Some(Some(seconds(2))), begun + seconds(100)));
        assert!(page.is_alive(Some(Some(seconds(57))), begun + seconds(155)));
        assert!(!page.is_alive(Some(Some(seconds(62))), begun + seconds(160)));
    }

    #[test]
    fn a_dashboard_that_is_away_is_no_fault_of_the_page() {
        let begun = Instant::now();
        let mut page = Page::opened(begun);
        assert!(page.is_alive(Some(Some(seconds(2))), begun + seconds(100)));
        assert!(page.is_alive(None, begun + seconds(1000)));
        // The dashboard is back, and has had no requests yet.
        assert!(page.is_alive(Some(None), begun + seconds(1059)));
        assert!(!page.is_alive(Some(None), begun + seconds(1061)));
    }

    #[test]
    fn a_browser_that_ends_is_the_end() {
        for (browser, complaint) in [
            ("false", "the browser ended: exit status: 1"),
            ("/nonexistent", "cannot start /nonexistent"),
        ] {
            let ended = run("http://127.0.0.1:9", &[browser.into()]);
            let error = format!("{:#}", ended.expect_err("an end"));
            assert!(error.contains(complaint), "{error}");
        }
    }
}

//! The service on this host, which records a test picture instead of a camera.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testbed::{Context, Result, Service, Web, ensure, wait_until};

use tests::SOON;

use super::appliance::{Played, TOKEN, played, sessions};

/// A recorder that runs here.
#[derive(Debug)]
pub struct Here(Service);

impl Here {
    /// Starts it, once `fill` has put into the directory of its state what it is to find there.
    pub fn start(fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        testbed::lasts_a_day("what records and plays videos is the ffmpeg of this host")?;
        let checkout = testbed::input("services")?;
        let service = Service::prepared(&checkout, "recorder", |state, secrets| {
            fs::write(secrets.join("recorder.bearer-token"), TOKEN)?;
            fill(state)
        });
        Ok(Self(service?))
    }

    /// Its web server.
    pub fn web(&self) -> Web {
        self.0.web()
    }

    /// Records for so long; gives the session once it is finished.
    pub fn records(&self, duration: Duration) -> Result<Value> {
        let web = self.web();
        web.post("/api/start", Some(TOKEN))?.success()?;
        let newest = || sessions(&web)?.into_iter().next().context("no session");
        wait_until("enough to be recorded", SOON, || {
            let session = newest()?;
            let length = session["duration_ms"].as_u64().map(Duration::from_millis);
            ensure!(length >= Some(duration), "{session}");
            Ok(())
        })?;
        web.post("/api/stop", Some(TOKEN))?.success()?;
        let id = newest()?["id"].as_i64().context("no number")?;
        self.finished(id)
    }

    /// Waits until a session is finished.
    pub fn finished(&self, id: i64) -> Result<Value> {
        wait_until(&format!("session {id} to be finished"), SOON, || {
            let mut all = sessions(&self.web())?.into_iter();
            let session = all.find(|session| session["id"] == id);
            let session = session.with_context(|| format!("there is no session {id}"))?;
            ensure!(session["state"] == "finished", "{session}");
            Ok(session)
        })
    }

    /// Plays the video of a session as somebody who has the token does.
    pub fn plays(&self, id: i64) -> Result<Played> {
        let url = self.web().url(&format!("/api/sessions/{id}/video.mp4"));
        let header = format!("Authorization: Bearer {TOKEN}");
        plays(&["-headers", &header, &url])
    }
}

/// Decodes all of a video, given in ffprobe's words; that it complains of anything is an error.
pub fn plays(video: &[&str]) -> Result<Played> {
    let probed = Command::new("ffprobe")
        .args(super::appliance::PLAY)
        .args(video)
        .output()
        .context("cannot start ffprobe")?;
    let complaints = String::from_utf8_lossy(&probed.stderr);
    ensure!(
        probed.status.success() && complaints.is_empty(),
        "ffprobe: {}: {}",
        probed.status,
        complaints.trim()
    );
    played(&String::from_utf8_lossy(&probed.stdout))
}

/// The address of a relay to `web` that shows the token in each request, as a browser without hands cannot log in.
pub fn lets_in(web: &Web) -> Result<String> {
    let url = web.url("");
    let recorder = url.trim_start_matches("http://").to_owned();
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
    let address = format!("http://{}", door.local_addr()?);
    std::thread::spawn(move || {
        for browser in door.incoming().flatten() {
            let recorder = recorder.clone();
            // A browser that hangs up ends its own request only.
            std::thread::spawn(move || pass(browser, TcpStream::connect(recorder)?));
        }
    });
    Ok(address)
}

/// Passes one request on, and its answer back.
fn pass(mut browser: TcpStream, mut recorder: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(browser.try_clone()?).lines();
    let mut head = lines.next().transpose()?.unwrap_or_default();
    head += &format!("\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n");
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head += &format!("{line}\r\n");
        }
    }
    recorder.write_all(format!("{head}\r\n").as_bytes())?;
    io::copy(&mut recorder, &mut browser).map(drop)
}

//! The recorder as its users meet it, with a camera, a button and LEDs that the device's kernel makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fake_s3::Bucket;
use serde_json::{Value, json};
use testbed::{Context, Machine, Result, Snapshot, Web, bail, ensure};

use tests::{BOOT, EXTRA, SOON, image_of, lichen_toml_with, nothing_failed, started};

const PORT: u16 = 8083;
/// Where it is watched.
pub const METRICS: u16 = 9101;
const CONFIG: &str = "/etc/recorder/config.json";
/// Whoever shows this may see pictures.
pub const TOKEN: &str = "whoever-knows-this-may-look";
/// Where machines reach this host.
const HOST: &str = "10.0.2.2";
/// Below 5 GB free nothing begins, so this card is larger than that of other stories.
const CARD: u64 = 12 << 30;
/// What an emulated processor encodes beside everything else.
const PICTURE: (&str, u32) = ("320x180", 5);

/// A recorder that has booted for the first time, with nothing connected, and is healthy.
pub fn recorder_appliance() -> Result<Machine> {
    started(&recorder_snapshot()?)
}

/// The snapshot that [`recorder_appliance`] starts from.
pub fn recorder_snapshot() -> Result<Snapshot> {
    let toml = lichen_toml_with(&[
        ("recorder.bearer-token", TOKEN),
        ("recorder.s3-access-key-id", fake_s3::KEY),
        ("recorder.s3-secret-access-key", fake_s3::SECRET),
    ])?;
    let prepare = |disk: testbed::Disk| {
        disk.grow(CARD)?
            .write_boot_file("extra.env", EXTRA)?
            .write_boot_file("lichen.toml", &toml)
    };
    let inputs = [toml.as_str(), EXTRA, "12 GiB"];
    Snapshot::take(
        "recorder",
        &image_of("recorder")?,
        &inputs,
        prepare,
        |machine| {
            machine.wait_for_ssh(BOOT)?;
            recorder_is_healthy(machine)?;
            machine.sh("sync").map(drop)
        },
    )
}

/// Waits until nothing is left to do and nothing has failed, and the recorder answers. Its camera may be missing.
pub fn recorder_is_healthy(machine: &Machine) -> Result<()> {
    machine.wait_until("a healthy appliance", BOOT, || {
        nothing_failed(machine)?;
        machine.web(METRICS)?.get("/health")?.success().map(drop)
    })
}

/// The camera of the kernel's driver vivid.
#[derive(Debug)]
pub struct Camera<'m>(&'m Machine);

impl<'m> Camera<'m> {
    /// Plugs a new one in.
    pub fn plug(machine: &'m Machine) -> Result<Self> {
        machine.sh("modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0")?;
        Ok(Self(machine))
    }

    /// Pulls it out, whatever it is doing.
    pub fn pull_out(&self) -> Result<()> {
        self.driver("unbind")
    }

    /// Plugs it in again.
    pub fn plug_in(&self) -> Result<()> {
        self.driver("bind")
    }

    fn driver(&self, verb: &str) -> Result<()> {
        let file = format!("/sys/bus/platform/drivers/vivid/{verb}");
        self.0.sh(&format!("echo vivid.0 > {file}")).map(drop)
    }
}

/// The lines of a header, as a Raspberry Pi 4 has them, made by the kernel's driver gpio-sim.
#[derive(Debug)]
pub struct Header<'m> {
    machine: &'m Machine,
    lines: PathBuf,
}

/// The button's line, on the appliance's page.
const BUTTON: u32 = 17;
/// The line of the LED `ready`.
pub const READY: u32 = 22;
/// The line of the LED `error`.
pub const ERROR: u32 = 27;
/// The line of the LED `network`.
pub const NETWORK: u32 = 24;

impl<'m> Header<'m> {
    /// Adds it to the machine, with a button that nobody presses.
    pub fn add(machine: &'m Machine) -> Result<Self> {
        const MADE: &str = "/sys/kernel/config/gpio-sim/header";
        let lines = machine.sh(&format!(
            "modprobe gpio-sim && systemctl start sys-kernel-config.mount && mkdir -p {MADE}/bank && \
             echo pinctrl-bcm2711 > {MADE}/bank/label && echo 58 > {MADE}/bank/num_lines && echo 1 > {MADE}/live && \
             echo /sys/devices/platform/$(cat {MADE}/dev_name)/$(cat {MADE}/bank/chip_name)"
        ))?;
        let header = Self {
            machine,
            lines: PathBuf::from(lines.trim()),
        };
        header.pull("pull-up")?;
        Ok(header)
    }

    /// Presses the button, and lets it go.
    pub fn press(&self) -> Result<()> {
        self.pull("pull-down")?;
        self.pull("pull-up")
    }

    /// Waits until an LED is lit, or is not.
    pub fn shows(&self, led: u32, lit: bool) -> Result<()> {
        let what = format!("line {led} to be {}", if lit { "lit" } else { "dark" });
        self.machine.wait_until(&what, SOON, || {
            ensure!(self.is_lit(led)? == lit, "it is not");
            Ok(())
        })
    }

    /// Waits until an LED was seen lit, dark, and lit again: it blinks. The machine looks by itself, since asking it takes
    /// longer than a blink.
    pub fn blinks(&self, led: u32) -> Result<()> {
        let (file, seconds) = (self.file(led, "value"), SOON.as_secs());
        let seen = format!("until read -r now < {file} && [ $now = $lit ]; do sleep 0.1; done");
        let looks = format!("timeout {seconds} sh -c 'for lit in 1 0 1; do {seen}; done'");
        let looked = self.machine.sh(&looks);
        looked
            .map(drop)
            .with_context(|| format!("line {led} does not blink"))
    }

    fn is_lit(&self, led: u32) -> Result<bool> {
        Ok(self
            .machine
            .sh(&format!("cat {}", self.file(led, "value")))?
            .trim()
            == "1")
    }

    fn pull(&self, way: &str) -> Result<()> {
        let file = self.file(BUTTON, "pull");
        self.machine.sh(&format!("echo {way} > {file}")).map(drop)
    }

    fn file(&self, line: u32, name: &str) -> String {
        format!("{}/sim_gpio{line}/{name}", self.lines.display())
    }
}

/// The service on one machine.
#[derive(Debug)]
pub struct Recorder<'m> {
    machine: &'m Machine,
    web: Web,
}

/// A recording that is complete.
#[derive(Debug)]
pub struct Video {
    /// What the API says of it.
    pub told: Value,
    /// What a player finds in it.
    pub played: Played,
}

/// What a player finds in a video.
#[derive(Debug, Clone, Copy)]
pub struct Played {
    /// How many frames can be decoded.
    pub frames: u64,
    /// How long they are shown.
    pub duration: Duration,
}

/// What ffprobe is told to do with a video: decode all of it.
pub const PLAY: [&str; 9] = [
    "-v",
    "error",
    "-count_frames",
    "-select_streams",
    "v:0",
    "-show_entries",
    "stream=nb_read_frames:packet=pts_time,duration_time",
    "-of",
    "json",
];

/// What it found then.
pub fn played(said: &str) -> Result<Played> {
    let said: Value = serde_json::from_str(said).context("ffprobe says no JSON")?;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let frames = number(&said["streams"][0]["nb_read_frames"]);
    let packets = said["packets"].as_array().map_or(&[][..], Vec::as_slice);
    let begins = packets
        .iter()
        .filter_map(|packet| number(&packet["pts_time"]));
    let ends = packets.iter().filter_map(|packet| {
        Some(number(&packet["pts_time"])? + number(&packet["duration_time"])?)
    });
    let seconds = ends.fold(0.0, f64::max) - begins.fold(f64::INFINITY, f64::min);
    let Some(frames) = frames.filter(|frames| *frames > 0.0) else {
        bail!("ffprobe finds no frame: {said}");
    };
    Ok(Played {
        frames: frames as u64,
        duration: Duration::try_from_secs_f64(seconds)?,
    })
}

impl Video {
    /// Where it is broken, as the API tells it.
    pub fn gaps(&self) -> usize {
        self.told["gaps"].as_array().map_or(0, Vec::len)
    }
}

impl<'m> Recorder<'m> {
    /// The service of `machine`.
    pub fn of(machine: &'m Machine) -> Result<Self> {
        let web = machine.web(PORT)?;
        Ok(Self { machine, web })
    }

    /// The same, with a picture that an emulated processor can encode, and with uploads to this bucket, until the next
    /// boot.
    pub fn modest(machine: &'m Machine, uploads: Option<&Bucket>) -> Result<Self> {
        let recorder = Self::of(machine)?;
        let mut config: Value = serde_json::from_str(&machine.sh(&format!("cat {CONFIG}"))?)?;
        let (size, fps) = PICTURE;
        config["camera"]["size"] = size.into();
        config["camera"]["fps"] = fps.into();
        if let Some(bucket) = uploads {
            let endpoint = format!("http://{HOST}:{}", bucket.port());
            config["uploads"] = json!({
                "target": "s3", "s3": { "endpoint": endpoint, "bucket": fake_s3::BUCKET },
            });
        }
        machine.write_file(CONFIG, config.to_string().as_bytes())?;
        recorder.forgive()?;
        machine.sh("systemctl restart recorder")?;
        Ok(recorder)
    }

    /// Lets the service be started as often as if it had not been yet: the fifth time within ten minutes it stays down.
    pub fn forgive(&self) -> Result<()> {
        self.machine.sh("systemctl reset-failed recorder").map(drop)
    }

    /// Its web server.
    pub fn web(&self) -> &Web {
        &self.web
    }

    /// How it is.
    pub fn status(&self) -> Result<Value> {
        self.web.get("/api/status")?.success()?.json()
    }

    /// Waits until it is in this state.
    pub fn is(&self, state: &str) -> Result<Value> {
        self.comes_to(&format!("the recorder to be {state}"), |status| {
            status["state"] == state
        })
    }

    /// Waits until its status is as wanted.
    pub fn comes_to(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.machine.wait_until(what, SOON, || {
            let status = self.status()?;
            ensure!(wanted(&status), "it says {status}");
            Ok(status)
        })
    }

    /// Starts a recording, as its page does.
    pub fn start(&self) -> Result<()> {
        self.web
            .post("/api/start", Some(TOKEN))?
            .success()
            .map(drop)
    }

    /// Ends the recording, as its page does.
    pub fn stop(&self) -> Result<()> {
        self.web.post("/api/stop", Some(TOKEN))?.success().map(drop)
    }

    /// Waits until so many more frames have been recorded.
    pub fn records(&self, frames: u64) -> Result<()> {
        let first = self.is("recording")?;
        let count = |status: &Value| status["camera"]["frames"].as_u64().unwrap_or(0);
        self.comes_to(&format!("{frames} more frames"), |status| {
            count(status) >= count(&first) + frames
        })
        .map(drop)
    }

    /// What it has recorded, the newest first.
    pub fn sessions(&self) -> Result<Vec<Value>> {
        sessions(&self.web)
    }

    /// Waits until there are so many recordings, all of them complete, and plays each from its beginning to its end; gives
    /// them with the newest first.
    pub fn keeps(&self, count: usize) -> Result<Vec<Video>> {
        let what = format!("{count} complete recordings");
        let sessions = self.machine.wait_until(&what, BOOT, || {
            let sessions = self.sessions()?;
            let complete = sessions.iter().all(|one| one["state"] == "finished");
            ensure!(complete && sessions.len() == count, "it has {sessions:?}");
            Ok(sessions)
        })?;
        let played = sessions.into_iter().map(|session| self.plays(session));
        played.collect()
    }

    /// Waits until the only recording is complete, and plays it.
    pub fn keeps_one(&self) -> Result<Video> {
        self.keeps(1)?.pop().context("there is none")
    }

    /// Plays a recording as somebody who has the token does.
    fn plays(&self, told: Value) -> Result<Video> {
        let id = told["id"].as_i64().context("it has no number")?;
        let said = self.machine.sh(&format!(
            "ffprobe {} -headers 'Authorization: Bearer {TOKEN}' \
             http://127.0.0.1:{PORT}/api/sessions/{id}/video.mp4 2> /run/complaints; cat /run/complaints >&2; \
             test ! -s /run/complaints",
            PLAY.join(" ")
        ))?;
        let played = played(&said)?;
        Ok(Video { told, played })
    }

    /// Waits until all recordings are uploaded; the bucket has each as a file of this folder.
    pub fn uploads_all(&self, folder: &Path) -> Result<()> {
        let patience = Duration::from_secs(400);
        self.machine.wait_until("the uploads", patience, || {
            let there = sizes(folder)?;
            for session in self.sessions()? {
                ensure!(session["upload"]["status"] == "completed", "{session}");
                let is_there = session["bytes"]
                    .as_u64()
                    .is_some_and(|bytes| there.contains(&bytes));
                ensure!(
                    is_there,
                    "the bucket has files of {there:?} bytes, not {session}"
                );
            }
            Ok(())
        })
    }

    /// The process of the service.
    pub fn process(&self) -> Result<String> {
        self.machine.sh("systemctl show recorder -P MainPID")
    }

    /// Waits until another process answers.
    pub fn is_replaced(&self, before: &str) -> Result<()> {
        let patience = Duration::from_secs(180);
        self.machine.wait_until("another process", patience, || {
            let now = self.process()?;
            ensure!(now != before && now.trim() != "0", "it is {now}");
            self.status().map(drop)
        })
    }
}

/// What a recorder has recorded, the newest first.
pub fn sessions(web: &Web) -> Result<Vec<Value>> {
    let answer = web.get_with("/api/sessions", TOKEN)?.success()?.json()?;
    let sessions = answer["sessions"].as_array();
    let sessions = sessions.with_context(|| format!("no sessions in {answer}"))?;
    Ok(sessions.clone())
}

fn sizes(folder: &Path) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(sizes(&entry.path())?);
        } else {
            found.push(entry.metadata()?.len());
        }
    }
    Ok(found)
}

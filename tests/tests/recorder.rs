//! What the recorder appliance is for: what the camera saw is kept, and uploaded, whatever fails.

use std::time::Duration;

use fake_s3::Bucket;
use testbed::cuts::Sampling;
use testbed::{Page, figures};
use tests::*;

mod appliance;
mod cuts;
mod here;

use appliance::{
    Camera, ERROR, Header, METRICS, NETWORK, READY, Recorder, recorder_appliance,
    recorder_is_healthy,
};
use here::{Here, lets_in};

const MIB: u64 = 1 << 20;
/// What its owner was promised, without ffmpeg.
const MOST_MEMORY: u64 = 15 * MIB;
const IDLE_DEVICE: u64 = 150 * MIB;
/// How much a cut may cost, and what it takes to ask a slow machine how far it is.
const LOST: Duration = Duration::from_millis(1000 + 500);

/// Every boundary between two writes, and some samples of torn and reordered writes at it.
const SAMPLING: Sampling = Sampling {
    seed: 20_261_130,
    torn: 1,
    reordered: 4,
};

/// How long a page may take, by its own clock: a video is decoded by the clock on the wall, which goes more slowly.
const SETTLE: Duration = Duration::from_secs(20);
const PHONE: Window = Window {
    width: 390,
    height: 844,
    dark: false,
};
const DESK: Window = Window {
    width: 1280,
    height: 800,
    dark: true,
};

#[test]
fn recorder_boots_as_its_page_says_and_is_locked_in() -> Result<()> {
    let machine = recorder_appliance()?;
    recorder_is_healthy(&machine)?;
    for unit in ["recorder.service", "prometheus-node-exporter.service"] {
        machine.sh(&format!("systemd-analyze security --no-pager --threshold=20 {unit} > /run/security || {{ cat /run/security; false; }}"))?;
    }
    // Nothing is connected: it says so, and waits.
    let recorder = Recorder::of(&machine)?;
    let status = recorder.status()?;
    ensure!(status["camera"]["problem"].is_string(), "{status}");
    ensure!(recorder.web().get("/api/sessions")?.status == 401);
    let heartbeat = machine.sh(
        "cat /run/recorder/heartbeat.json; test $(( $(date +%s) - $(stat -c %Y /run/recorder/heartbeat.json) )) -le 5",
    )?;
    for name in [
        "timestamp",
        "uptime_seconds",
        "state",
        "recording_active",
        "upload_queue_size",
        "pid",
    ] {
        ensure!(heartbeat.contains(&format!("\"{name}\"")), "{heartbeat}");
    }
    let metrics = machine.web(METRICS)?.get("/metrics")?.success()?.body;
    for name in [
        "recorder_up 1",
        "recorder_heartbeat_age_seconds ",
        "recorder_state{state=\"ready\"} ",
        "recorder_recording_active 0",
        "recorder_upload_queue_size 0",
        "recorder_uptime_seconds ",
        "recorder_disk_free_bytes ",
        "recorder_disk_usage_ratio ",
        "recorder_videos_total{status=\"pending\"} ",
        "recorder_upload_success_rate ",
    ] {
        ensure!(metrics.contains(name), "no {name} in {metrics}");
    }
    let node = machine.web(9100)?.get("/metrics")?.success()?.body;
    for name in [
        "node_memory_MemAvailable_bytes",
        "node_filesystem_avail_bytes",
        "node_network_up",
    ] {
        ensure!(node.contains(name), "no {name} in {node}");
    }
    let resident: u64 = machine
        .sh("ps -o rss= -p $(systemctl show -P MainPID recorder)")?
        .trim()
        .parse()?;
    let used: u64 = machine
        .sh("free -b | awk '/^Mem:/ { print $3 }'")?
        .trim()
        .parse()?;
    figures(format!(
        "recorder: RSS on the idle device {} KiB; RAM in use {} MiB",
        resident,
        used / MIB
    ));
    ensure!(resident * 1024 <= MOST_MEMORY, "{resident} KiB");
    ensure!(used <= IDLE_DEVICE, "{used} bytes of RAM are in use");
    Ok(())
}

/// One machine for all of it: each drill ends with a recording that plays. What full disks and stalls do is proven on the
/// host, by `crates/recorder/tests/recording.rs`.
#[test]
fn a_button_records_and_whatever_fails_what_was_recorded_is_kept_and_uploaded() -> Result<()> {
    let machine = recorder_appliance()?;
    let (camera, header) = (Camera::plug(&machine)?, Header::add(&machine)?);
    let bucket = Bucket::start()?;
    let recorder = Recorder::modest(&machine, Some(&bucket))?;
    recorder.is("ready")?;
    header.shows(READY, true)?;
    header.shows(ERROR, false)?;
    header.shows(NETWORK, true)?;

    header.press()?;
    recorder.records(10)?;
    header.blinks(READY)?;
    // The camera is pulled out: the recording waits for it, goes on, and says where it is broken.
    camera.pull_out()?;
    header.shows(ERROR, true)?;
    camera.plug_in()?;
    header.shows(ERROR, false)?;
    recorder.records(10)?;
    header.press()?;
    recorder.is("ready")?;
    let video = recorder.keeps_one()?;
    ensure!(video.played.frames >= 20 && video.gaps() == 1, "{video:?}");
    ensure!(
        video.told["thumbnail"] == true && video.told["sha256"].is_string(),
        "{video:?}"
    );

    // Killed, and frozen: what was recorded is kept, and each time the recording goes on by itself in another session.
    recorder.start()?;
    for signal in ["KILL", "STOP"] {
        recorder.records(10)?;
        let before = recorder.process()?;
        machine.sh(&format!(
            "systemctl kill --kill-whom main --signal {signal} recorder"
        ))?;
        recorder.is_replaced(&before)?;
    }
    recorder.records(10)?;
    // The network is down: the last recording waits for it, and arrives when it is back.
    bucket.down();
    recorder.stop()?;
    recorder.is("ready")?;
    recorder.comes_to("the last recording to wait", |status| {
        let uploads = &status["uploads"];
        uploads["problem"].is_string() && uploads["queue_size"].as_u64() >= Some(1)
    })?;
    nothing_failed(&machine)?;
    bucket.up();
    // They are played while the uploads pause. Being killed may cost a second, which is five pictures.
    for video in recorder.keeps(4)? {
        ensure!(video.played.frames >= 10 - 5, "{video:?}");
    }
    recorder.uploads_all(&bucket.folder())?;
    recorder_is_healthy(&machine)
}

#[test]
fn a_plug_pulled_costs_a_second_and_a_recorder_that_does_not_stay_up_a_reboot() -> Result<()> {
    let machine = recorder_appliance()?;
    Camera::plug(&machine)?;
    let recorder = Recorder::modest(&machine, None)?;
    recorder.is("ready")?;
    recorder.start()?;
    recorder.records(50)?;
    let recorded = recorder.sessions()?;
    let told = recorded[0]["duration_ms"].as_u64().context("no duration")?;
    machine.pull_plug()?;
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    recorder_is_healthy(&machine)?;
    let recorder = Recorder::of(&machine)?;
    let video = recorder.keeps_one()?;
    let (told, kept) = (Duration::from_millis(told), video.played.duration);
    figures(format!(
        "recorder: {told:?} recorded when the plug was pulled, {kept:?} kept"
    ));
    ensure!(kept + LOST >= told, "{video:?}, {told:?} were recorded");
    ensure!(
        video.told["why"].is_string(),
        "it does not say where it is broken: {video:?}"
    );

    // Starting it anew does not help: then a reboot may, unless somebody helps before.
    let pending = |wanted: &str| {
        machine.wait_until(&format!("the reboot to be {wanted}"), SOON, || {
            let now = machine.try_sh("systemctl is-active lichen-recover@recorder.timer")?;
            ensure!(now.stdout.trim() == wanted, "it is {}", now.stdout);
            Ok(())
        })
    };
    recorder.forgive()?;
    for _ in 0..5 {
        machine.wait_until("a process to kill", SOON, || {
            machine.sh("systemctl kill --kill-whom main --signal KILL recorder")
        })?;
    }
    pending("active")?;
    recorder.forgive()?;
    machine.sh("systemctl start recorder")?;
    pending("inactive")?;
    recorder_is_healthy(&machine)
}

#[test]
fn a_cut_at_any_write_of_a_recording_costs_a_second_at_most_and_nothing_that_waits() -> Result<()> {
    let tally = cuts::judge_all(&cuts::recorded()?, SAMPLING)?.verdict()?;
    figures(format!("recorder: {tally}"));
    ensure!(tally.cuts() >= 200 && tally.recovered() >= 3, "{tally}");
    Ok(())
}

#[test]
fn the_page_shows_what_was_recorded_and_plays_it_from_any_moment() -> Result<()> {
    let recorder = Here::start(|_| Ok(()))?;
    let session = recorder.records(Duration::from_secs(6))?;
    let (door, browser) = (lets_in(&recorder.web())?, Browser::from_env()?);
    let see = |path: &str, window: Window, name: &str| -> Result<Page> {
        let page = browser.open(&format!("{door}{path}"), window, SETTLE, name)?;
        ensure!(page.complaints.is_empty(), "{:?}", page.complaints);
        Ok(page)
    };
    let card = format!("data-id=\"{}\"", session["id"]);
    for (name, window) in [("phone", PHONE), ("desk", DESK)] {
        let page = see("/", window, name)?;
        for shown in [
            ">Ready<",
            ">Start recording<",
            "thumbnail.jpg",
            &card,
            "<dialog id=\"player\" aria-labelledby=\"player-title\">",
        ] {
            ensure!(page.dom.contains(shown), "no {shown} in {}", page.dom);
        }
    }
    // The place that is asked for is not at the beginning: it is reached by a range.
    let moment = format!("/#{}/4.5", session["id"]);
    for (name, window) in [("player-phone", PHONE), ("player-desk", DESK)] {
        let page = see(&moment, window, name)?;
        let line = page.dom.split("id=\"line\"").nth(1);
        let line = line.and_then(|rest| rest.split('>').next());
        let line = line.with_context(|| format!("no line in {}", page.dom))?;
        for shown in ["aria-valuenow=\"4.50\"", "aria-busy=\"false\""] {
            ensure!(line.contains(shown), "no {shown} in {line}");
        }
        ensure!(page.dom.contains(">0:04 of 0:0"), "{}", page.dom);
    }
    Ok(())
}

#[test]
fn who_has_no_token_is_asked_for_it_and_sees_nobody() -> Result<()> {
    let recorder = Here::start(|_| Ok(()))?;
    let session = recorder.records(Duration::from_secs(2))?;
    let url = recorder.web().url(&format!("/#{}/1", session["id"]));
    let page = Browser::from_env()?.open(&url, PHONE, SETTLE, "stranger")?;
    ensure!(page.complaints.is_empty(), "{:?}", page.complaints);
    let asks = "<form id=\"login\" class=\"panel\">";
    ensure!(page.dom.contains(asks), "{}", page.dom);
    for hidden in ["thumbnail.jpg", "live.jpg", "video.mp4"] {
        ensure!(!page.dom.contains(hidden), "{hidden} in {}", page.dom);
    }
    Ok(())
}

//! What the recorder appliance is for: what the camera saw is kept, and uploaded, whatever fails.

use std::time::Duration;

use fake_s3::Bucket;
use testbed::figures;
use tests::*;

mod appliance;

use appliance::{
    Camera, ERROR, Header, METRICS, NETWORK, READY, Recorder, recorder_appliance,
    recorder_is_healthy,
};

const MIB: u64 = 1 << 20;
/// What its owner was promised, without ffmpeg.
const MOST_MEMORY: u64 = 15 * MIB;
const IDLE_DEVICE: u64 = 150 * MIB;
/// How much a cut may cost, and what it takes to ask a slow machine how far it is.
const LOST: Duration = Duration::from_millis(1000 + 500);

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

/// One machine for all of it: each drill ends with a recording that plays.
#[test]
fn a_button_records_and_whatever_fails_what_was_recorded_is_kept_and_uploaded() -> Result<()> {
    let machine = recorder_appliance()?;
    let (camera, header) = (Camera::plug(&machine)?, Header::add(&machine)?);
    let recorder = Recorder::modest(&machine)?;
    recorder.is("ready")?;
    header.shows(READY, true)?;
    header.shows(ERROR, false)?;
    header.shows(NETWORK, true)?;

    header.press()?;
    recorder.records(20)?;
    header.blinks(READY)?;
    header.press()?;
    recorder.is("ready")?;
    let video = recorder.keeps(1)?;
    ensure!(video.frames >= 20 && video.gaps() == 0, "{video:?}");
    ensure!(
        video.told["thumbnail"] == true && video.told["sha256"].is_string(),
        "{video:?}"
    );

    // Killed: what was recorded is kept, and the recording goes on by itself in another session.
    let goes_on = |sessions| -> Result<()> {
        recorder.records(20)?;
        recorder.stop()?;
        let video = recorder.keeps(sessions)?;
        ensure!(video.frames >= 20, "{video:?}");
        Ok(())
    };
    recorder.start()?;
    recorder.records(20)?;
    let before = recorder.process()?;
    machine.sh("systemctl kill --signal KILL recorder")?;
    recorder.is_replaced(&before)?;
    goes_on(3)?;

    // Frozen.
    recorder.forgive()?;
    recorder.start()?;
    recorder.records(20)?;
    let before = recorder.process()?;
    machine.sh("systemctl kill --kill-whom main --signal STOP recorder")?;
    recorder.is_replaced(&before)?;
    goes_on(5)?;

    // The camera stalls, and is pulled out: the recording goes on, and says where it is broken.
    recorder.forgive()?;
    recorder.start()?;
    recorder.records(20)?;
    machine.sh("pkill -STOP ffmpeg")?;
    recorder.comes_to("the camera to be started anew", |status| {
        status["camera"]["restarts"].as_u64() >= Some(1)
    })?;
    recorder.records(20)?;
    camera.pull_out()?;
    recorder.comes_to("the camera to be missed", |status| {
        status["camera"]["problem"].is_string()
    })?;
    header.shows(ERROR, true)?;
    camera.plug_in()?;
    recorder.records(20)?;
    header.shows(ERROR, false)?;
    recorder.stop()?;
    let video = recorder.keeps(6)?;
    ensure!(video.frames >= 50 && video.gaps() == 2, "{video:?}");

    // The disk fills up: the recording ends in good order, and none begins until there is room.
    recorder.start()?;
    recorder.records(20)?;
    machine.sh(
        "fallocate -l $(( $(df --output=avail -B1 /var | tail -1) - 300 * 1024 * 1024 )) /var/full",
    )?;
    recorder.comes_to("the recording to end", |status| status["session"].is_null())?;
    let why = recorder.refuses_to_start()?;
    ensure!(why.contains("free"), "{why}");
    header.shows(ERROR, true)?;
    machine.sh("rm /var/full")?;
    header.shows(ERROR, false)?;
    // Nobody has stopped it, so it records again by itself.
    recorder.records(20)?;
    recorder.stop()?;
    let video = recorder.keeps(8)?;
    ensure!(video.frames >= 15, "{video:?}");

    // The network is down: recordings wait, and arrive when it is back.
    let bucket = Bucket::start()?;
    bucket.down();
    recorder.upload_to(&bucket)?;
    recorder.is("ready")?;
    recorder.start()?;
    recorder.records(20)?;
    recorder.stop()?;
    recorder.keeps(9)?;
    // The full disk has cost the oldest ones, which nobody wanted uploaded then.
    let sessions = recorder.sessions()?;
    let kept = sessions.iter().filter(|session| session["video"] == true);
    let (kept, status) = (kept.count(), recorder.status()?);
    ensure!(
        kept >= 1 && status["uploads"]["queue_size"] == kept,
        "{kept} are kept: {status}"
    );
    nothing_failed(&machine)?;
    bucket.up();
    recorder.uploads(&bucket.folder())?;
    recorder.comes_to("all of them to be uploaded", |status| {
        status["uploads"]["queue_size"] == 0
    })?;
    recorder_is_healthy(&machine)
}

#[test]
fn a_plug_pulled_costs_a_second_and_a_recorder_that_does_not_stay_up_a_reboot() -> Result<()> {
    let machine = recorder_appliance()?;
    Camera::plug(&machine)?;
    let recorder = Recorder::modest(&machine)?;
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
    let video = recorder.keeps(1)?;
    let told = Duration::from_millis(told);
    figures(format!(
        "recorder: {told:?} recorded when the plug was pulled, {:?} kept",
        video.duration
    ));
    ensure!(
        video.duration + LOST >= told,
        "{video:?}, {told:?} were recorded"
    );
    ensure!(
        video.told["why"].is_string(),
        "it does not say where it is broken: {video:?}"
    );

    // Starting it anew does not help: then a reboot may, unless somebody helps before.
    let pending = |wanted: &str| {
        machine.wait_until(&format!("the reboot to be {wanted}"), SOON, || {
            let now = machine.try_sh("systemctl is-active recorder-reboot.timer")?;
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

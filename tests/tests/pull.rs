//! Devices that follow a channel.

use std::time::Duration;

use fake_s3::FakeS3;
use tests::*;

/// Three boots that fail, and one that does not.
const FALL_BACK: Duration = Duration::from_secs(600);
const START: &str = "systemctl start --no-block lichenctl-update.service";

#[test]
fn a_device_follows_its_channel_and_believes_nobody_else() -> Result<()> {
    let mut published = Published::new()?;
    let bucket = FakeS3::serve(published.root())?;
    published.through_s3(bucket.port(), fake_s3::KEY, fake_s3::SECRET);
    let machine = follower("follows")?;
    let [good, broken] = ["follows-greeting", "follows-broken"].map(Generation::named);
    let (good, broken) = (good?, broken?);

    published.publish(&good)?;
    let archives = archives_among(&bucket.asked());
    let first = published.channel()?;
    // Outside the maintenance window it is only downloaded.
    let before = running(&machine)?;
    machine.sh(
        "at() { date -d \"now + $1 hours\" +%H:%M; }; \
         sed -i 's/\"window\":null/\"window\":{\"from\":\"'$(at 2)'\",\"to\":\"'$(at 4)'\"}/' /etc/lichen/update.json",
    )?;
    let update = published.strike(&machine)?;
    ensure!(
        said(&update).contains("is staged as generation 3"),
        "{update}"
    );
    assert_eq!(running(&machine)?, before);
    machine.sh("sed -i 's/{\"from\":[^}]*}/null/' /etc/lichen/update.json")?;
    let update = published.strike(&machine)?;
    ensure!(update["last"]["ok"] == true, "{update}");
    good.runs_on(&machine)?;
    assert_eq!(machine.sh("cat /etc/motd")?, "the new generation\n");
    machine.sh("systemctl is-active lichenctl-update.timer")?;
    let update = published.strike(&machine)?;
    ensure!(said(&update).contains("runs already"), "{update}");

    // An unhealthy generation is reverted, and not tried a second time.
    published.publish(&broken)?;
    let more = archives_among(&bucket.asked());
    ensure!(
        more > 0 && more < archives / 2,
        "{more} went up after {archives}"
    );
    let update = published.strike(&machine)?;
    ensure!(update["last"]["ok"] == false, "{update}");
    ensure!(said(&update).contains("climate.service"), "{update}");
    good.runs_on(&machine)?;
    let update = published.strike(&machine)?;
    ensure!(said(&update).contains("it is not tried again"), "{update}");

    for (channel, refusal) in [
        (first, "this is an old channel"),
        (
            published
                .channel()?
                .replace(&broken.toplevel, &good.toplevel),
            "signature was not made by the key test-1",
        ),
        ("<html>Welcome to our hotel".to_owned(), "sent a web page"),
    ] {
        published.replace_channel(&channel)?;
        let update = published.strike(&machine)?;
        ensure!(said(&update).contains(refusal), "{refusal}: {update}");
    }
    good.runs_on(&machine)?;
    let journal = machine.sh("journalctl -b -t lichenctl -p err -o cat")?;
    ensure!(journal.contains("this is an old channel"), "{journal}");
    healthy(&machine)
}

#[test]
fn a_plug_pulled_in_the_middle_of_a_download_costs_only_what_had_not_arrived() -> Result<()> {
    let (machine, published) = (follower("follows")?, Published::new()?);
    let good = Generation::named("follows-greeting")?;
    published.publish(&good)?;
    // The toplevel comes last, after all that it refers to.
    let last = published.archive(&good.toplevel)?;
    published.files().hold(Some(&last));
    published.followed_by(&machine)?;
    machine.sh(START)?;
    let mut asked = Vec::new();
    machine.wait_until("half of the toplevel to be sent", SOON, || {
        asked.extend(published.files().asked());
        ensure!(asked.contains(&last), "asked for: {asked:?}");
        let journal = machine.sh("journalctl -b -u lichenctl-update -o cat")?;
        ensure!(
            journal.contains(&format!("copying path '{}'", good.toplevel)),
            "{journal}"
        );
        Ok(())
    })?;
    machine.pull_plug()?;
    published.files().hold(None);
    let archives = |asked: &[String]| asked.iter().filter(|p| p.starts_with("/nar/")).count();
    ensure!(archives(&asked) > 1, "asked for: {asked:?}");

    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    healthy(&machine)?;
    blessed(&machine, 2)?;
    let update = published.strike(&machine)?;
    ensure!(update["last"]["ok"] == true, "{update}");
    let asked = published.files().asked();
    ensure!(archives(&asked) == 1, "asked for: {asked:?}");
    good.runs_on(&machine)?;
    healthy(&machine)?;

    // The next run does not overrule a rollback by hand.
    machine.sh("lichenctl rollback")?;
    let update = published.strike(&machine)?;
    ensure!(said(&update).contains("was rolled back"), "{update}");
    ensure!(running(&machine)? != good.toplevel);
    healthy(&machine)
}

#[test]
#[ignore = "slow: a boot; ./lichen test --slow"]
fn what_is_found_at_noon_is_taken_by_night_and_boots_when_somebody_reboots() -> Result<()> {
    let (machine, published) = (follower("night")?, Published::new()?);
    let arguments = Generation::named("night-arguments")?;
    published.publish(&arguments)?;
    published.followed_by(&machine)?;
    let (old, boot) = (running(&machine)?, machine.boot_id()?);
    machine.sh("systemctl stop systemd-timesyncd")?;
    // Only the timers of the device begin anything from here on.
    let until = |time: &str, what: &str| {
        machine.sh(&format!("date --set 'tomorrow {time}'"))?;
        machine.wait_until(what, SOON * 3, || {
            let status = status(&machine)?;
            ensure!(said(&status["update"]).contains(what), "{status}");
            Ok(())
        })
    };
    until(
        "11:59:58",
        "is staged as generation 3; the maintenance window opens at 03:00, and the device switches then",
    )?;
    assert_ne!(status(&machine)?["next_boot"], 3);
    until("02:59:58", "will run after the next reboot")?;
    assert_eq!(status(&machine)?["next_boot"], 3);
    assert_eq!((running(&machine)?, machine.boot_id()?), (old, boot));
    let screen = machine.sh("lichenctl status")?;
    ensure!(
        screen.contains("will run after the next reboot"),
        "{screen}"
    );

    machine.reboot(BOOT)?;
    blessed(&machine, 3)?;
    arguments.runs_on(&machine)?;
    healthy(&machine)
}

#[test]
#[ignore = "slow: a boot that is blessed, three that fail and one more; ./lichen test --slow"]
fn an_update_that_never_boots_is_left_and_not_tried_again() -> Result<()> {
    let (machine, published) = (follower("follows")?, Published::new()?);
    let old = running(&machine)?;
    // What follows has to be the good one, to which it goes back.
    machine.reboot(BOOT)?;
    blessed(&machine, 2)?;
    published.publish(&Generation::named("follows-never-boots")?)?;
    let before = machine.boot_id()?;
    published.followed_by(&machine)?;
    machine.sh(START)?;
    machine.wait_until("the old generation to be back", FALL_BACK, || {
        let now = machine.boot_id().inspect_err(|_| machine.ssh().hang_up())?;
        ensure!(now != before, "it is still the same boot");
        ensure!(running(&machine)? == old, "it runs {}", running(&machine)?);
        Ok(())
    })?;
    healthy(&machine)?;
    // Also when the boot state has forgotten it.
    machine.sh("lichenctl boot /run/current-system")?;
    assert!(status(&machine)?["failed_trial"].is_null());
    let update = published.strike(&machine)?;
    ensure!(said(&update).contains("it is not tried again"), "{update}");
    healthy(&machine)
}

/// A device that follows a channel on which nothing has been published yet.
fn follower(generation: &str) -> Result<Machine> {
    let machine = appliance()?;
    let follows = Generation::named(generation)?;
    let done = follows.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    Ok(machine)
}

/// How many archives a server of buckets was given.
fn archives_among(asked: &[String]) -> usize {
    let archive = |asked: &&String| asked.starts_with("PUT ") && asked.contains("/nar/");
    asked.iter().filter(archive).count()
}

fn said(update: &serde_json::Value) -> &str {
    update["last"]["said"].as_str().unwrap_or_default()
}

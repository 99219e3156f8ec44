//! Deploys with the host's own command, as a fleet's owner does them.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use testbed::figures;
use tests::*;

/// Keys for tests only: a secret one with its public one, and a secret one that no device trusts.
const OWNER: (&str, &str) = (
    "story-owner-1:X99VtcWrbtnPnpA3sKmsAHiIzMbOIKkIaskGqLMruOrk20JDf8LKss8wuHz01vQn3x9Pte59CaYBIIsKtFB4uQ==",
    "story-owner-1:5NtCQ3/CyrLPMLh89Nb0J98fT7XufQmmASCLCrRQeLk=",
);
const STRANGER: &str = "story-stranger-1:+EulECWa0ohV8sudBK+H4TlATIRK56zNMLpwXqlSXfNfSw/oNzw1UYmsMaGKKkUsSml8PtFqUu8zWuBc6/MKwA==";

#[test]
fn a_configuration_change_is_a_small_delta_and_is_confirmed() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let old = machine.sh("readlink /run/current-system")?;
    let pids = "systemctl show -P MainPID ssh systemd-networkd dbus";
    let before = machine.sh(pids)?;
    let retention = Generation::named("retention")?;

    let dry = owner.lichen(&["deploy", "--dry-run"], &[&retention.toplevel])?;
    ensure!(
        dry.status == 0 && dry.stdout.contains("start    climate.service"),
        "{dry:?}"
    );
    assert_eq!(
        machine.sh("readlink /run/current-system")?,
        old,
        "a dry run switches nothing"
    );
    // Once more from nothing: it is the whole deploy that is measured.
    machine.sh("nix-store --gc")?;

    let (wire, start) = (owner.wire.bytes(), Instant::now());
    let done = owner.lichen(&["deploy"], &[&retention.toplevel])?;
    let (wire, took) = (owner.wire.bytes() - wire, start.elapsed());
    ensure!(done.status == 0, "{done:?}");
    figures(format!(
        "deploy of a configuration change: {wire} bytes on the wire, confirmed {:.1} s after the command",
        took.as_secs_f64()
    ));
    retention.runs_on(&machine)?;
    ensure!(done.stderr.contains("delta  config.erofs"), "{done:?}");
    ensure!(wire <= 20_000, "{wire} bytes went over the wire: {done:?}");
    let journal = machine.sh("journalctl -b -t lichenctl -o cat")?;
    ensure!(journal.contains("generation 2 is confirmed"), "{journal}");
    assert_eq!(
        machine.sh(pids)?,
        before,
        "services that did not change go on"
    );
    assert_ne!(machine.try_sh("test -e /nix/var/lichen/receive")?.status, 0);
    healthy(&machine)?;

    // What runs already is not deployed again; with several devices, each has its own line.
    let both = owner.lichen(&["deploy"], &["nowhere", &retention.toplevel])?;
    ensure!(
        both.status == 1
            && both
                .stdout
                .contains("appliance: runs and is healthy, 0 B sent")
            && both.stdout.contains("nowhere: FAILED")
            && both.stderr.contains("1 of 2 devices were not updated"),
        "{both:?}"
    );

    let status = owner.lichen(&["status", "--json"], &[])?;
    let status: serde_json::Value = serde_json::from_str(&status.stdout)?;
    let status = &status["appliance"];
    assert_eq!(
        (&status["generation"], &status["appliance"]),
        (&2.into(), &"climate".into()),
        "{status}"
    );
    assert_eq!(status["problems"], serde_json::json!([]), "{status}");
    let logs = owner.lichen(&["logs", "-u", "climate"], &[])?;
    ensure!(
        logs.status == 0 && logs.stdout.contains("climate"),
        "{logs:?}"
    );
    let back = owner.lichen(&["rollback"], &[])?;
    ensure!(back.status == 0, "{back:?}");
    assert_eq!(machine.sh("readlink /run/current-system")?, old);
    Ok(())
}

// It needs both machines: if a second story did, too, each of the two might wait for the other.
#[test]
fn several_devices_are_updated_at_once_whether_or_not_one_is_there() -> Result<()> {
    let machine = appliance()?;
    let other = appliance()?;
    let owner = Deployer::of(&machine)?;
    owner.knows("other", &other)?;
    let retention = Generation::named("retention")?;
    let deploy = |option, said: &str| {
        let hosts = ["nowhere", "other", &retention.toplevel];
        let done = owner.lichen(&["deploy", "--parallel", "2", option], &hosts)?;
        ensure!(
            done.status == 1
                && done.stdout.contains(&format!("appliance: {said}"))
                && done.stdout.contains(&format!("other: {said}"))
                && done.stdout.contains("nowhere: FAILED")
                && done.stderr.contains("1 of 3 devices were not updated"),
            "{done:?}"
        );
        Ok(())
    };

    let old = machine.sh("readlink /run/current-system")?;
    deploy("--boot", "boots next")?;
    for device in [&machine, &other] {
        assert_eq!(device.sh("readlink /run/current-system")?, old);
        let listed = device.sh("lichenctl list")?;
        ensure!(listed.contains("on trial, 3 tries left"), "{listed}");
    }
    deploy("--test", "runs and is healthy, until its next boot")?;
    for device in [&machine, &other] {
        retention.runs_on(device)?;
        healthy(device)?;
    }
    let told = owner.lichen(&["status"], &["other", "nowhere"])?;
    let heads = ["appliance:", "other:"].map(|head| told.stdout.lines().any(|line| line == head));
    ensure!(
        told.status == 1 && heads == [true; 2] && told.stderr.contains("no answer from nowhere"),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_deploy_cut_off_in_the_middle_of_copying_leaves_the_device_as_it_was() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let store = "ls /nix/store | sort; nix-store --query --requisites /run/current-system";
    let before = machine.sh(store)?;
    let greeting = Generation::named("greeting")?;

    // Enough for the connection and a part of the layer that is new.
    owner.wire.cut_after(60_000);
    let what = "(i) cut off in the middle of copying";
    let deploy = || owner.lichen(&["deploy"], &[&greeting.toplevel]);
    let cut = survives(&machine, what, deploy)?;
    ensure!(
        cut.status == 1 && cut.stderr.contains("no connection"),
        "{cut:?}"
    );
    assert_eq!(machine.sh(store)?, before);
    assert_eq!(machine.sh("lichenctl list | wc -l")?.trim(), "1");
    let checked = machine.try_sh(&format!("nix-store --check-validity {}", greeting.toplevel))?;
    assert_ne!(checked.status, 0);
    healthy(&machine)?;

    owner.wire.mend();
    machine.sh("fallocate -l $(($(df --output=avail -B1 /nix | tail -1) - 20000000)) /var/full")?;
    let full = owner.lichen(&["deploy"], &[&greeting.toplevel])?;
    ensure!(
        full.status == 1 && full.stderr.contains("DATA has no room"),
        "{full:?}"
    );
    machine.sh("rm /var/full")?;
    assert_eq!(machine.sh(store)?, before);

    let done = owner.lichen(&["deploy"], &[&greeting.toplevel])?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)?;
    assert_ne!(machine.try_sh("test -e /nix/var/lichen/receive")?.status, 0);
    healthy(&machine)
}

#[test]
fn a_delta_that_comes_to_nothing_is_followed_by_the_whole() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    // The file that the delta starts from has changed.
    machine.sh("echo damage >> $(readlink /run/current-system)/nixos-version")?;
    let retention = Generation::named("retention")?;
    let done = owner.lichen(&["deploy"], &[&retention.toplevel])?;
    ensure!(
        done.status == 0
            && done.stderr.contains("sending the whole path")
            && done.stderr.contains("whole  lichen-climate"),
        "{done:?}"
    );
    retention.runs_on(&machine)
}

#[test]
fn of_two_who_deploy_at_once_one_is_told_to_wait() -> Result<()> {
    let machine = appliance()?;
    let (one, other) = (Deployer::of(&machine)?, Deployer::of(&machine)?);
    let (greeting, retention) = (
        Generation::named("greeting")?,
        Generation::named("retention")?,
    );
    let mut first = one.begin(&["deploy"], &[&greeting.toplevel])?;
    first.says("switching live to generation 2")?;
    let refused = other.lichen(&["deploy"], &[&retention.toplevel])?;
    ensure!(
        refused.status == 1
            && refused
                .stderr
                .contains("another lichenctl is changing generations"),
        "{refused:?}"
    );
    let done = first.end()?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)?;
    let done = other.lichen(&["deploy"], &[&retention.toplevel])?;
    ensure!(done.status == 0, "{done:?}");
    retention.runs_on(&machine)
}

#[test]
fn a_broken_release_is_undone_and_whoever_deployed_it_learns_why() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let old = machine.sh("readlink /run/current-system")?;
    let broken = Generation::named("broken-service")?;
    let undone = owner.lichen(&["deploy"], &[&broken.toplevel])?;
    let told = "climate.service failed, saying “error: the sensor is on fire”";
    ensure!(
        undone.status == 4 && undone.stderr.contains(told),
        "{undone:?}"
    );
    assert_eq!(machine.sh("readlink /run/current-system")?, old);
    healthy(&machine)
}

#[test]
#[ignore = "slow: a switch and its deadline; ./lichen test --slow"]
fn a_deployer_who_is_gone_in_the_middle_of_a_switch_finds_the_old_generation() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let old = machine.sh("readlink /run/current-system")?;
    let retention = Generation::named("retention")?;
    let mut deploy = owner.begin(&["deploy", "--confirm-within", "5"], &[&retention.toplevel])?;
    deploy.says("switching live to generation 2")?;
    deploy.kill()?;
    machine.wait_until("the device to go back", SOON * 2, || {
        let journal = machine.sh("journalctl -b -t lichenctl -o cat")?;
        ensure!(
            journal.contains("switched back to the previous generation, which is healthy"),
            "{journal}"
        );
        Ok(())
    })?;
    assert_eq!(machine.sh("readlink /run/current-system")?, old);
    healthy(&machine)
}

#[test]
fn what_a_fleet_s_owner_signs_is_let_in_and_nothing_else() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let (greeting, retention) = (
        Generation::named("greeting")?,
        Generation::named("retention")?,
    );
    // A generation from before the device demanded signatures: its layers are there, unsigned.
    greeting.copy_to(&machine)?;
    let stranger = Deployer::of(&machine)?;
    stranger.take_key(STRANGER)?;
    let (made, key) = owner.make_key()?;
    ensure!(
        made.status == 0 && made.stdout.starts_with("story-1:"),
        "{made:?}"
    );
    let mode = std::fs::metadata(&key)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a key is for its owner's eyes");
    let (again, _) = owner.make_key()?;
    ensure!(again.stderr.contains("there is a key already"), "{again:?}");
    owner.take_key(OWNER.0)?;
    machine.sh(&format!(
        "echo trusted-public-keys = {} >> /etc/nix/nix.conf",
        OWNER.1
    ))?;

    let refused = stranger.lichen(&["deploy"], &[&retention.toplevel])?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("signature"),
        "{refused:?}"
    );
    let refused = stranger.lichen(&["deploy"], &[&greeting.toplevel])?;
    ensure!(
        refused.status == 1 && refused.stderr.contains("is not trusted"),
        "{refused:?}"
    );
    assert_eq!(machine.sh("lichenctl list | wc -l")?.trim(), "1");

    let done = owner.lichen(&["deploy"], &[&greeting.toplevel])?;
    ensure!(done.status == 0, "{done:?}");
    greeting.runs_on(&machine)
}

#[test]
fn a_deploy_that_takes_a_boot_waits_until_it_is_blessed() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let arguments = Generation::named("arguments")?;
    let (wire, start) = (owner.wire.bytes(), Instant::now());
    let done = owner.lichen(&["deploy"], &[&arguments.toplevel])?;
    let (wire, took) = (owner.wire.bytes() - wire, start.elapsed());
    ensure!(
        done.status == 0
            && done.stdout.contains("generation 2 runs and is good")
            && done.stderr.contains("the kernel's arguments change"),
        "{done:?}"
    );
    figures(format!(
        "deploy of another kernel argument: {wire} bytes on the wire, blessed {:.1} s after the command",
        took.as_secs_f64()
    ));
    arguments.runs_on(&machine)?;
    assert_eq!(status(&machine)?["boot"]["good"], 2);
    healthy(&machine)
}

#[test]
#[ignore = "slow: three boots that fail; ./lichen test --slow"]
fn a_deploy_that_never_boots_says_that_the_old_generation_is_back() -> Result<()> {
    let machine = appliance()?;
    let owner = Deployer::of(&machine)?;
    let bad = Generation::named("never-boots")?;
    let undone = owner.lichen(&["deploy"], &[&bad.toplevel])?;
    ensure!(
        undone.status == 4 && undone.stderr.contains("it was never blessed"),
        "{undone:?}"
    );
    healthy(&machine)
}

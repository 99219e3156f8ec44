//! The clients that people deliver to NixOS with: their own commands, in their order, and Nix's real client to copy.

use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::Output;
use tests::*;

const PROFILE: &str = "/nix/var/nix/profiles/system";
const DEPLOY: Duration = Duration::from_secs(180);
/// How nixos-rebuild runs switch-to-configuration (nixos-rebuild.sh, `--target-host`).
const RUN: &str = "systemd-run -E LOCALE_ARCHIVE -E NIXOS_INSTALL_BOOTLOADER= --collect --no-ask-password --pipe --quiet \
                   --same-dir --service-type=exec --unit=nixos-rebuild-switch-to-configuration --wait";

#[test]
fn nixos_rebuild_tests_switches_lists_and_rolls_back() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let (greeting, retention) = (
        Generation::named("greeting")?,
        Generation::named("retention")?,
    );

    let dry = nixos_rebuild(&machine, &greeting, "dry-activate")?;
    ensure!(dry.stdout.contains("start    greeting.service"), "{dry:?}");
    assert_eq!(running(&machine)?, old);
    nixos_rebuild(&machine, &greeting, "test")?;
    greeting.runs_on(&machine)?;
    assert_eq!(profile(&machine)?, old, "a test sets no profile");

    nixos_rebuild(&machine, &retention, "switch")?;
    retention.runs_on(&machine)?;
    assert_eq!(profile(&machine)?, retention.toplevel);
    let list = machine.sh(&format!("nix-env -p {PROFILE} --list-generations"))?;
    let current: Vec<_> = list
        .lines()
        .filter(|line| line.ends_with("(current)"))
        .collect();
    ensure!(list.lines().count() == 2 && current.len() == 1, "{list}");
    ensure!(current[0].trim().starts_with("2 "), "{list}");

    // --rollback
    machine.sh(&format!("nix-env --rollback -p {PROFILE}"))?;
    activate(&machine, PROFILE, "switch")?;
    assert_eq!(running(&machine)?, old);
    assert_eq!(status(&machine)?["standing"], "good");
    Ok(())
}

#[test]
fn nixos_rebuild_boots_into_what_it_was_told_to_boot() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let retention = Generation::named("retention")?;
    nixos_rebuild(&machine, &retention, "boot")?;
    assert_eq!(running(&machine)?, old);
    machine.reboot(BOOT)?;
    retention.runs_on(&machine)?;
    healthy(&machine)
}

#[test]
#[ignore = "slow: three switches; ./lichen test --slow"]
fn colmena_may_lose_its_session_and_of_two_nixos_rebuilds_one_is_turned_away() -> Result<()> {
    let machine = appliance()?;
    let greeting = Generation::named("greeting")?;
    copy(&machine, &greeting.toplevel)?;
    machine.sh(&format!(
        "nix-env --profile {PROFILE} --set {}",
        greeting.toplevel
    ))?;
    // It calls the program itself, over a connection of its own.
    let mut colmena = Command::new("ssh")
        .args(machine.ssh().sshopts()?.split(' '))
        .args(["root@127.0.0.1", "--"])
        .arg(format!("{}/bin/switch-to-configuration", greeting.toplevel))
        .arg("switch")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let said = |what: &str| {
        machine.wait_until(what, DEPLOY, || {
            let journal = machine.sh("journalctl -b -t lichenctl -o cat")?;
            ensure!(journal.contains(what), "{journal}");
            Ok(())
        })
    };
    let lost = said("switching live to generation 2");
    colmena.kill()?;
    colmena.wait()?;
    lost?;
    said("generation 2 runs and is healthy")?;
    greeting.runs_on(&machine)?;

    machine.sh(&format!(
        "nohup {RUN} sleep 60 > /dev/null 2>&1 & \
         until systemctl is-active --quiet nixos-rebuild-switch-to-configuration; do sleep 0.1; done"
    ))?;
    let second = machine.try_sh(&format!("{RUN} true"))?;
    ensure!(
        second.status != 0 && second.stderr.contains("already loaded"),
        "{second:?}"
    );
    healthy(&machine)
}

#[test]
#[ignore = "slow: four switches; ./lichen test --slow"]
fn deploy_rs_activates_confirms_revokes_and_rolls_back_by_magic() -> Result<()> {
    let machine = appliance()?;
    let old = running(&machine)?;
    let greeting = Generation::named("greeting")?;
    let path = &greeting.toplevel;
    copy(&machine, path)?;
    let activate = format!(
        "{path}/activate-rs activate '{path}' --profile-path '{PROFILE}' --temp-path '/tmp'"
    );
    let dry = machine.sh(&format!(
        "{activate} --confirm-timeout 30 --magic-rollback --auto-rollback --dry-activate"
    ))?;
    ensure!(dry.contains("start    greeting.service"), "{dry}");

    // The canary is not removed.
    let undone = machine.try_sh(&format!(
        "{activate} --confirm-timeout 1 --magic-rollback --auto-rollback"
    ))?;
    assert_eq!(undone.status, 4, "{undone:?}");
    assert_eq!(running(&machine)?, old);
    assert_eq!(profile(&machine)?, old);

    // As deploy-rs's client: activation and waiter side by side, then the canary over a new connection.
    let hash = path
        .trim_start_matches("/nix/store/")
        .split('-')
        .next()
        .context("no hash")?;
    machine.sh(&format!(
        "({activate} --confirm-timeout 120 --magic-rollback --auto-rollback; echo ended with $?) > /run/activate.log 2>&1 & \
         {path}/activate-rs wait '{path}' --temp-path '/tmp'"
    ))?;
    machine.ssh().hang_up();
    machine.sh(&format!("rm /tmp/deploy-rs-canary-{hash}"))?;
    machine.wait_until("the activation to end", SOON, || {
        let log = machine.sh("cat /run/activate.log")?;
        ensure!(log.contains("ended with 0"), "{log}");
        Ok(())
    })?;
    greeting.runs_on(&machine)?;
    assert_eq!(profile(&machine)?, *path);

    machine.sh(&format!(
        "{path}/activate-rs revoke --profile-user root --profile-name system"
    ))?;
    assert_eq!(running(&machine)?, old);
    machine.sh(&format!(
        "{activate} --confirm-timeout 30 --magic-rollback --auto-rollback --boot"
    ))?;
    assert_eq!(status(&machine)?["next_boot"], 2);
    // Where its own program is in a profile, it goes back by this of the factory image.
    machine.sh(&format!(
        "DRY_ACTIVATE=1 PROFILE={old} {old}/deploy-rs-activate"
    ))?;
    machine.sh(&format!("BOOT=0 PROFILE={old} {old}/deploy-rs-activate"))?;
    assert_eq!(status(&machine)?["next_boot"], 1);
    healthy(&machine)
}

/// `nixos-rebuild ACTION --target-host`, from the copy on.
fn nixos_rebuild(machine: &Machine, to: &Generation, action: &str) -> Result<Output> {
    copy(machine, &to.toplevel)?;
    machine.sh(&format!(
        "test -f {}/nixos-version && test -d /run/systemd/system",
        to.toplevel
    ))?;
    if ["switch", "boot"].contains(&action) {
        machine.sh(&format!("nix-env -p {PROFILE} --set {}", to.toplevel))?;
    }
    activate(machine, &to.toplevel, action)
}

fn activate(machine: &Machine, path: &str, action: &str) -> Result<Output> {
    machine.sh(&format!("{RUN} true"))?;
    let command = format!("{RUN} {path}/bin/switch-to-configuration {action}");
    machine.ssh().run(&command, b"", DEPLOY)?.success(&command)
}

/// Nix's own client, the host's: only what the machine has not got goes over.
fn copy(machine: &Machine, toplevel: &str) -> Result<()> {
    let done = Command::new("timeout")
        .arg(DEPLOY.as_secs().to_string())
        .args(["nix-copy-closure", "--to", "root@127.0.0.1", toplevel])
        .env("NIX_SSHOPTS", machine.ssh().sshopts()?)
        .output()
        .context("run nix-copy-closure")?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(
        done.status.success(),
        "nix-copy-closure: {}: {said}",
        done.status
    );
    Ok(())
}

fn running(machine: &Machine) -> Result<String> {
    Ok(machine
        .sh("readlink /run/current-system")?
        .trim()
        .to_owned())
}

fn profile(machine: &Machine) -> Result<String> {
    Ok(machine
        .sh(&format!("readlink -f {PROFILE}"))?
        .trim()
        .to_owned())
}

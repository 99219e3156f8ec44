//! Confirmation: what cuts off its deployer does not stay.

use tests::*;

/// What lichenctl says when it is time to confirm.
const AWAITED: &str = "waiting for `lichenctl confirm`";

/// A boot into the new generation, and one back.
const THERE_AND_BACK: std::time::Duration = std::time::Duration::from_secs(400);

#[test]
fn a_switch_that_nobody_confirms_is_undone_and_one_confirmed_anew_stays() -> Result<()> {
    let machine = appliance()?;
    let old = machine.sh("readlink /run/current-system")?;
    let greeting = Generation::named("greeting")?;
    greeting.copy_to(&machine)?;
    let none = machine.try_sh("lichenctl confirm")?;
    ensure!(
        none.stderr.contains("no confirmation is awaited"),
        "{none:?}"
    );

    let switch = format!("lichenctl switch {} --confirm-within", greeting.toplevel);
    let undone = machine.try_sh(&format!("{switch} 1"))?;
    assert_eq!(undone.status, 4, "{undone:?}");
    assert_eq!(machine.sh("readlink /run/current-system")?, old);
    let journal = machine.sh("journalctl -b -t lichenctl -p err -o cat")?;
    ensure!(journal.contains("not confirmed within 1 s"), "{journal}");

    // The session that asked for it is lost in the middle, as by a generation with another network.
    machine.sh(&format!(
        "nohup {switch} 120 > /run/switch.log 2>&1 & until grep -qF '{AWAITED}' /run/switch.log; do sleep 0.1; done"
    ))?;
    machine.ssh().hang_up();
    let status = status(&machine)?;
    assert_eq!(status["confirmation"]["within"], 120, "{status}");
    machine.sh("lichenctl confirm")?;
    machine.wait_until("the switch to be done", SOON, || {
        let log = machine.sh("cat /run/switch.log")?;
        ensure!(log.contains("generation 2 runs and is healthy"), "{log}");
        Ok(())
    })?;
    greeting.runs_on(&machine)?;
    healthy(&machine)
}

#[test]
fn a_trial_boot_waits_for_its_confirmation_and_is_given_up_at_once_without() -> Result<()> {
    let machine = appliance()?;
    let old = machine.sh("readlink /run/current-system")?;
    let greeting = Generation::named("greeting")?;
    greeting.copy_to(&machine)?;
    let boot = |within: u64| {
        machine.sh(&format!(
            "lichenctl boot {} --confirm-within {within}",
            greeting.toplevel
        ))
    };

    boot(3)?;
    let early = machine.try_sh("lichenctl confirm")?;
    ensure!(early.stderr.contains("does not run yet"), "{early:?}");
    let first = machine.boot_id()?;
    machine.sh("systemctl reboot")?;
    machine.wait_until("the old generation to be back", THERE_AND_BACK, || {
        let now = machine.boot_id().inspect_err(|_| machine.ssh().hang_up())?;
        ensure!(now != first, "it is still the same boot");
        let running = machine.sh("readlink /run/current-system")?;
        ensure!(running == old, "it runs {running}");
        Ok(())
    })?;
    assert_eq!(
        machine.sh("journalctl --list-boots -q | wc -l")?.trim(),
        "3",
        "one boot is enough"
    );
    let undone = status(&machine)?;
    assert_eq!(undone["failed_trial"], 2, "{undone}");
    let journal = machine.sh("journalctl -b -1 -t lichenctl -p err -o cat")?;
    ensure!(journal.contains("not confirmed within 3 s"), "{journal}");

    boot(300)?;
    machine.reboot(BOOT)?;
    let waiting = status(&machine)?;
    assert_eq!(waiting["standing"], "trial", "{waiting}");
    machine.sh("lichenctl confirm")?;
    machine.wait_until("the generation to be blessed", BOOT, || {
        ensure!(status(&machine)?["boot"]["good"] == 2, "not yet");
        Ok(())
    })?;
    greeting.runs_on(&machine)?;
    healthy(&machine)
}

//! Confirmation: a generation that cuts off its deployer is reverted.

use tests::*;

/// What lichenctl prints when it waits for the confirmation.
const AWAITED: &str = "waiting for `lichenctl confirm`";

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
    let unattended = Unattended::begin(&machine, &format!("{switch} 120"))?;
    unattended.says(AWAITED, SOON)?;
    machine.ssh().hang_up();
    let status = status(&machine)?;
    assert_eq!(status["confirmation"]["within"], 120, "{status}");
    machine.sh("lichenctl confirm")?;
    unattended.says("generation 2 runs and is healthy", SOON)?;
    greeting.runs_on(&machine)?;
    healthy(&machine)
}

#[test]
#[ignore = "slow: two boots; ./lichen test --slow"]
fn a_trial_boot_waits_for_its_confirmation_and_meanwhile_there_is_no_second() -> Result<()> {
    let machine = appliance()?;
    let (first, second) = (
        Generation::named("slow-to-bless")?,
        Generation::named("greeting")?,
    );
    first.copy_to(&machine)?;
    second.copy_to(&machine)?;
    machine.sh(&format!(
        "lichenctl boot {} --confirm-within 300",
        first.toplevel
    ))?;
    let early = machine.try_sh("lichenctl confirm")?;
    ensure!(early.stderr.contains("is not running yet"), "{early:?}");
    machine.reboot(BOOT)?;

    let not_while_on_trial = || -> Result<()> {
        let status = status(&machine)?;
        assert_eq!(status["standing"], "trial", "{status}");
        for verb in ["switch", "test", "boot"] {
            let refused = second.activate(&machine, verb)?;
            assert_eq!(refused.status, 1, "{verb}: {refused:?}");
            ensure!(
                refused.stderr.contains("is on trial"),
                "{verb}: {refused:?}"
            );
        }
        Ok(())
    };
    // Not yet healthy, and not yet confirmed.
    not_while_on_trial()?;
    machine.sh("touch /run/get-well")?;
    machine.wait_until("the call for a confirmation", BOOT, || {
        let journal = machine.sh("journalctl -b -t lichenctl -o cat")?;
        ensure!(journal.contains(AWAITED), "{journal}");
        Ok(())
    })?;
    not_while_on_trial()?;
    machine.sh("lichenctl confirm")?;
    blessed(&machine, 2)?;
    first.runs_on(&machine)?;
    let done = second.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    second.runs_on(&machine)?;
    healthy(&machine)
}

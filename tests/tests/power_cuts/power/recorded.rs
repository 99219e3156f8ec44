//! Recordings of a machine's writes, in which its power can be cut at any moment afterwards.

use std::time::Duration;

use serde_json::json;
use testbed::{Recording, Result, ensure};

use tests::{BOOT, Climate, Generation, SOON, healthy, snapshot, status};

/// A kernel that differs from the old one in nothing but its bytes, as a generation of its own.
const ANOTHER_KERNEL: &str = r#"set -e
    old=$(readlink /run/current-system); work=$(mktemp -d /nix/work.XXXXXX)
    cp -rL --no-preserve=mode $old/kernel $work/kernel-folder
    # An archive may be followed by zeros.
    head -c 512 /dev/zero >> $work/kernel-folder/initrd
    kernel=$(nix-store --add $work/kernel-folder)
    cp -a $old $work/lichen-kernel; chmod u+w $work/lichen-kernel
    ln -sfn $kernel $work/lichen-kernel/kernel
    new=$(nix-store --add $work/lichen-kernel)
    set -- $kernel $(cat $new/layers)
    { nix-store --dump-db $new | head -n 4; echo $#; printf '%s\n' "$@"; } | nix-store --load-db
    chmod -R u+w $work; rm -rf $work; echo $new"#;

/// The first boot of a card with its owner's lichen.toml on it, up to the state that stories start from.
pub fn first_boot() -> Result<Recording> {
    Ok(snapshot()?.first_boot())
}

/// From there: a deploy, a rollback, a gc, a boot that is given up before it comes to it, a switch into another kernel
/// by a trial boot, its blessing, and another gc.
/// What ends with a mark has made its toplevel durable.
pub fn life() -> Result<Recording> {
    let [greeting, next] = [
        Generation::named("greeting")?,
        Generation::named("retention")?,
    ];
    let inputs = [
        include_str!("recorded.rs"),
        include_str!("../../../src/generation.rs"),
        &greeting.toplevel,
        &next.toplevel,
    ];
    snapshot()?.record(&inputs, |machine, marker| {
        machine.wait_for_ssh(SOON)?;
        let running = || -> Result<String> {
            Ok(machine.sh("readlink /run/current-system")?.trim().to_owned())
        };
        let first = running()?;
        let _hat = machine.plug_sense_hat(21.5, 45.0, 1013.2)?;
        let climate = Climate::impatient(machine, Duration::from_millis(200))?;
        climate.measures(5)?;
        marker.mark("start", json!({ "toplevel": first }))?;

        let done = greeting.copy_to(machine)?.activate(machine, "switch")?;
        ensure!(done.status == 0, "{done:?}");
        marker.mark("deploy", json!({ "toplevel": greeting.toplevel }))?;

        let now: u64 = machine.sh("date +%s")?.trim().parse()?;
        climate.measures(60)?;
        let told = climate.history(now - 600, now)?.len();
        ensure!(told >= 5, "it has measured, and tells only {told}");
        marker.mark(
            "told",
            json!({ "toplevel": greeting.toplevel, "from": now - 600, "to": now, "readings": told }),
        )?;

        machine.sh("lichenctl rollback")?;
        ensure!(running()? == first, "it runs {}", running()?);
        marker.mark("rollback", json!({ "toplevel": first }))?;
        machine.sh("lichenctl gc --keep 0")?;
        marker.mark("gc", json!({ "toplevel": first }))?;

        let done = next.copy_to(machine)?.activate(machine, "boot")?;
        ensure!(done.status == 0, "{done:?}");
        marker.mark("boot", json!({ "toplevel": next.toplevel }))?;
        machine.sh(&format!("lichenctl boot {first}"))?;
        marker.mark("boot given up", json!({ "toplevel": first }))?;

        let before = machine.boot_id()?;
        let kernel = machine.sh(ANOTHER_KERNEL)?.trim().to_owned();
        machine.sh(&format!("lichenctl switch {kernel}"))?;
        marker.mark("trial boot", json!({ "toplevel": kernel }))?;
        machine.wait_for_another_boot(&before, BOOT)?;
        healthy(machine)?;
        machine.wait_until("the blessing", SOON, || {
            let status = status(machine)?;
            ensure!(status["standing"] == "good", "{status}");
            Ok(())
        })?;
        marker.mark("bless", json!({ "toplevel": kernel }))?;
        machine.sh("lichenctl gc --keep 0")?;
        marker.mark("gc of a kernel", json!({ "toplevel": kernel }))
    })
}

//! A network that is gone, and a device that does something about it.

use std::time::Duration;

use testbed::figures;
use tests::*;

/// An outage, with some more for an emulated clock that lags.
const OUTAGE: Duration = Duration::from_secs(300);

#[test]
fn a_gateway_that_falls_silent_is_connected_to_again_and_at_last_costs_a_reboot() -> Result<()> {
    let machine = appliance()?;
    impatient(&machine, "null")?;
    machine.wait_until("the gateway to answer", SOON, || {
        answers(&status(&machine)?)
    })?;

    // Whatever the gateway says by ARP is not heard, for a while; nor is anybody else who calls through it.
    let table = "arp silence";
    let deaf = format!(
        "nft add table {table} && nft add chain {table} in '{{ type filter hook input priority 0; policy drop; }}' \
         && ip neigh flush dev $(ip route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/;q') ; \
         until grep -q 'reconnects_total [1-9]' /run/lichen/link.metrics; do sleep 1; done; nft delete table {table}"
    );
    machine.write_file("/run/deaf", deaf.as_bytes())?;
    machine.sh("systemd-run --quiet --collect sh /run/deaf")?;
    let healed = machine.wait_until("the network to heal", OUTAGE, || {
        let status = status(&machine)?;
        ensure!(status["link"]["counts"]["healed"] == 1, "{status}");
        Ok(status)
    })?;
    answers(&healed)?;
    let outage = &healed["link"]["last_outage"];
    ensure!(outage["after"] == "reconnect", "{outage}");
    let seconds = outage["seconds"].as_u64().unwrap_or_default();
    ensure!((20..240).contains(&seconds), "{outage}");
    figures(format!(
        "a silent gateway was connected to again after {seconds} s"
    ));
    let told = machine.sh("lichenctl status")?;
    ensure!(told.contains("and ended after a reconnection"), "{told}");
    let metrics = machine.sh("curl -s http://127.0.0.1:8080/metrics")?;
    ensure!(
        metrics.contains("\nlichen_link_healed_total 1\n"),
        "{metrics}"
    );

    // Without a cable there is nothing to connect again, and the device reboots.
    let before = machine.boot_id()?;
    impatient(&machine, "40")?;
    machine.qmp(|qmp| {
        // Only a reset from now on counts.
        while qmp.unasked()?.iter().any(|event| event == "RESET") {
            qmp.event("RESET", SOON)?;
        }
        qmp.monitor("set_link net off")?;
        qmp.event("RESET", OUTAGE)?;
        qmp.monitor("set_link net on")
    })?;
    machine.wait_for_another_boot(&before, BOOT)?;
    healthy(&machine)?;
    let back = machine.wait_until("the gateway to answer", SOON, || {
        let status = status(&machine)?;
        answers(&status).map(|()| status)
    })?;
    let resets = back["recovery"]["resets"].as_array();
    let last = resets.and_then(|resets| resets.last());
    let last = last.with_context(|| format!("no reset: {back}"))?;
    ensure!(last["reason"] == "recovery", "{last}");
    let why = last["why"].as_str().unwrap_or_default();
    ensure!(why.starts_with("no gateway has answered for"), "{last}");
    ensure!(back["recovery"]["reboots"] == 1, "{back}");
    ensure!(back["link"]["last_outage"]["after"] == "reboot", "{back}");
    Ok(())
}

/// Has the device connect again after 20 seconds, and reboot after so many; until the next boot.
fn impatient(machine: &Machine, reboot_after: &str) -> Result<()> {
    let settings = format!(
        r#"{{"reconnect_after":20,"reload_driver_after":600,"reboot_after":{reboot_after},"interfaces":[],"tunnels":[]}}"#
    );
    machine.write_file("/etc/lichen/link.json", settings.as_bytes())?;
    machine.sh("systemctl restart lichen-heal").map(drop)
}

/// Whether a gateway answers now.
fn answers(status: &serde_json::Value) -> Result<()> {
    let gateways = status["link"]["gateways"].as_array();
    let answers = gateways.is_some_and(|gateways| gateways.iter().any(|g| g["answers"] == true));
    ensure!(
        answers && status["link"]["silent_since"].is_null(),
        "{}",
        status["link"]
    );
    Ok(())
}

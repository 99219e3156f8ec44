//! What the configuration declares is in force.

use testbed::Output;
use tests::*;

#[test]
fn the_system_cannot_be_written_to() -> Result<()> {
    let machine = appliance()?;
    for path in ["/usr/bin/x", "/usr/lib/systemd/system/x"] {
        let output = machine.try_sh(&format!("touch {path}"))?;
        ensure!(
            output.stderr.contains("Read-only file system"),
            "{path}: {output:?}"
        );
    }
    Ok(())
}

#[test]
fn the_journal_is_kept_small_and_not_for_ever() -> Result<()> {
    let machine = appliance()?;
    let declared = machine.sh("systemd-analyze cat-config systemd/journald.conf")?;
    // The last one counts: drop-ins come after the file that they change.
    let value = |name: &str| {
        declared
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .next_back()
    };
    assert_eq!(value("MaxRetentionSec="), Some("30day"));
    let limit = value("SystemMaxUse=").context("the journal's size has no limit")?;
    let said = machine.sh("journalctl -b -u systemd-journald -o cat --grep 'System Journal'")?;
    ensure!(
        said.contains(&format!("max {limit}")),
        "declared is {limit}; journald says: {said}"
    );
    machine
        .sh("journalctl -b -o cat -n 1 --file /var/log/journal/*/system.journal")
        .map(drop)
}

#[test]
fn swap_is_compressed_memory_first() -> Result<()> {
    let machine = appliance()?;
    let swap = machine.sh("swapon --noheadings --show=NAME,PRIO")?;
    let first = swap.lines().max_by_key(|line| {
        line.split_whitespace()
            .last()
            .and_then(|priority| priority.parse::<i32>().ok())
    });
    ensure!(
        first.is_some_and(|line| line.starts_with("/dev/zram")),
        "swap: {swap:?}"
    );
    let size = machine.sh("stat -c %s /var/swapfile")?;
    ensure!(
        swap.contains("/var/swapfile") && size.contains("268435456"),
        "the swap file of 256 MiB is not as declared: {swap:?}, {size:?}"
    );
    Ok(())
}

#[test]
fn every_declared_sysctl_is_in_force() -> Result<()> {
    let machine = appliance()?;
    let declared = machine.sh("cat /etc/sysctl.d/*.conf")?;
    let pairs = declared
        .lines()
        .map(|line| line.trim().trim_start_matches('-'));
    let pairs: Vec<_> = pairs
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .collect();
    ensure!(!pairs.is_empty(), "nothing is declared: {declared:?}");
    for (name, value) in pairs {
        let now = machine.sh(&format!("sysctl -n {}", name.trim()))?;
        let (now, value) = (
            now.split_whitespace().collect::<Vec<_>>(),
            value.split_whitespace().collect::<Vec<_>>(),
        );
        ensure!(now == value, "{name} is {now:?}, declared is {value:?}");
    }
    Ok(())
}

#[test]
fn the_service_is_locked_in() -> Result<()> {
    let machine = appliance()?;
    machine.sh("systemd-analyze security --no-pager --threshold=20 climate.service > /run/security || { cat /run/security; false; }")?;
    let uid = machine.sh("stat -c %U /proc/$(systemctl show climate -P MainPID)")?;
    assert_eq!(uid.trim(), "climate");
    Ok(())
}

#[test]
fn a_port_that_is_not_declared_is_closed() -> Result<()> {
    let machine = appliance()?;
    machine.sh("systemd-run --quiet --unit=undeclared systemd-socket-activate --accept --inetd --listen 9999 /bin/echo hello")?;
    let greeting = || machine.sh("exec 3<> /dev/tcp/127.0.0.1/9999 && head -n 1 <&3");
    machine.wait_until("a listener on port 9999", SOON, || {
        ensure!(greeting()?.trim() == "hello");
        Ok(())
    })?;
    ensure!(!greets(&machine, 9999)?, "port 9999 is open");
    // The same listener does answer once the firewall is gone, so it was the firewall that kept us out.
    machine.sh("nft flush ruleset")?;
    ensure!(
        greets(&machine, 9999)?,
        "port 9999 does not answer even without a firewall"
    );
    Ok(())
}

#[test]
fn only_keys_open_the_door() -> Result<()> {
    let machine = appliance()?;
    let refused = |options: &[&str]| -> Result<()> {
        let Output { status, stderr, .. } = machine.ssh().attempt(options, "true")?;
        ensure!(
            status == 255 && stderr.contains("Permission denied (publickey)."),
            "{options:?}: {status}: {stderr}"
        );
        Ok(())
    };
    refused(&["-o", "PubkeyAuthentication=no"])?;
    refused(&[
        "-o",
        "PreferredAuthentications=password,keyboard-interactive",
    ])?;
    let with_password = machine.sh("awk -F: '$2 !~ /^[!*]/ { print $1 }' /etc/shadow")?;
    ensure!(
        with_password.is_empty(),
        "these have a password, or need none: {with_password}"
    );
    Ok(())
}

#[test]
fn a_login_is_tracked_and_has_no_service_manager_of_its_own() -> Result<()> {
    let machine = appliance()?;
    let sessions = machine.sh("loginctl list-sessions --no-legend")?;
    ensure!(sessions.contains("root"), "{sessions}");
    let manager = machine.try_sh("systemctl is-active user@0.service")?;
    assert_eq!(manager.stdout.trim(), "inactive");
    Ok(())
}

#[test]
fn every_device_that_rules_know_is_handled_and_removable_ones_are_polled() -> Result<()> {
    let machine = appliance()?;
    let unhandled = machine.sh(
        "udevadm settle; udevadm trigger --dry-run --verbose --type=devices --initialized-nomatch \
         --subsystem-match=block --subsystem-match=net --subsystem-match=tty --subsystem-match=input",
    )?;
    assert_eq!(unhandled, "");
    let poll = machine.sh("cat /sys/module/block/parameters/events_dfl_poll_msecs")?;
    assert_eq!(poll.trim(), "2000", "in ms, by 60-block.rules");
    Ok(())
}

/// Whether a listener that says hello can be heard from outside.
fn greets(machine: &Machine, port: u16) -> Result<bool> {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;
    // QEMU takes the connection in any case; what tells is whether the machine sends anything.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, machine.port(port)?))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut heard = String::new();
    let _ = stream.read_to_string(&mut heard);
    Ok(heard.trim() == "hello")
}

//! A WireGuard tunnel, whose peer remembers the last handshake, moves, and lets nobody in whose clock is behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fake_peer::{Peer, TimeServer};
use testbed::figures;
use tests::*;

/// What tests/generations/tunnel.nix has the public key of.
const PEER: [u8; 32] = *b"the private key of a test peer..";
/// Inside of the tunnel.
const PEER_ADDRESS: &str = "10.66.0.1";
/// The addresses that the peer's name has, one after the other.
const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";
const PORT: u16 = 51820;
/// The address of the time server on the generation's page.
const TIME_SERVER: &str = "192.0.2.123";
/// Where timesyncd saves the time. It does so only while it reaches a time server.
const SAVED_TIME: &str = "/var/lib/systemd/timesync/clock";

/// Handshakes are tried every 5 seconds, for 90 seconds, and again after the 25 of the keepalive.
const HANDSHAKE: Duration = Duration::from_secs(180);
/// A handshake is stale after 135 seconds, and is looked at every 30; with some more for an emulated clock that lags.
const HEALED: Duration = Duration::from_secs(360);

#[test]
fn a_tunnel_finds_its_peer_again_and_is_let_in_once_the_time_is_right() -> Result<()> {
    let mut machine = appliance()?;
    let generation = Generation::named("tunnel")?;
    let done = generation.copy_to(&machine)?.activate(&machine, "switch")?;
    ensure!(done.status == 0, "{done:?}");
    generation.runs_on(&machine)?;
    healthy(&machine)?;

    // The device has made its key; the peer is given the public one.
    let told = machine.wait_until("the device to know its peer", SOON, || Told::by(&machine))?;
    let key = told.key;
    let mut peer = Peer::start(PEER, &key)?;
    leads(&machine, FIRST, PORT, peer.address())?;
    let told = is_up(&machine, &peer, 0)?;
    ensure!(told.peer == peer.public_key(), "{told:?}");
    ensure!(told.endpoint == format!("{FIRST}:{PORT}"), "{told:?}");
    let words = machine.sh("lichenctl status")?;
    let line = format!("  peer {} at {FIRST}:{PORT}: handshake ", told.peer);
    ensure!(
        words.contains(&line) && words.contains(&format!("wg0: {key}")),
        "{words}"
    );

    // The peer moves, and its name with it.
    peer.moves()?;
    let before = peer.handshakes();
    let moved = Instant::now();
    leads(&machine, SECOND, PORT, peer.address())?;
    machine.sh(&format!("sed -i 's/^{FIRST} /{SECOND} /' /etc/hosts"))?;
    machine.wait_until("a handshake where the peer is now", HEALED, || {
        let handshakes = peer.handshakes();
        ensure!(handshakes > before, "still {handshakes}");
        Ok(())
    })?;
    figures(format!(
        "a tunnel whose peer had moved was up again after {} s",
        moved.elapsed().as_secs()
    ));
    let told = is_up(&machine, &peer, before)?;
    ensure!(told.endpoint == format!("{SECOND}:{PORT}"), "{told:?}");
    machine.wait_until("the device to tell what it did", SOON, || {
        let link = &status(&machine)?["link"];
        ensure!(link["counts"]["endpoints"] == 1, "{link}");
        Ok(())
    })?;

    // Without power, the clock is lost; so is what was saved of it, which is worse than on a device. The generation that was
    // switched to is on trial from this boot on.
    machine.sh(&format!(
        "systemctl stop systemd-timesyncd && rm -f {SAVED_TIME} && sync"
    ))?;
    machine.pull_plug()?;
    machine.set_clock("2001-02-03T04:05:06")?;
    let (answered, refused) = (peer.handshakes(), peer.refused());
    machine.power_on()?;
    machine.wait_for_ssh(BOOT)?;
    generation.runs_on(&machine)?;
    let behind = now()?.saturating_sub(clock(&machine)?);
    ensure!(behind > 24 * 60 * 60, "its clock is {behind} s behind");
    leads(&machine, FIRST, PORT, peer.address())?;
    machine.wait_until("the peer to refuse handshakes", HANDSHAKE, || {
        let more = peer.refused() - refused;
        ensure!(more >= 2, "it has refused {more}");
        Ok(())
    })?;
    let told = Told::by(&machine)?;
    ensure!(told.key == key, "it has another key: {told:?}");
    ensure!(told.handshake.is_none(), "{told:?}");
    ensure!(peer.handshakes() == answered, "it was let in");

    // Now a time server is there, outside of the tunnel. timesyncd would ask it again by itself, but not at once.
    let time_server = TimeServer::start()?;
    leads(&machine, TIME_SERVER, 123, time_server.address())?;
    machine.sh("systemctl restart systemd-timesyncd")?;
    let restarted = Instant::now();
    is_up(&machine, &peer, answered)?;
    figures(format!(
        "a tunnel was up {} s after timesyncd could ask for the time; the clock had been {} days behind",
        restarted.elapsed().as_secs(),
        behind / (24 * 60 * 60)
    ));
    ensure!(time_server.answered() > 0, "nobody has asked for the time");
    let wrong = now()?.abs_diff(clock(&machine)?);
    ensure!(wrong < 60, "its clock is still {wrong} s off");
    healthy(&machine)
}

/// What `lichenctl status` tells of the tunnel.
#[derive(Debug)]
struct Told {
    key: String,
    peer: String,
    endpoint: String,
    handshake: Option<u64>,
}

impl Told {
    fn by(machine: &Machine) -> Result<Self> {
        let status = status(machine)?;
        let tunnel = &status["tunnels"][0];
        let peer = &tunnel["peers"][0];
        let text = |value: &serde_json::Value| {
            let text = value.as_str().map(str::to_owned);
            text.with_context(|| format!("of its tunnels it tells {}", status["tunnels"]))
        };
        Ok(Self {
            key: text(&tunnel["public_key"])?,
            peer: text(&peer["public_key"])?,
            endpoint: text(&peer["endpoint"])?,
            handshake: peer["handshake_seconds_ago"].as_u64(),
        })
    }
}

/// Waits until the peer has answered more than `before` handshakes, the device tells so, and packets come through.
fn is_up(machine: &Machine, peer: &Peer, before: u64) -> Result<Told> {
    machine.wait_until("the tunnel to be up", HANDSHAKE, || {
        let handshakes = peer.handshakes();
        ensure!(handshakes > before, "{handshakes} handshakes");
        machine.sh(&format!("ping -c 1 -W 2 {PEER_ADDRESS}"))?;
        let told = Told::by(machine)?;
        // By the device's clock, that is: a session is never older.
        ensure!(told.handshake.is_some_and(|ago| ago < 180), "{told:?}");
        Ok(told)
    })
}

/// Has what this machine sends to a port of `address` arrive at `to` on the host, until the next boot.
fn leads(machine: &Machine, address: &str, port: u16, to: SocketAddr) -> Result<()> {
    let (rule, to) = ("nft add rule ip internet leads ip daddr", to.port());
    machine
        .sh(&format!(
            "{rule} {address} udp dport {port} dnat to 10.0.2.2:{to}"
        ))
        .map(drop)
}

/// Seconds since 1970, by this machine's clock.
fn clock(machine: &Machine) -> Result<u64> {
    Ok(machine.sh("date +%s")?.trim().parse()?)
}

/// The same, by the host's.
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

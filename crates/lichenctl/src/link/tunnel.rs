//! WireGuard's tunnels: whether their handshakes are stale, and then where the peer's name leads now. systemd-networkd looks up
//! the name of an endpoint once, and never again.

use super::command;
use anyhow::{Context, Result};
use protocol::link::{Peer, Tunnel};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// A session is renewed after 120 seconds at the latest, if anything is sent; so says WireGuard's own reresolve-dns.
const STALE: Duration = Duration::from_secs(135);
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer whose endpoint the page gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Named {
    /// The interface.
    pub interface: String,
    /// The peer's public key.
    pub peer: String,
    /// The name or the address, and the port.
    pub endpoint: String,
}

/// An interface, as `wg show all dump` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interface {
    public_key: Option<String>,
    peers: Vec<Seen>,
}

/// A peer of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    public_key: String,
    endpoint: Option<String>,
    /// Seconds since 1970.
    handshake: Option<u64>,
    /// The bytes that were sent to it.
    sent: u64,
}

type Table = BTreeMap<String, Interface>;

/// The tunnels of the device; none where there is no WireGuard. `now`: seconds since 1970.
pub fn tunnels(now: u64) -> Vec<Tunnel> {
    let tunnel = |(interface, seen): (String, Interface)| Tunnel {
        interface,
        public_key: seen.public_key,
        peers: seen.peers.into_iter().map(|seen| seen.told(now)).collect(),
    };
    let table = look().unwrap_or_default();
    table.into_iter().map(tunnel).collect()
}

impl Seen {
    fn told(self, now: u64) -> Peer {
        let ago = |then| now.saturating_sub(then);
        Peer {
            public_key: self.public_key,
            endpoint: self.endpoint,
            handshake_seconds_ago: self.handshake.map(ago),
        }
    }
}

fn look() -> Result<Table> {
    let said = command::run(&["wg".to_owned()], &["show", "all", "dump"], PATIENCE)?;
    table(&said).context("cannot read what `wg` prints")
}

/// The private and the preshared keys that are there, too, are not taken.
fn table(said: &str) -> Option<Table> {
    let given = |word: &str| (word != "(none)").then(|| word.to_owned());
    let mut table = Table::new();
    for line in said.lines() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            [interface, _private, public, _port, _mark] => {
                let public_key = given(public);
                let peers = Vec::new();
                table.insert(interface.to_owned(), Interface { public_key, peers });
            }
            [
                interface,
                public,
                _shared,
                endpoint,
                _allowed,
                handshake,
                _received,
                sent,
                _keepalive,
            ] => {
                let handshake = handshake.parse().ok()?;
                table.get_mut(interface)?.peers.push(Seen {
                    public_key: public.to_owned(),
                    endpoint: given(endpoint),
                    handshake: (handshake != 0).then_some(handshake),
                    sent: sent.parse().ok()?,
                });
            }
            _ => return None,
        }
    }
    Some(table)
}

/// Whether the peers are stale, from one look to the next: by the kernel's time, as the handshakes' own is the clock's, which
/// is wrong until the network has set it.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<Named, Last>);

#[derive(Debug)]
struct Last {
    handshake: Option<u64>,
    /// When it came, or when something was done about it.
    at: Duration,
    sent: u64,
}

impl Watch {
    /// Looks up the endpoints of peers whose handshakes are stale; says of each whether it is at another address now.
    pub fn renew(&mut self, named: &[Named], now: Duration) -> Vec<Result<bool>> {
        if named.is_empty() {
            return Vec::new();
        }
        let table = match look() {
            Ok(table) => table,
            Err(error) => return vec![Err(error)],
        };
        let peer = |named: &Named| {
            let mut peers = table.get(&named.interface)?.peers.iter();
            peers.find(|seen| seen.public_key == named.peer)
        };
        let there = named.iter().filter_map(|named| Some((named, peer(named)?)));
        let stale = there.filter(|(named, seen)| self.is_stale(named, seen, now));
        stale.map(|(named, seen)| renew(named, seen)).collect()
    }

    /// Whether to look up the name: something is sent to the peer, and it does not shake hands; or nothing can be sent.
    fn is_stale(&mut self, named: &Named, seen: &Seen, now: Duration) -> bool {
        let fresh = || Last {
            handshake: seen.handshake,
            at: now,
            sent: seen.sent,
        };
        let last = self.0.entry(named.clone()).or_insert_with(fresh);
        if last.handshake != seen.handshake {
            *last = fresh();
        }
        let old = now.saturating_sub(last.at) >= STALE;
        let wanted = seen.endpoint.is_none() || seen.sent > last.sent;
        if old {
            *last = fresh();
        }
        old && wanted
    }
}

fn renew(named: &Named, seen: &Seen) -> Result<bool> {
    let name = &named.endpoint;
    let found = name.to_socket_addrs();
    let found: Vec<_> = found
        .with_context(|| format!("cannot look up {name}"))?
        .collect();
    match next(seen.endpoint.as_deref(), &found) {
        None => Ok(false),
        Some(other) => set(named, other).map(|()| true),
    }
}

/// The address after the present one, as a peer may have several of which some do not work; none if that is the only one.
fn next(present: Option<&str>, found: &[SocketAddr]) -> Option<SocketAddr> {
    let present = present.and_then(|address| address.parse().ok());
    let at = found.iter().position(|address| Some(*address) == present);
    let next = match at {
        None => found.first(),
        Some(at) => found.iter().cycle().nth(at + 1),
    };
    next.copied().filter(|address| Some(*address) != present)
}

fn set(named: &Named, endpoint: SocketAddr) -> Result<()> {
    let endpoint = endpoint.to_string();
    let words = [
        "set",
        &named.interface,
        "peer",
        &named.peer,
        "endpoint",
        &endpoint,
    ];
    command::run(&["wg".to_owned()], &words, PATIENCE).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "wg0\tPRIVATE=\tOWN=\t51820\toff\n\
        wg0\tHOME=\t(none)\t192.0.2.1:51820\t10.10.0.0/24\t1790000000\t1200\t3400\t25\n\
        wg0\tAWAY=\tSHARED=\t(none)\t(none)\t0\t0\t0\toff\n";

    fn named() -> Named {
        Named {
            interface: "wg0".into(),
            peer: "HOME=".into(),
            endpoint: "vpn.example.org:51820".into(),
        }
    }

    #[test]
    fn tunnels_are_read_without_their_secrets() {
        let table = table(DUMP).unwrap();
        let wg0 = &table["wg0"];
        assert_eq!(wg0.public_key.as_deref(), Some("OWN="));
        let [home, away] = &wg0.peers[..] else {
            panic!("{wg0:?}")
        };
        assert_eq!(home.endpoint.as_deref(), Some("192.0.2.1:51820"));
        assert_eq!((home.handshake, home.sent), (Some(1_790_000_000), 3400));
        assert_eq!((&away.endpoint, away.handshake), (&None, None));
        let told = home.clone().told(1_790_000_035);
        assert_eq!(told.handshake_seconds_ago, Some(35));
        let told = format!("{table:?}");
        assert!(!told.contains("PRIVATE") && !told.contains("SHARED"));
        assert_eq!(super::table(""), Some(Table::new()));
        assert_eq!(super::table("wg0\tx\n"), None);
    }

    #[test]
    fn a_name_is_looked_up_again_only_while_something_waits_for_the_peer() {
        let seen = |handshake: u64, sent, endpoint: Option<&str>| Seen {
            public_key: "HOME=".into(),
            endpoint: endpoint.map(str::to_owned),
            handshake: (handshake != 0).then_some(handshake),
            sent,
        };
        let there = Some("192.0.2.1:51820");
        let mut watch = Watch::default();
        let mut stale = |at, handshake, sent, endpoint| {
            let seen = seen(handshake, sent, endpoint);
            watch.is_stale(&named(), &seen, Duration::from_secs(at))
        };
        assert!(!stale(100, 0, 148, there), "it has time for the first one");
        assert!(!stale(230, 0, 2000, there));
        assert!(stale(240, 0, 2100, there), "it is called, and is silent");
        assert!(!stale(270, 0, 2300, there), "each address has its time");
        // The clock was set meanwhile, and says nothing here.
        assert!(!stale(300, 1_790_000_000, 2500, there));
        assert!(!stale(430, 1_790_000_000, 2500, there));
        assert!(!stale(440, 1_790_000_000, 2500, there), "nothing is sent");
        assert!(!stale(570, 1_790_000_000, 2600, there));
        assert!(stale(580, 1_790_000_000, 2700, there));
        assert!(!stale(700, 1_790_000_000, 2700, None));
        assert!(stale(720, 1_790_000_000, 2700, None), "it has no address");
    }

    #[test]
    fn addresses_are_tried_in_turn() {
        let found = ["[2001:db8::1]:51820", "192.0.2.1:51820"];
        let found = found.map(|address| address.parse().unwrap());
        let next = |present, found: &[SocketAddr]| next(present, found).map(|a| a.to_string());
        assert_eq!(next(None, &found).as_deref(), Some("[2001:db8::1]:51820"));
        let (first, second) = (Some("[2001:db8::1]:51820"), Some("192.0.2.1:51820"));
        assert_eq!(next(first, &found).as_deref(), second);
        assert_eq!(next(second, &found).as_deref(), first);
        assert_eq!(next(Some("198.51.100.9:1"), &found).as_deref(), first);
        assert_eq!(next(second, &found[1..]), None);
        assert_eq!(next(second, &[]), None);
    }
}

//! What a device tells of its network: whether a gateway answers, what it has done about it, and its tunnels. A part of the
//! status document.

use crate::duration::duration;
use serde::{Deserialize, Serialize};

/// What a device does about a network that is gone, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Connect again.
    Reconnect,
    /// Load the driver of the radio again.
    ReloadDriver,
    /// Reboot.
    Reboot,
}

/// A gateway, as it was found last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The interface it is behind.
    pub interface: String,
    /// Its address.
    pub address: String,
    /// Whether it answers; null if that cannot be said at this moment.
    pub answers: Option<bool>,
}

/// A time without a gateway in which something was done, and which is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// How long it lasted, in seconds of running.
    pub seconds: u64,
    /// What was done last before it ended.
    pub after: Step,
}

/// How often something happened, since the card was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// The device has connected again.
    pub reconnects: u64,
    /// It has loaded the radio's driver again.
    pub reloads: u64,
    /// It has rebooted.
    pub reboots: u64,
    /// A gateway answered again afterwards.
    pub healed: u64,
    /// The endpoint of a tunnel was found at another address.
    pub endpoints: u64,
}

/// The network of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// The gateways.
    pub gateways: Vec<Gateway>,
    /// Since when none of them has answered, in seconds after the start of the kernel; null while one does.
    pub silent_since: Option<u64>,
    /// The last outage that is over.
    pub last_outage: Option<Outage>,
    /// How often what was done.
    pub counts: Counts,
}

impl Link {
    pub(crate) fn words(&self, uptime: Option<u64>) -> impl Iterator<Item = String> {
        let now = match self.gateways.as_slice() {
            [] => "no gateway".to_owned(),
            some => some.iter().map(gateway).collect::<Vec<_>>().join(", "),
        };
        let silent = self.silent_since.zip(uptime);
        let silent = silent.map(|(since, now)| duration(now.saturating_sub(since)));
        let silent = silent.map(|long| format!("{now}; none for {long}"));
        let Counts {
            reconnects,
            reloads,
            reboots,
            ..
        } = self.counts;
        let done = [
            (reconnects, "reconnection"),
            (reloads, "reload of the driver"),
            (reboots, "reboot"),
        ];
        let done = done.into_iter().filter(|(count, _)| *count > 0);
        let done: Vec<_> = done.map(|(count, what)| counted(count, what)).collect();
        let done =
            (!done.is_empty()).then(|| format!("{} since the card was written", done.join(", ")));
        let last = self.last_outage.map(|Outage { seconds, after }| {
            let after = match after {
                Step::Reconnect => "a reconnection",
                Step::ReloadDriver => "a reload of the driver",
                Step::Reboot => "a reboot",
            };
            let long = duration(seconds);
            format!("the last outage lasted {long} and ended after {after}")
        });
        [Some(silent.unwrap_or(now)), done, last]
            .into_iter()
            .flatten()
    }
}

fn gateway(gateway: &Gateway) -> String {
    let Gateway {
        interface, address, ..
    } = gateway;
    let answers = match gateway.answers {
        Some(true) => "answers",
        Some(false) => "does not answer",
        None => "has not answered yet",
    };
    format!("{address} on {interface} {answers}")
}

fn counted(count: u64, what: &str) -> String {
    let (first, rest) = what.split_once(' ').unwrap_or((what, ""));
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {first}{plural} {rest}")
        .trim_end()
        .to_owned()
}

/// A WireGuard interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its name.
    pub interface: String,
    /// Its public key, which its peers must know; null as long as it has no key.
    pub public_key: Option<String>,
    /// Its peers.
    pub peers: Vec<Peer>,
}

/// A peer of a WireGuard interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its public key.
    pub public_key: String,
    /// Where it was found or heard last.
    pub endpoint: Option<String>,
    /// How many seconds ago the last handshake was, by the device's clock; null if there was none.
    pub handshake_seconds_ago: Option<u64>,
}

impl Tunnel {
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        let key = self.public_key.as_deref().unwrap_or("no key");
        let own = format!("{}: {key}", self.interface);
        let peers = self.peers.iter().map(|peer| {
            let at = peer.endpoint.as_deref().unwrap_or("an unknown address");
            let handshake = match peer.handshake_seconds_ago {
                None => "no handshake yet".to_owned(),
                Some(seconds) => format!("handshake {} ago", duration(seconds)),
            };
            format!("  peer {} at {at}: {handshake}", peer.public_key)
        });
        std::iter::once(own).chain(peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(answers: Option<bool>) -> Gateway {
        Gateway {
            interface: "wlan0".into(),
            address: "192.168.1.1".into(),
            answers,
        }
    }

    fn words(link: &Link) -> Vec<String> {
        link.words(Some(1000)).collect()
    }

    #[test]
    fn the_network_is_told_in_words() {
        let well = Link {
            gateways: vec![at(Some(true))],
            ..Link::default()
        };
        assert_eq!(words(&well), ["192.168.1.1 on wlan0 answers"]);
        let gone = Link {
            silent_since: Some(280),
            counts: Counts {
                reconnects: 3,
                reloads: 1,
                ..Counts::default()
            },
            last_outage: Some(Outage {
                seconds: 180,
                after: Step::ReloadDriver,
            }),
            ..Link::default()
        };
        assert_eq!(
            words(&gone),
            [
                "no gateway; none for 12 min",
                "3 reconnections, 1 reload of the driver since the card was written",
                "the last outage lasted 3 min and ended after a reload of the driver",
            ]
        );
        let mute = Link {
            gateways: vec![at(Some(false))],
            silent_since: Some(980),
            ..Link::default()
        };
        assert_eq!(
            words(&mute),
            ["192.168.1.1 on wlan0 does not answer; none for 20 s"]
        );
    }

    #[test]
    fn a_tunnel_tells_the_key_that_its_peers_must_know() {
        let peer = |endpoint: Option<&str>, handshake_seconds_ago| Peer {
            public_key: "PEER=".into(),
            endpoint: endpoint.map(str::to_owned),
            handshake_seconds_ago,
        };
        let tunnel = Tunnel {
            interface: "wg0".into(),
            public_key: Some("OWN=".into()),
            peers: vec![peer(Some("192.0.2.1:51820"), Some(60)), peer(None, None)],
        };
        let words: Vec<_> = tunnel.words().collect();
        assert_eq!(
            words,
            [
                "wg0: OWN=",
                "  peer PEER= at 192.0.2.1:51820: handshake 1 min ago",
                "  peer PEER= at an unknown address: no handshake yet",
            ]
        );
    }
}

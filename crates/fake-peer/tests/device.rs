//! A peer as devices know it: their end of the tunnel is boringtun's, too, and calls.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};
use fake_peer::Peer;

const DEVICE: [u8; 32] = [1; 32];
const STRANGER: [u8; 32] = [2; 32];
const PEER: [u8; 32] = [3; 32];
/// How long to wait for an answer that comes, and for one that does not come, after the next one has.
const SOON: Duration = Duration::from_secs(10);

fn public_key(private_key: [u8; 32]) -> PublicKey {
    PublicKey::from(&StaticSecret::from(private_key))
}

fn peer() -> Peer {
    Peer::start(PEER, &BASE64.encode(public_key(DEVICE))).unwrap()
}

/// A device's end of the tunnel.
struct Device {
    tunnel: Tunn,
    socket: UdpSocket,
}

impl Device {
    fn new(private_key: [u8; 32]) -> Self {
        let private_key = StaticSecret::from(private_key);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self {
            tunnel: Tunn::new(private_key, public_key(PEER), None, None, 0, None),
            socket,
        }
    }

    /// A handshake that is dated with this moment.
    fn handshake(&mut self) -> Vec<u8> {
        let mut room = [0; 2048];
        match self.tunnel.format_handshake_initiation(&mut room, true) {
            TunnResult::WriteToNetwork(handshake) => handshake.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn send(&self, peer: &Peer, datagram: &[u8]) {
        self.socket.send_to(datagram, peer.address()).unwrap();
    }

    /// Takes the answer to the last handshake; gives what the peer has to be sent for the tunnel to be in use.
    fn takes_the_answer(&mut self) -> Vec<u8> {
        let (mut datagram, mut room) = ([0; 2048], [0; 2048]);
        let (length, _) = self.socket.recv_from(&mut datagram).unwrap();
        match self
            .tunnel
            .decapsulate(None, &datagram[..length], &mut room)
        {
            TunnResult::WriteToNetwork(keepalive) => keepalive.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Shakes hands, and finds its tunnel in use.
    fn is_connected_to(&mut self, peer: &Peer) {
        let handshake = self.handshake();
        self.send(peer, &handshake);
        let keepalive = self.takes_the_answer();
        self.send(peer, &keepalive);
    }

    /// Sends a packet through the tunnel, and gives the one that comes out of it.
    fn asks(&mut self, peer: &Peer, packet: &[u8]) -> Vec<u8> {
        let (mut datagram, mut room) = ([0; 2048], [0; 2048]);
        match self.tunnel.encapsulate(packet, &mut room) {
            TunnResult::WriteToNetwork(sealed) => self.send(peer, sealed),
            other => panic!("{other:?}"),
        }
        let (length, _) = self.socket.recv_from(&mut datagram).unwrap();
        match self
            .tunnel
            .decapsulate(None, &datagram[..length], &mut room)
        {
            TunnResult::WriteToTunnelV4(packet, _) => packet.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    fn hears_nothing_more(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let heard = self.socket.recv_from(&mut [0; 2048]);
        let silence = heard.as_ref().map_err(std::io::Error::kind);
        assert_eq!(silence, Err(ErrorKind::WouldBlock), "{heard:?}");
        self.socket.set_nonblocking(false).unwrap();
    }
}

/// The sum of the 16-bit words, as the internet's protocols have it: 0xffff where the words contain their checksum.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => u32::from(word[0]) << 8,
    });
    words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}

/// A ping from 10.0.0.7 to 10.0.0.1, whose data make its checksum this one.
fn ping(checksum: u16) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 30, 0, 7, 0, 0, 64, 1, 0, 0, 10, 0, 0, 7, 10, 0, 0, 1,
    ];
    let missing = 0xffff - sum(&packet);
    packet[10..12].copy_from_slice(&(missing as u16).to_be_bytes());
    packet.extend([8, 0]);
    packet.extend(checksum.to_be_bytes());
    packet.extend([0, 7, 0, 1]);
    let missing = 0xffff - sum(&packet[20..]);
    packet.extend((missing as u16).to_be_bytes());
    assert_eq!((sum(&packet[..20]), sum(&packet[20..])), (0xffff, 0xffff));
    packet
}

#[test]
fn it_shakes_hands_and_answers_pings_through_the_tunnel() {
    let peer = peer();
    let mut device = Device::new(DEVICE);
    device.is_connected_to(&peer);
    assert_eq!((peer.handshakes(), peer.refused()), (1, 0));
    // With and without a carry.
    for checksum in [0x1234, 0xf7ff, 0xf800, 0xfffe] {
        let answer = device.asks(&peer, &ping(checksum));
        let addresses = [10, 0, 0, 1, 10, 0, 0, 7];
        assert_eq!((&answer[12..20], answer[20]), (&addresses[..], 0));
        assert_eq!(answer[24..], ping(checksum)[24..], "{checksum:x}");
        let sums = (sum(&answer[..20]), sum(&answer[20..]));
        assert_eq!(sums, (0xffff, 0xffff), "{checksum:x}");
    }
}

#[test]
fn it_refuses_a_handshake_that_is_not_dated_later_than_one_before() {
    let mut peer = peer();
    let mut device = Device::new(DEVICE);
    let early = device.handshake();
    let late = device.handshake();
    device.send(&peer, &late);
    let keepalive = device.takes_the_answer();
    device.send(&peer, &keepalive);

    // The same one again is no later, either.
    device.send(&peer, &early);
    device.send(&peer, &late);
    device.asks(&peer, &ping(1));
    device.hears_nothing_more();
    assert_eq!((peer.handshakes(), peer.refused()), (1, 2));

    // It remembers wherever it is.
    let before = peer.address();
    peer.moves().unwrap();
    assert_ne!(peer.address(), before);
    device.send(&peer, &early);
    device.is_connected_to(&peer);
    device.asks(&peer, &ping(1));
    assert_eq!((peer.handshakes(), peer.refused()), (2, 3));
}

#[test]
fn where_it_was_nobody_is() {
    let mut peer = peer();
    let before = peer.address();
    peer.moves().unwrap();
    UdpSocket::bind(before).expect("the port is free");
}

#[test]
fn strangers_and_nonsense_get_no_answer() {
    let peer = peer();
    let (mut device, mut stranger) = (Device::new(DEVICE), Device::new(STRANGER));
    let handshake = stranger.handshake();
    stranger.send(&peer, &handshake);
    for nonsense in [&[][..], b"GET / HTTP/1.1\r\n\r\n", &[0; 148], &[1; 2000]] {
        stranger.send(&peer, nonsense);
    }
    device.is_connected_to(&peer);
    device.asks(&peer, &ping(1));
    stranger.hears_nothing_more();
    assert_eq!((peer.handshakes(), peer.refused()), (1, 0));
    let nonsense = Peer::start(PEER, "AAAA").err().unwrap();
    assert_eq!(nonsense.to_string(), "`AAAA` is no key");
}

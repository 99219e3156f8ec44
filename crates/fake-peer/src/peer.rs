//! A WireGuard peer in userspace.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use crate::echo;
use crate::listening::{LARGEST, Listening};

/// A running WireGuard peer. It answers handshakes and pings, and never calls anybody by itself.
///
/// It remembers the time that the last handshake was dated with, as every peer does, and refuses one that is not later. It
/// can move to another address, and remembers that there, too. Of what is not meant for it, it takes nothing and says nothing.
pub struct Peer {
    public_key: PublicKey,
    memory: Arc<Memory>,
    listening: Listening,
}

impl Peer {
    /// Starts one at a free port, which has this private key and knows one device, by its public key in base64.
    pub fn start(private_key: [u8; 32], device: &str) -> Result<Self> {
        let private_key = StaticSecret::from(private_key);
        let public_key = PublicKey::from(&private_key);
        let memory = Arc::new(Memory::new(private_key, key(device)?));
        Ok(Self {
            public_key,
            listening: listen(&memory)?,
            memory,
        })
    }

    /// Its public key, in base64.
    pub fn public_key(&self) -> String {
        BASE64.encode(self.public_key)
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Moves it to another port. Where it was, nobody is any more.
    pub fn moves(&mut self) -> Result<()> {
        // The new one first, so that it is another one.
        self.listening = listen(&self.memory)?;
        Ok(())
    }

    /// How many handshakes it has answered.
    pub fn handshakes(&self) -> u64 {
        self.memory.handshakes.load(Ordering::SeqCst)
    }

    /// How many handshakes it has refused, since they were not dated later than one before.
    pub fn refused(&self) -> u64 {
        self.memory.refused.load(Ordering::SeqCst)
    }
}

fn listen(memory: &Arc<Memory>) -> Result<Listening> {
    let memory = memory.clone();
    Listening::begin(move |from, datagram| memory.take(from, datagram))
}

fn key(base64: &str) -> Result<PublicKey> {
    let bytes = BASE64.decode(base64).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.with_context(|| format!("`{base64}` is no key"))?;
    Ok(PublicKey::from(bytes))
}

/// What it knows, wherever it is.
struct Memory {
    tunnel: Mutex<Tunn>,
    handshakes: AtomicU64,
    refused: AtomicU64,
}

impl Memory {
    fn new(private_key: StaticSecret, device: PublicKey) -> Self {
        // A peer that is called too often answers with cookies; this one never is.
        let limits = RateLimiter::new(&PublicKey::from(&private_key), u64::MAX);
        let tunnel = Tunn::new(private_key, device, None, None, 0, Some(Arc::new(limits)));
        Self {
            tunnel: Mutex::new(tunnel),
            handshakes: AtomicU64::default(),
            refused: AtomicU64::default(),
        }
    }

    /// Takes a datagram; gives the answer, if there is one.
    fn take(&self, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = [0; LARGEST];
        match tunnel.decapsulate(Some(from.ip()), datagram, &mut room) {
            // Whoever never calls has only handshakes to answer.
            TunnResult::WriteToNetwork(answer) => {
                self.handshakes.fetch_add(1, Ordering::SeqCst);
                Some(answer.to_vec())
            }
            TunnResult::WriteToTunnelV4(packet, _) => {
                let echo = echo::answer(packet)?;
                let mut room = [0; LARGEST];
                match tunnel.encapsulate(&echo, &mut room) {
                    TunnResult::WriteToNetwork(answer) => Some(answer.to_vec()),
                    _ => None,
                }
            }
            TunnResult::Err(WireGuardError::WrongTai64nTimestamp) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                None
            }
            _ => None,
        }
    }
}

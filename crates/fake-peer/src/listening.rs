//! A UDP port whose datagrams are answered by a function.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};

/// No datagram that somebody here sends or takes is larger.
pub const LARGEST: usize = 2048;

/// A port that is listened to; until it is dropped.
pub struct Listening {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// Opens a free one. `answer` is given who sent what, and gives the answer, if there is one.
    pub fn begin(
        answer: impl Fn(SocketAddr, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).context("cannot open a UDP port")?;
        let address = socket.local_addr()?;
        let closing = Arc::<AtomicBool>::default();
        let closed = closing.clone();
        let thread = std::thread::Builder::new().name(format!("UDP at {address}"));
        let thread = thread.spawn(move || {
            let mut datagram = [0; LARGEST];
            while let Ok((length, from)) = socket.recv_from(&mut datagram) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(answer) = answer(from, &datagram[..length]) {
                    // Whoever has gone meanwhile calls again.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self {
            address,
            closing,
            thread: Some(thread?),
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Wakes the thread, for it to see that it is over.
    fn end(&mut self) -> Result<()> {
        let thread = self.thread.take().context("it has ended")?;
        self.closing.store(true, Ordering::SeqCst);
        UdpSocket::bind(("127.0.0.1", 0))?.send_to(&[], self.address)?;
        thread.join().map_err(|_| anyhow!("it panicked"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("at {}: {error:#}", self.address);
        }
    }
}

//! A connection to a machine whose traffic is counted, and which can be cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};

/// Passes connections on to a port of this host, and counts what they carry, both ways: all of TCP's payload.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    wire: Arc<Wire>,
}

#[derive(Debug)]
struct Wire {
    bytes: AtomicU64,
    cut_after: AtomicU64,
}

impl Relay {
    /// One to `port`, on a free port of its own. It lives as long as this process.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let relay = Self {
            port: listener.local_addr()?.port(),
            wire: Arc::new(Wire {
                bytes: AtomicU64::new(0),
                cut_after: AtomicU64::new(u64::MAX),
            }),
        };
        let wire = relay.wire.clone();
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                // If nothing listens at the other end, the connection is simply closed.
                if let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    wire.join(&here, &there);
                    wire.join(&there, &here);
                }
            }
        });
        Ok(relay)
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.wire.bytes.load(Ordering::SeqCst)
    }

    /// From now on, the connection that would carry more than so many further bytes is cut, and every one after it.
    pub fn cut_after(&self, bytes: u64) {
        self.wire
            .cut_after
            .store(self.bytes() + bytes, Ordering::SeqCst);
    }

    /// Lets data through again.
    pub fn mend(&self) {
        self.wire.cut_after.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Wire {
    fn join(self: &Arc<Self>, from: &TcpStream, to: &TcpStream) {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
            return;
        };
        let wire = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let so_far = wire.bytes.fetch_add(length as u64, Ordering::SeqCst) + length as u64;
                if so_far > wire.cut_after.load(Ordering::SeqCst)
                    || to.write_all(&buffer[..length]).is_err()
                {
                    break;
                }
            }
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_counted_and_no_more_passes_once_it_is_cut() {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Relay::to(echo.local_addr().unwrap().port()).unwrap();
        thread::spawn(move || {
            for mut stream in echo.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port())).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!((&heard, relay.bytes()), (b"hello", 10));
        relay.cut_after(4);
        stream.write_all(b"hello").unwrap();
        assert!(stream.read_exact(&mut heard).is_err());
    }
}

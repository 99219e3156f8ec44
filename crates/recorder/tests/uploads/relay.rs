//! A line to a server that lets a given number of bytes pass, and then nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The line, which goes with the test.
pub struct Relay {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Where the server is, which may move.
    to: u16,
    /// Bytes that may still pass to the server; none is no limit.
    left: Option<u64>,
    passed: u64,
    open: Vec<TcpStream>,
}

impl Relay {
    /// A line to the server at this port.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = Arc::new(Mutex::new(State {
            to: port,
            ..State::default()
        }));
        let (port, shared) = (listener.local_addr().unwrap().port(), state.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let to = shared.lock().unwrap().to;
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
                    continue;
                };
                let ends = [&client, &server].map(|end| end.try_clone().unwrap());
                shared.lock().unwrap().open.extend(ends);
                let (mut back, mut forth) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut forth);
                    let _ = forth.shutdown(Shutdown::Both);
                });
                let shared = shared.clone();
                std::thread::spawn(move || {
                    pass(client, &server, &shared);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        });
        Relay { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets this many more bytes pass to the server; none is as many as there are.
    pub fn let_pass(&self, left: Option<u64>) {
        self.state.lock().unwrap().left = left;
    }

    /// Leads new connections to another server.
    pub fn lead_to(&self, port: u16) {
        self.state.lock().unwrap().to = port;
        self.hang_up();
    }

    /// Whether all that might pass has passed.
    pub fn is_cut(&self) -> bool {
        self.state.lock().unwrap().left == Some(0)
    }

    /// How many bytes have passed to the server.
    pub fn passed(&self) -> u64 {
        self.state.lock().unwrap().passed
    }

    /// Cuts every connection.
    pub fn hang_up(&self) {
        for end in self.state.lock().unwrap().open.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut to: &TcpStream, state: &Mutex<State>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer) else {
            return;
        };
        let mut state = state.lock().unwrap();
        let left = state.left.unwrap_or(u64::MAX);
        let passes = left.min(read as u64);
        state.passed += passes;
        state.left = state.left.map(|left| left - passes);
        drop(state);
        if to.write_all(&buffer[..passes as usize]).is_err() {
            return;
        }
        if passes < read as u64 {
            // The rest is lost, and the line is silent until it is hung up.
            while let Ok(1..) = from.read(&mut buffer) {}
            return;
        }
    }
}

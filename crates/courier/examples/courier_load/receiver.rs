//! A receiver that takes everything, and counts it.

use std::ops::Sub;
use std::sync::{Arc, Mutex, PoisonError};

use courier::send::remote_write::WriteRequest;
use prost::Message;

use fake_receiver::{Answer, Asked, Server};

/// What has come.
#[derive(Debug, Default, Clone, Copy)]
pub struct Got {
    /// Samples.
    pub samples: u64,
    /// Requests.
    pub requests: u64,
    /// Bytes of HTTP: heads and bodies.
    pub bytes: u64,
}

impl Sub for Got {
    type Output = Got;

    fn sub(self, before: Got) -> Got {
        Got {
            samples: self.samples - before.samples,
            requests: self.requests - before.requests,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// The receiver.
pub struct Receiver {
    server: Server,
    got: Arc<Mutex<Got>>,
}

impl Receiver {
    /// Starts one.
    pub fn start() -> Self {
        let got = Arc::<Mutex<Got>>::default();
        let into = got.clone();
        let server = Server::start(move |asked| {
            let samples = samples(&asked);
            let head: usize = asked
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.len() + 4)
                .sum();
            let line = "POST  HTTP/1.1\r\n\r\n".len() + asked.path.len();
            let mut got = into.lock().unwrap_or_else(PoisonError::into_inner);
            got.samples += samples;
            got.requests += 1;
            got.bytes += (line + head + asked.body.len()) as u64;
            Answer::new(204)
        });
        Receiver { server, got }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        self.server.url("/api/v1/write")
    }

    /// Refuses connections.
    pub fn down(&mut self) {
        self.server.down();
    }

    /// Takes everything again.
    pub fn up(&mut self) {
        self.server.up();
    }

    /// What has come until now.
    pub fn got(&self) -> Got {
        *self.got.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn samples(asked: &Asked) -> u64 {
    let body = snap::raw::Decoder::new().decompress_vec(&asked.body);
    let request = body
        .ok()
        .and_then(|body| WriteRequest::decode(&body[..]).ok());
    let series = request.into_iter().flat_map(|request| request.timeseries);
    series.map(|series| series.samples.len() as u64).sum()
}

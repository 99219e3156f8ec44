//! A server that takes files by HTTP PUT, in one of the ways that there are.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::http::{Reply, Request, Server};
use crate::resumable::{Outcome, Received};

/// The token that it demands.
pub const TOKEN: &str = "put-s3cret";

/// How it takes parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// It keeps them.
    Taken,
    /// It refuses them with this status.
    Refused(u16),
    /// It takes each for the whole file.
    Mistaken,
}

/// What it has and does.
#[derive(Debug)]
pub struct State {
    pub files: BTreeMap<String, Received>,
    pub parts: Parts,
    /// It answers every request with a body so, before it reads that.
    pub answer: Option<Reply>,
    /// It tells this size of everything.
    pub size: Option<u64>,
}

/// The server.
pub struct PutServer {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl PutServer {
    pub fn start(parts: Parts) -> Self {
        let state = Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            parts,
            answer: None,
            size: None,
        }));
        let shared = state.clone();
        let server = Server::start(move |request| answer(request, &mut shared.lock().unwrap()));
        PutServer { server, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What it has of a file.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let state = self.state();
        let file = state.files.get(path);
        file.map_or_else(Vec::new, |file| file.bytes.clone())
    }
}

impl Deref for PutServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

fn answer(request: &mut Request, state: &mut State) -> io::Result<Reply> {
    if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return Ok(Reply::of(401));
    }
    let path = request.path.clone();
    if request.method == "HEAD" {
        let there = state.files.get(&path).filter(|file| file.is_complete());
        return Ok(match there {
            Some(file) => {
                let size = state.size.unwrap_or(file.bytes.len() as u64);
                Reply::of(200).header("content-length", size.to_string())
            }
            None => Reply::of(404),
        });
    }
    assert_eq!(request.method, "PUT");
    if let Some(reply) = state.answer.as_ref().filter(|_| request.length() > 0) {
        return Ok(reply.clone());
    }
    let file = state.files.entry(path).or_default();
    let range = request.header("content-range").map(str::to_owned);
    match (range, state.parts) {
        (Some(range), Parts::Taken) => Ok(match file.take(&range, request)? {
            Outcome::Complete => Reply::of(201),
            Outcome::Reply(reply) => reply,
        }),
        (Some(_), Parts::Refused(status)) => Ok(Reply::of(status)),
        _ => {
            let mut bytes = Vec::new();
            request.read_to_end(&mut bytes)?;
            file.came += bytes.len() as u64;
            (file.total, file.bytes) = (bytes.len() as u64, bytes);
            Ok(Reply::of(201))
        }
    }
}

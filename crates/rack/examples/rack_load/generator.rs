//! Puts a load on a server: many connections, one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tokio::time::{sleep_until, timeout};

use crate::client::Client;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

/// A load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// So many connections.
    pub connections: usize,
    /// When they ask.
    pub pace: Pace,
    /// For how long.
    pub time: Duration,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Each connection asks as soon as it was answered.
    Closed,
    /// So many in a second, evenly, whatever becomes of those before. A request that is late because no connection was free waits from
    /// the time at which it was due, and one that was never sent from then until the end: a server that stands still hides nothing.
    Open(f64),
}

/// What came of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How long each request took from when it was due, in microseconds.
    pub took_us: Vec<u64>,
    /// How many were answered as they should be.
    pub answered: u64,
    /// How many were answered otherwise, by status, or not at all, by what happened.
    pub refused: BTreeMap<String, u64>,
    /// How many were due and never sent.
    pub unsent: u64,
    /// How long it was put on, in seconds.
    pub seconds: f64,
}

/// Connections that are open.
pub struct Connected {
    runtime: Runtime,
    address: SocketAddr,
    clients: Vec<(Client, Connection)>,
}

/// Connects each of the clients.
pub fn connect(address: SocketAddr, clients: Vec<Client>) -> Result<Connected> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let clients = runtime.block_on(async {
        let mut connected = Vec::with_capacity(clients.len());
        for client in clients {
            connected.push((client, Connection::open(address).await?));
        }
        anyhow::Ok(connected)
    })?;
    Ok(Connected {
        runtime,
        address,
        clients,
    })
}

/// What the connections of a load share.
struct Shared {
    address: SocketAddr,
    pace: Pace,
    begin: Instant,
    end: Instant,
    /// Requests that connections have taken upon themselves.
    taken: Cell<u64>,
    outcome: RefCell<Outcome>,
}

impl Connected {
    /// Puts a load on, and waits for the last answers.
    pub fn put(&mut self, load: &Load) -> Result<Outcome> {
        let begin = Instant::now();
        let shared = Rc::new(Shared {
            address: self.address,
            pace: load.pace,
            begin,
            end: begin + load.time,
            taken: Cell::new(0),
            outcome: RefCell::default(),
        });
        let local = LocalSet::new();
        let clients = std::mem::take(&mut self.clients).into_iter();
        let tasks: Vec<_> = clients
            .map(|client| local.spawn_local(ask(client, shared.clone())))
            .collect();
        self.clients = self.runtime.block_on(local.run_until(async {
            let mut clients = Vec::with_capacity(tasks.len());
            for task in tasks {
                clients.push(task.await??);
            }
            anyhow::Ok(clients)
        }))?;
        let mut outcome = shared.outcome.take();
        outcome.seconds = begin.elapsed().as_secs_f64();
        if let Pace::Open(rate) = load.pace {
            for number in shared.taken.get().. {
                let due = shared.due(number, rate);
                if due >= shared.end {
                    break;
                }
                outcome.unsent += 1;
                let waited = shared.end - due;
                outcome.took_us.push(waited.as_micros() as u64);
            }
        }
        Ok(outcome)
    }
}

impl Shared {
    /// When a request is to be sent, at a rate.
    fn due(&self, number: u64, rate: f64) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / rate)
    }

    /// When the next request is to be sent; none if that is over.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let due = match self.pace {
            Pace::Closed => now,
            Pace::Open(rate) => self.due(self.taken.get(), rate),
        };
        if due >= self.end || now >= self.end {
            return None;
        }
        self.taken.set(self.taken.get() + 1);
        Some(due)
    }
}

/// Asks on one connection until the end.
async fn ask(
    (mut client, mut connection): (Client, Connection),
    shared: Rc<Shared>,
) -> Result<(Client, Connection)> {
    while let Some(due) = shared.next() {
        // A timer has milliseconds and rounds up; what that takes counts.
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
        if connection.is_over {
            connection = Connection::open(shared.address).await?;
        }
        let request = client.next();
        let answered = timeout(PATIENCE, connection.call(&request)).await;
        let mut outcome = shared.outcome.borrow_mut();
        outcome.took_us.push(due.elapsed().as_micros() as u64);
        match answered.map_err(Into::into).flatten() {
            Ok(200) => {
                outcome.answered += 1;
                client.answered(200, connection.body())?;
            }
            Ok(other) => {
                *outcome.refused.entry(other.to_string()).or_default() += 1;
                client.answered(other, &[])?;
            }
            Err(why) => {
                *outcome.refused.entry(why.to_string()).or_default() += 1;
                client.answered(0, &[])?;
                connection.is_over = true;
            }
        }
    }
    Ok((client, connection))
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    /// Where the body begins in what was read.
    body: usize,
    /// Whether the server closes it after the last answer.
    is_over: bool,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            read: Vec::new(),
            body: 0,
            is_over: false,
        })
    }

    /// The body of the last answer.
    fn body(&self) -> &[u8] {
        &self.read[self.body..]
    }

    /// Sends a request; gives the status of the answer.
    async fn call(&mut self, request: &str) -> Result<u16> {
        self.stream.write_all(request.as_bytes()).await?;
        self.read.clear();
        self.body = loop {
            let from = self.read.len().saturating_sub(END.len());
            self.more().await?;
            let end = self.read[from..]
                .windows(END.len())
                .position(|bytes| bytes == END);
            if let Some(end) = end {
                break from + end + END.len();
            }
        };
        let head = std::str::from_utf8(&self.read[..self.body])?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse::<usize>()?);
            } else if name.eq_ignore_ascii_case("connection") {
                self.is_over = value.eq_ignore_ascii_case("close");
            }
        }
        let Some((status, length)) = Option::zip(status, length) else {
            bail!("no length: {head}");
        };
        while self.read.len() < self.body + length {
            self.more().await?;
        }
        ensure!(
            self.read.len() == self.body + length,
            "more than was asked for"
        );
        Ok(status)
    }

    async fn more(&mut self) -> Result<()> {
        let count = self.stream.read_buf(&mut self.read).await?;
        ensure!(count > 0, "the connection was closed");
        Ok(())
    }
}

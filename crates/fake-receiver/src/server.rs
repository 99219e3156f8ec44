//! A small web server whose answers are made by a function.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What [`Server::settles`] asks for.
const SETTLED: &str = "/settled";

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// The path that was asked for.
    pub path: String,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    headers: String,
    body: String,
    hangs_up: bool,
}

impl Answer {
    /// An answer with this status and nothing else.
    pub fn new(status: u16) -> Self {
        Answer {
            status,
            headers: String::new(),
            body: String::new(),
            hangs_up: false,
        }
    }

    /// Closes the connection without an answer.
    pub fn hang_up() -> Self {
        Answer {
            hangs_up: true,
            ..Answer::new(0)
        }
    }

    /// With this header, too.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// With this type of content.
    pub fn kind(self, kind: &str) -> Self {
        self.header("Content-Type", kind)
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
}

/// A running server; it can go down and come back.
pub struct Server {
    address: SocketAddr,
    make: Arc<dyn Fn(Asked) -> Answer + Send + Sync>,
    closing: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    serving: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one on a free port, whose answers `make` makes.
    pub fn start(make: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self {
        let mut server = Server {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            make: Arc::new(make),
            closing: Arc::default(),
            asked: Arc::default(),
            serving: None,
        };
        server.up();
        server
    }

    /// The address of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until all requests that were made until now have been answered, even those of somebody who is gone meanwhile:
    /// they are taken in the order in which they came, and this one comes last.
    pub fn settles(&self) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(&stream, "GET {SETTLED} HTTP/1.1\r\n\r\n").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }

    /// Opens its port, the same as before.
    pub fn up(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        self.closing.store(false, Ordering::SeqCst);
        let (make, closing, asked) = (self.make.clone(), self.closing.clone(), self.asked.clone());
        self.serving = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closing.load(Ordering::SeqCst) {
                    break;
                }
                // Whoever is killed while it asks has not asked.
                if let Ok(stream) = stream {
                    let _ = serve(stream, &*make, &asked);
                }
            }
        }));
    }

    /// Closes its port: connections are refused.
    pub fn down(&mut self) {
        if let Some(serving) = self.serving.take() {
            self.closing.store(true, Ordering::SeqCst);
            let _ = TcpStream::connect(self.address);
            let _ = serving.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn serve(
    stream: TcpStream,
    make: &dyn Fn(Asked) -> Answer,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(());
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut request = Asked {
        path,
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap_or(0));
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    let answer = match request.path == SETTLED {
        true => Answer::new(204),
        false => {
            asked.fetch_add(1, Ordering::SeqCst);
            make(request)
        }
    };
    if answer.hangs_up {
        return Ok(());
    }
    let Answer {
        status,
        headers,
        body,
        ..
    } = answer;
    let length = body.len();
    write!(
        &stream,
        "HTTP/1.1 {status} Told\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

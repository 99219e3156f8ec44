//! A small HTTP server for the fakes: it reads bodies piece by piece, so that what came before a cut is known.

use kit::testing::eventually;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A server that goes with the test.
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    /// How many connections are open.
    open: Arc<AtomicUsize>,
}

/// A request whose body is still to be read.
pub struct Request<'s> {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    left: u64,
    stream: &'s mut BufReader<TcpStream>,
    is_awaited: bool,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    pub fn of(status: u16) -> Self {
        Reply {
            status,
            ..Reply::default()
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, kind: &str, body: impl Into<String>) -> Self {
        self.body = body.into();
        self.header("content-type", kind)
    }
}

impl Request<'_> {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The length of the body.
    pub fn length(&self) -> u64 {
        let length = self.header("content-length");
        length.map_or(0, |length| length.parse().unwrap())
    }

    /// All of the body, as text.
    pub fn text(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Read for Request<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.is_awaited) {
            let stream = self.stream.get_mut();
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let most = buffer.len().min(self.left as usize);
        if most == 0 {
            // The stream would wait for the next request.
            return Ok(0);
        }
        let read = self.stream.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

impl Server {
    /// Answers each request with `answer`; an error cuts the connection.
    pub fn start(
        answer: impl Fn(&mut Request) -> io::Result<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let open = Arc::<AtomicUsize>::default();
        let (answer, noted, count) = (Arc::new(answer), asked.clone(), open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, noted, count) = (answer.clone(), noted.clone(), count.clone());
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Ok(true) = one(&mut stream, &*answer, &noted) {}
                    let _ = stream.get_ref().shutdown(Shutdown::Both);
                    count.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Server { port, asked, open }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked, such as `PUT /video.mp4 bytes 0-9/10`, since this was last called.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The same, when the clients have closed their connections and nothing of theirs is on its way any more.
    pub fn asked_to_the_end(&self) -> Vec<String> {
        eventually("the connections end", || {
            (self.open.load(Ordering::SeqCst) == 0).then_some(())
        });
        self.asked()
    }
}

/// Answers one request; false if the connection ends with it.
fn one(
    stream: &mut BufReader<TcpStream>,
    answer: &dyn Fn(&mut Request) -> io::Result<Reply>,
    noted: &Mutex<Vec<String>>,
) -> io::Result<bool> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines[0].split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines[1..].iter().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    let mut request = Request {
        method,
        path,
        headers: headers.collect(),
        left: 0,
        stream,
        is_awaited: false,
    };
    request.left = request.length();
    request.is_awaited = request.header("expect").is_some();
    let range = request.header("content-range").unwrap_or_default();
    let note = format!("{} {} {range}", request.method, request.path);
    noted.lock().unwrap().push(note.trim_end().to_owned());
    let is_head = request.method == "HEAD";
    let reply = answer(&mut request)?;
    let is_read = request.left == 0;
    let mut head = format!("HTTP/1.1 {} Said\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !is_head {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    if !is_read {
        head += "connection: close\r\n";
    }
    let body = if is_head { "" } else { &reply.body };
    stream
        .get_mut()
        .write_all((head + "\r\n" + body).as_bytes())?;
    Ok(is_read)
}

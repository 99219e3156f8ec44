//! A client of nginx that says exactly what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testbed::{Context, Result};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How requests over one connection end, until the last one.
pub const GO_ON: &str = "Host: planner.test\r\n\r\n";

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// Reads one, as far as its length goes or, without one, to the end.
    pub fn read(from: &mut impl BufRead) -> Result<Self> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no answer: {line:?}"))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: String::new(),
        };
        match answer.only("content-length").map(str::parse::<u64>) {
            Some(length) => from.take(length?).read_to_string(&mut answer.body)?,
            None => from.read_to_string(&mut answer.body)?,
        };
        Ok(answer)
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that is there once.
    pub fn only(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// A connection to this host and port, without TLS.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn to(host: &str, port: u16) -> Result<Self> {
        let stream = TcpStream::connect((host, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection(BufReader::new(stream)))
    }

    /// Says this.
    pub fn say(&mut self, text: &[u8]) -> Result<()> {
        Ok(self.0.get_mut().write_all(text)?)
    }

    /// The next answer.
    pub fn answer(&mut self) -> Result<Answer> {
        Answer::read(&mut self.0)
    }

    /// Waits until the other side hangs up.
    pub fn ends(&mut self) -> Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest)?;
        Ok(rest)
    }
}

/// What this host answers to one request without a body; `more` are further headers, each with its line's end.
pub fn get(host: &str, port: u16, path: &str, more: &str) -> Result<Answer> {
    let mut connection = Connection::to(host, port)?;
    connection
        .say(format!("GET {path} HTTP/1.1\r\n{more}Connection: close\r\n{GO_ON}").as_bytes())?;
    connection.answer()
}

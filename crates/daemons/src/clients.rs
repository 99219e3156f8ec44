//! Clients of the servers, as small as the tests need them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A session with PostgreSQL, of the role `postgres`.
pub struct Postgres {
    stream: BufReader<UnixStream>,
}

/// A row: each of its values as text, if it is not NULL.
pub type Row = Vec<Option<String>>;

impl Postgres {
    /// Logs in through the socket in this folder.
    pub fn connect(folder: &Path) -> Result<Self> {
        let mut client = Postgres {
            stream: BufReader::new(connect(&folder.join(".s.PGSQL.5432"))?),
        };
        let parameters = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
        client.send(None, parameters)?;
        client.answer()?;
        Ok(client)
    }

    /// What one statement gives, or the server's complaint.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.send(Some(b'Q'), format!("{sql}\0").as_bytes())?;
        self.answer().with_context(|| sql.to_owned())
    }

    /// The only value of the only row.
    pub fn value(&mut self, sql: &str) -> Result<String> {
        let rows = self.query(sql)?;
        let value = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        value
            .flatten()
            .with_context(|| format!("{sql} gives nothing"))
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<()> {
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body);
        Ok(self.stream.get_mut().write_all(&message)?)
    }

    fn answer(&mut self) -> Result<Vec<Row>> {
        let (mut rows, mut complaint) = (Vec::new(), None::<String>);
        loop {
            let mut head = [0; 5];
            match (self.stream.read_exact(&mut head), complaint.take()) {
                (Ok(()), before) => complaint = before,
                // Who is turned away is told why, and then the connection ends.
                (Err(_), Some(complaint)) => bail!(complaint),
                (Err(error), None) => return Err(error.into()),
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; length.saturating_sub(4)];
            self.stream.read_exact(&mut body)?;
            match head[0] {
                b'D' => rows.push(row(&body)?),
                b'E' => {
                    let fields = body.split(|byte| *byte == 0);
                    let message = fields.filter_map(|field| field.strip_prefix(b"M")).next();
                    let message = String::from_utf8_lossy(message.unwrap_or(&body)).into_owned();
                    complaint = Some(message);
                }
                b'R' => ensure!(body[..4] == [0; 4], "it asks for a password"),
                b'Z' => return complaint.map_or(Ok(rows), |complaint| bail!(complaint)),
                _ => {}
            }
        }
    }
}

fn row(body: &[u8]) -> Result<Row> {
    let (count, mut rest) = body.split_first_chunk::<2>().context("no row")?;
    let mut row = Row::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>().context("half a row")?;
        let length = i32::from_be_bytes(*length);
        rest = after;
        if length < 0 {
            row.push(None);
            continue;
        }
        let (value, after) = rest
            .split_at_checked(length as usize)
            .context("half a value")?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Ok(row)
}

/// A connection to a server that speaks Redis's protocol.
pub struct Redis {
    stream: BufReader<UnixStream>,
}

impl Redis {
    /// Connects to the socket in this folder.
    pub fn connect(folder: &Path) -> Result<Self> {
        let stream = BufReader::new(connect(&folder.join("redis.sock"))?);
        Ok(Redis { stream })
    }

    /// The answer to one command, or the server's complaint.
    pub fn call(&mut self, words: &[&str]) -> Result<Value> {
        let mut message = format!("*{}\r\n", words.len());
        for word in words {
            message += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.get_mut().write_all(message.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "it has hung up");
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("an empty answer")?;
        match kind {
            "+" => Ok(rest.into()),
            ":" => Ok(rest.parse::<i64>()?.into()),
            "-" => bail!("{rest}"),
            "$" if rest == "-1" => Ok(Value::Null),
            "$" => {
                let mut body = vec![0; rest.parse::<usize>()? + 2];
                self.stream.read_exact(&mut body)?;
                body.truncate(body.len() - 2);
                Ok(String::from_utf8_lossy(&body).into())
            }
            "*" => {
                let count = rest.parse::<usize>()?;
                (0..count).map(|_| self.reply()).collect()
            }
            _ => bail!("not of the protocol: {line}"),
        }
    }
}

/// What `GET path` gives; an error unless it is 200.
pub fn get(at: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "{path}: {status}: {body}");
    Ok(body.to_owned())
}

//! A WebSocket (RFC 6455), the client's side, made for many small messages.
//!
//! The handshake and the frames are tungstenite's. The reading is not: tungstenite gives each message memory of its
//! own, and a task wakes for each. Here a read takes all that has come, and messages are looked at where they lie. What
//! nearly all frames are, a short text, is told by their first bytes; all others' headers are tungstenite's to read.

use std::io::Cursor;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::{Response, generate_request};
use tungstenite::handshake::derive_accept_key;
use tungstenite::handshake::machine::TryParse;
use tungstenite::http::{StatusCode, Uri};
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

/// The largest message that is taken.
const LARGEST: usize = 4 << 20;
/// How much is read at once.
const READ: usize = 64 << 10;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection.
pub struct Socket {
    wire: Box<dyn Wire>,
    /// What has been read; up to `seen` it has been looked at, too.
    read: BytesMut,
    seen: usize,
    /// The frames so far of a message that comes in several.
    parts: Option<Vec<u8>>,
    whole: Vec<u8>,
    /// What has to be said to the other side, beginning with answers to its pings.
    owed: Vec<u8>,
}

impl Socket {
    /// Connects to a `ws://` or `wss://` address.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
        Self::connect_trusting(RootCertStore::from_iter(roots), url).await
    }

    async fn connect_trusting(roots: RootCertStore, url: &str) -> anyhow::Result<Self> {
        let request = url.into_client_request()?;
        let wire = wire(request.uri(), roots).await?;
        let (request, key) = generate_request(request)?;
        let mut socket = Socket {
            wire,
            read: BytesMut::new(),
            seen: 0,
            parts: None,
            whole: Vec::new(),
            owed: request,
        };
        socket.flush().await?;
        let response = loop {
            socket.fill().await?;
            if let Some((length, response)) = Response::try_parse(&socket.read)? {
                socket.seen = length;
                break response;
            }
            ensure!(
                socket.read.len() < READ,
                "the answer to the handshake is too long"
            );
        };
        let status = response.status();
        ensure!(
            status == StatusCode::SWITCHING_PROTOCOLS,
            "the answer is {status}"
        );
        let accepted = response.headers().get("Sec-WebSocket-Accept");
        ensure!(
            accepted.is_some_and(|accepted| *accepted == derive_accept_key(key.as_bytes())),
            "the answer is no WebSocket's"
        );
        Ok(socket)
    }

    /// Sends a message.
    pub async fn send(&mut self, text: String) -> anyhow::Result<()> {
        self.owe(Frame::message(text, OpCode::Data(Data::Text), true))?;
        self.flush().await
    }

    /// Waits for more to come. May be given up at any time, and nothing is lost.
    pub async fn fill(&mut self) -> anyhow::Result<()> {
        self.flush().await?;
        self.read.advance(std::mem::take(&mut self.seen));
        if self.read.is_empty() && self.read.capacity() > 2 * READ {
            // What a large message needed is not kept for ever.
            self.read = BytesMut::new();
        }
        self.read.reserve(READ / 2);
        ensure!(
            self.wire.read_buf(&mut self.read).await? > 0,
            "the connection ended"
        );
        Ok(())
    }

    /// The next message that has come whole, text or not. An error ends the connection.
    pub fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        if self.parts.is_none()
            && let Some((header, whole)) = small_text(&self.read[self.seen..])
        {
            let from = self.seen + header;
            self.seen += whole;
            return Ok(Some(&self.read[from..self.seen]));
        }
        loop {
            let mut header = Cursor::new(&self.read[self.seen..]);
            let Some((frame, length)) = FrameHeader::parse(&mut header)? else {
                return Ok(None);
            };
            let before = self.parts.as_ref().map_or(0, Vec::len) as u64;
            ensure!(
                before.saturating_add(length) <= LARGEST as u64,
                "a message has more than {LARGEST} bytes"
            );
            let from = self.seen + header.position() as usize;
            let to = from + length as usize;
            if to > self.read.len() {
                return Ok(None);
            }
            self.seen = to;
            let extended = frame.rsv1 || frame.rsv2 || frame.rsv3 || frame.mask.is_some();
            ensure!(!extended, "a frame is not as a server's must be");
            let payload = from..to;
            match (frame.opcode, &mut self.parts, frame.is_final) {
                (OpCode::Data(Data::Text | Data::Binary), None, true) => {
                    return Ok(Some(&self.read[payload]));
                }
                (OpCode::Data(Data::Text | Data::Binary), None, false) => {
                    self.parts = Some(self.read[payload].to_vec());
                }
                (OpCode::Data(Data::Continue), Some(parts), last) => {
                    parts.extend_from_slice(&self.read[payload]);
                    if last {
                        self.whole = self.parts.take().unwrap_or_default();
                        return Ok(Some(&self.whole));
                    }
                }
                (OpCode::Control(Control::Ping), _, true) => {
                    let same = self.read[payload].to_vec();
                    self.owe(Frame::pong(same))?;
                }
                (OpCode::Control(Control::Pong), _, true) => {}
                (OpCode::Control(Control::Close), _, true) => match &self.read[payload] {
                    [high, low, reason @ ..] => bail!(
                        "the source closed the connection: {} {}",
                        u16::from_be_bytes([*high, *low]),
                        String::from_utf8_lossy(reason)
                    ),
                    _ => bail!("the source closed the connection"),
                },
                (opcode, ..) => bail!("a frame is out of turn: {opcode}"),
            }
        }
    }

    fn owe(&mut self, mut frame: Frame) -> anyhow::Result<()> {
        // Not a secret: it keeps what a client says from looking like something else to old proxies.
        frame.header_mut().mask = Some(fastrand::u32(..).to_ne_bytes());
        Ok(frame.format(&mut self.owed)?)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        while !self.owed.is_empty() {
            let written = self.wire.write(&self.owed).await?;
            ensure!(written > 0, "the connection ended");
            self.owed.drain(..written);
        }
        Ok(self.wire.flush().await?)
    }
}

/// The length of the frame that `bytes` begin with, and that of its header, if it is what nearly all are: all of a text
/// that is not long, and whole.
#[inline]
fn small_text(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, length) = match bytes {
        [0x81, length @ ..=125, ..] => (2, usize::from(*length)),
        [0x81, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    (bytes.len() >= header + length).then_some((header, header + length))
}

async fn wire(uri: &Uri, roots: RootCertStore) -> anyhow::Result<Box<dyn Wire>> {
    let host = uri.host().context("the address has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secret = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if secret { 443 } else { 80 });
    let wire = TcpStream::connect((host, port)).await?;
    wire.set_nodelay(true)?;
    if !secret {
        return Ok(Box::new(wire));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    Ok(Box::new(
        TlsConnector::from(Arc::new(config))
            .connect(name, wire)
            .await?,
    ))
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;

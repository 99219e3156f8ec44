//! The client side of a WebSocket (RFC 6455), optimised for many small messages.
//!
//! Tungstenite does the handshake and parses frame headers. It does not do the reading, because it allocates memory for
//! each message and wakes a task for each. Here, one read takes everything that has arrived, and messages are handled
//! in place. Most frames are short texts and are recognised by their first bytes; tungstenite parses all other headers.

use std::io::Cursor;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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

use super::connect::connect;

/// The largest message that is accepted.
const LARGEST: usize = 4 << 20;
/// The largest number of bytes per read.
const READ: usize = 64 << 10;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection.
pub struct Socket {
    wire: Box<dyn Wire>,
    /// The bytes that were read; those before `seen` have been handled.
    read: BytesMut,
    seen: usize,
    /// The frames received so far of a fragmented message.
    parts: Option<Vec<u8>>,
    whole: Vec<u8>,
    /// The bytes to send, such as answers to pings.
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
            "the server answered {status}"
        );
        let accepted = response.headers().get("Sec-WebSocket-Accept");
        ensure!(
            accepted.is_some_and(|accepted| *accepted == derive_accept_key(key.as_bytes())),
            "the server's answer is not a WebSocket handshake"
        );
        Ok(socket)
    }

    /// Sends a message.
    pub async fn send(&mut self, text: String) -> anyhow::Result<()> {
        self.owe(Frame::message(text, OpCode::Data(Data::Text), true))?;
        self.flush().await
    }

    /// Waits for more bytes. Cancelling it loses nothing.
    pub async fn fill(&mut self) -> anyhow::Result<()> {
        self.flush().await?;
        self.read.advance(std::mem::take(&mut self.seen));
        if self.read.is_empty() && self.read.capacity() > 2 * READ {
            // Release the memory that a large message needed.
            self.read = BytesMut::new();
        }
        self.read.reserve(READ / 2);
        ensure!(
            self.wire.read_buf(&mut self.read).await? > 0,
            "the connection ended"
        );
        Ok(())
    }

    /// The next complete message, if one has arrived. An error ends the connection.
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
                "a message is longer than {LARGEST} bytes"
            );
            let from = self.seen + header.position() as usize;
            let to = from + length as usize;
            if to > self.read.len() {
                return Ok(None);
            }
            self.seen = to;
            let extended = frame.rsv1 || frame.rsv2 || frame.rsv3 || frame.mask.is_some();
            ensure!(!extended, "a frame is masked or has reserved bits set");
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
                (opcode, ..) => bail!("a frame has an unexpected opcode: {opcode}"),
            }
        }
    }

    fn owe(&mut self, mut frame: Frame) -> anyhow::Result<()> {
        // The mask is not a secret: it only prevents old proxies from misinterpreting a client's bytes.
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

/// The lengths of the frame at the beginning of `bytes` and of its header, if it is of the most frequent kind: a
/// complete, short text message in a single frame.
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
    let wire = connect(host, port).await?;
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

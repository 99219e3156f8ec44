use futures_util::SinkExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tungstenite::Message;

use super::*;

fn socket(wire: impl Wire + 'static) -> Socket {
    Socket {
        wire: Box::new(wire),
        read: BytesMut::new(),
        seen: 0,
        parts: None,
        whole: Vec::new(),
        owed: Vec::new(),
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        length @ ..126 => vec![length as u8],
        length @ ..65536 => [vec![126], (length as u16).to_be_bytes().to_vec()].concat(),
        length => [vec![127], (length as u64).to_be_bytes().to_vec()].concat(),
    };
    [vec![first], length, payload.to_vec()].concat()
}

/// Feeds `bytes` in chunks of `piece`; returns all messages, why it ended, and the answers.
async fn heard(bytes: &[u8], piece: usize) -> (Vec<Vec<u8>>, String, Vec<u8>) {
    let (ours, mut theirs) = tokio::io::duplex(piece);
    let mut socket = socket(ours);
    let listen = async move {
        let mut messages = Vec::new();
        loop {
            match socket.next() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Err(error) => return (messages, error.to_string()),
                Ok(None) => {
                    if let Err(error) = socket.fill().await {
                        return (messages, error.to_string());
                    }
                }
            }
        }
    };
    let speak = async {
        let (mut reader, mut writer) = tokio::io::split(&mut theirs);
        let mut answers = Vec::new();
        let write = async {
            // The client may stop reading before the server has sent everything.
            let _ = writer.write_all(bytes).await;
            let _ = writer.shutdown().await;
        };
        let read = reader.read_to_end(&mut answers);
        let (_, read) = tokio::join!(write, read);
        read.expect("a pipe");
        answers
    };
    let ((messages, error), answers) = tokio::join!(listen, speak);
    (messages, error, answers)
}

#[tokio::test]
async fn messages_come_whole_however_they_are_cut() {
    let (medium, large) = (vec![b'm'; 300], vec![b'l'; 200_000]);
    let bytes = [
        frame(0x81, b"short"),
        frame(0x01, b"in "),
        frame(0x89, b"alive?"),
        frame(0x00, b"three "),
        frame(0x80, b"parts"),
        frame(0x82, &medium),
        frame(0x8A, b""),
        frame(0x81, b""),
        frame(0x81, &large),
        frame(0x81, b"last"),
        frame(0x88, &[&1001u16.to_be_bytes()[..], b"bye"].concat()),
    ]
    .concat();
    for piece in [1, 2, 3, 7, 64, 1000, 1 << 20] {
        let (messages, error, answers) = heard(&bytes, piece).await;
        let expected: [&[u8]; 6] = [b"short", b"in three parts", &medium, b"", &large, b"last"];
        assert_eq!(messages, expected, "{piece}");
        assert_eq!(error, "the source closed the connection: 1001 bye");
        let [0x8A, 0x86, mask @ ..] = &answers[..] else {
            panic!("{answers:?}")
        };
        let said: Vec<u8> = (mask[4..].iter().zip(mask[..4].iter().cycle()))
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        assert_eq!(said, b"alive?");
    }
}

#[tokio::test]
async fn what_a_server_must_not_send_ends_the_connection_after_what_was_good() {
    for (bytes, complaint) in [
        (frame(0x80, b"x"), "unexpected opcode"),
        (
            [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
            "unexpected opcode",
        ),
        (frame(0x09, b"x"), "unexpected opcode"),
        (frame(0x83, b"x"), "opcode"),
        (frame(0xC1, b"x"), "reserved bits set"),
        (vec![0x81, 0x81, 0, 0, 0, 0, b'x'], "reserved bits set"),
        (vec![0x81, 127, 0, 0, 0, 0, 0, 64, 0, 1], "longer than"),
        (
            vec![0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255],
            "longer than",
        ),
        (vec![0x81, 100, b'{'], "the connection ended"),
    ] {
        let bytes = [frame(0x81, b"good"), bytes].concat();
        let (messages, error, _) = heard(&bytes, 1 << 20).await;
        assert_eq!(messages, [b"good"], "{complaint}");
        assert!(
            error.to_lowercase().contains(complaint),
            "{error}: {complaint}"
        );
    }
}

#[tokio::test]
async fn whom_nobody_vouches_for_hears_nothing() {
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let identity = identity.expect("a certificate");
    let certificate = identity.cert.der().clone();
    let key = identity
        .signing_key
        .serialize_der()
        .try_into()
        .expect("a key");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate).expect("a root");

    for (roots, heard) in [(RootCertStore::empty(), None), (trusted, Some("ticks"))] {
        let serve = async {
            let (wire, _) = listener.accept().await.expect("a connection");
            let wire = acceptor.accept(wire).await.ok()?;
            let mut socket = tokio_tungstenite::accept_async(wire)
                .await
                .expect("a handshake");
            socket
                .send(Message::text("ticks"))
                .await
                .expect("who listens");
            Some(())
        };
        let url = format!("wss://localhost:{port}/");
        let listen = async {
            let mut socket = Socket::connect_trusting(roots, &url).await?;
            loop {
                if let Some(message) = socket.next()? {
                    return anyhow::Ok(String::from_utf8_lossy(message).into_owned());
                }
                socket.fill().await?;
            }
        };
        let (listened, served) = tokio::join!(listen, serve);
        match heard {
            Some(heard) => assert_eq!(listened.expect("a message"), heard),
            None => {
                let error = format!("{:#}", listened.expect_err("no trust"));
                assert!(error.contains("certificate"), "{error}");
                assert_eq!(served, None);
            }
        }
    }
}

#[tokio::test]
async fn whoever_is_no_websocket_is_told_by_the_answer() {
    for (answer, complaint) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n",
            "the server answered 403 Forbidden",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "not a WebSocket handshake",
        ),
        ("", "the connection ended"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("ws://{}", listener.local_addr().expect("an address"));
        let serve = async {
            let (mut wire, _) = listener.accept().await.expect("a connection");
            let mut asked = [0; 1024];
            let length = wire.read(&mut asked).await.expect("a question");
            assert!(asked[..length].starts_with(b"GET "));
            wire.write_all(answer.as_bytes()).await.expect("an answer");
        };
        let (socket, ()) = tokio::join!(Socket::connect(&url), serve);
        let error = socket.err().expect("no socket").to_string();
        assert!(error.contains(complaint), "{error}");
    }
}

//! Servers as they are, and what is between them and a device.

use super::super::fetch::get_within;
use super::*;
use crate::hint::Hint;
use std::io::{Read, Write};

const SOON: Duration = Duration::from_secs(20);

fn fetch(url: &str, within: Duration) -> Result<Vec<u8>, UpdateError> {
    get_within(&Root::new("/nonexistent"), url, within)
}

/// What comes of a server that answers with these bytes and hangs up.
fn answered(bytes: &str) -> Result<Vec<u8>, UpdateError> {
    let bytes = bytes.to_owned();
    let url = server(move |_, mut stream| {
        // Who was told enough hangs up.
        let _ = stream.write_all(bytes.as_bytes());
    });
    fetch(&url, SOON)
}

#[test]
fn what_is_there_comes_as_it_is() {
    assert_eq!(answered(&ok("{ }\n")).unwrap(), b"{ }\n");
}

#[test]
fn a_cdn_may_send_elsewhere() {
    let url = server(|path, mut stream| {
        let answer = match path {
            "/here" => {
                "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            "/there" => ok("{}"),
            _ => "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    assert_eq!(fetch(&format!("{url}/here"), SOON).unwrap(), b"{}");
    let error = fetch(&format!("{url}/round"), SOON).unwrap_err();
    assert!(matches!(error, UpdateError::Unreachable { .. }), "{error}");
}

#[test]
fn an_answer_that_is_none_says_so() {
    for status in [404, 403, 500, 503] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 6\r\n\r\n<html>");
        let error = answered(&answer).unwrap_err();
        assert!(
            matches!(error, UpdateError::Status { status: s, .. } if s == status),
            "{error}"
        );
    }
}

#[test]
fn a_captive_portal_is_told_from_a_channel() {
    for page in ["<html>Welcome", "\n <!DOCTYPE html>"] {
        let error = answered(&ok(page)).unwrap_err();
        assert!(matches!(error, UpdateError::WebPage { .. }), "{error}");
        assert!(error.hint().contains("requires a login"));
    }
}

#[test]
fn half_an_answer_is_none() {
    let whole = ok(&signed(7, NEW));
    for cut in [0, 5, 30, whole.len() - 200, whole.len() - 1] {
        let error = answered(&whole[..cut]).unwrap_err();
        assert!(
            matches!(error, UpdateError::Unreachable { .. }),
            "{cut}: {error}"
        );
    }
}

#[test]
fn nobody_fills_a_devices_memory() {
    let error = answered(&ok(&" ".repeat(100_000))).unwrap_err();
    assert!(matches!(error, UpdateError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_forever() {
    let (send, hold) = std::sync::mpsc::channel();
    let url = server(move |_, stream| send.send(stream).unwrap());
    let error = fetch(&url, Duration::from_millis(300)).unwrap_err();
    assert!(
        matches!(&error, UpdateError::Unreachable { why, .. } if why.contains("timeout")),
        "{error}"
    );
    drop(hold);
}

#[test]
fn what_is_not_there_at_all_is_unreachable() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // TLS with who does not speak it; and then nobody at all.
    let greeting = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 mail.example.org\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let url = format!("https://127.0.0.1:{port}");
    let error = fetch(&url, SOON).unwrap_err();
    assert!(
        matches!(&error, UpdateError::Unreachable { url: u, .. } if *u == url),
        "{error}"
    );
    greeting.join().unwrap();
    let error = fetch(&url.replace("https", "http"), SOON).unwrap_err();
    assert!(matches!(error, UpdateError::Unreachable { .. }), "{error}");
}

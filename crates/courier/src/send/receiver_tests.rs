use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use super::*;

/// Answers one request with this, and returns its head.
fn answered(answer: &str) -> (Verdict, String) {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("courier.metrics-token");
    durable::atomic_write(&token, b"s3cret\n", 0o600).unwrap();
    let credentials = Credentials::in_directory("courier", Some(directory.path().into()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/write", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    let answer = answer.replace('\n', "\r\n");
    thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        reader.read_exact(&mut [0; 4]).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        tell.send(head).unwrap();
    });
    let timeout = Duration::from_secs(5);
    let receiver = Receiver::new("metrics", &url, Some("acme"), timeout, &credentials).unwrap();
    let verdict = receiver.post(b"body".to_vec(), &[("content-type", "x/y")]);
    (verdict, told.recv().unwrap())
}

fn verdict(answer: &str) -> Verdict {
    answered(&format!("HTTP/1.1 {answer}\nContent-Length: 0\n\n")).0
}

fn later(answer: &str) -> (String, Option<Duration>) {
    match verdict(answer) {
        Verdict::Later(why, after) => (why, after),
        other => panic!("{answer}: {other:?}"),
    }
}

#[test]
fn secrets_and_tenant_go_along() {
    let (verdict, head) = answered("HTTP/1.1 204 No Content\n\n");
    assert_eq!(verdict, Verdict::Taken);
    for header in [
        "authorization: Bearer s3cret",
        "x-scope-orgid: acme",
        "content-type: x/y",
    ] {
        assert!(
            head.to_lowercase().contains(&header.to_lowercase()),
            "{head}"
        );
    }
}

#[test]
fn only_what_is_about_the_data_is_final() {
    for status in [400, 409, 413, 422] {
        let verdict = verdict(&format!("{status} No"));
        let Verdict::Refused(why) = verdict else {
            panic!("{status}: {verdict:?}");
        };
        assert!(why.contains(&format!("answers {status}")), "{why}");
    }
    // Whoever has no right any more, has not paid, asks in the wrong place or too early, or meets a firewall, loses nothing by
    // it.
    let statuses = [
        401, 402, 403, 404, 405, 406, 407, 408, 410, 411, 414, 415, 418, 421, 425, 429, 431, 451,
        500, 502, 503, 504, 507, 599,
    ];
    for status in statuses {
        let (why, after) = later(&format!("{status} No"));
        assert!(why.contains(&format!("answers {status}")), "{why}");
        assert_eq!(after, None);
    }
}

#[test]
fn a_receiver_says_how_long_to_wait() {
    let (_, after) = later("429 Too Many Requests\nRetry-After: 7");
    assert_eq!(after, Some(Duration::from_secs(7)));
}

#[test]
fn a_redirect_is_named_and_never_followed() {
    let (why, _) = later("307 Temporary Redirect\nLocation: https://elsewhere.example/secret");
    assert!(
        why.contains("redirects to https://elsewhere.example/…, which is never followed"),
        "{why}"
    );
}

#[test]
fn a_web_page_is_no_answer_whatever_its_status() {
    for status in [
        "200 OK",
        "400 Bad Request",
        "511 Network Authentication Required",
    ] {
        let (why, _) = later(&format!("{status}\nContent-Type: text/html; charset=utf-8"));
        assert!(why.contains("with a web page"), "{why}");
    }
}

#[test]
fn the_reason_of_a_refusal_is_told() {
    let (verdict, _) =
        answered("HTTP/1.1 400 Bad Request\nContent-Length: 18\n\nout of order sample");
    let Verdict::Refused(why) = verdict else {
        panic!("{verdict:?}");
    };
    assert!(
        why.ends_with("answers 400 Bad Request: out of order sampl"),
        "{why}"
    );
}

#[test]
fn nobody_there_is_a_reason_to_try_again() {
    let url = format!("http://{}/", kit::testing::nobody());
    let credentials = Credentials::in_directory("courier", None);
    let receiver = Receiver::new("logs", &url, None, Duration::from_secs(5), &credentials).unwrap();
    let Verdict::Later(why, None) = receiver.post(Vec::new(), &[]) else {
        panic!("it answers");
    };
    assert!(why.contains("the connection was refused"), "{why}");
}

#[test]
fn half_a_user_with_a_password_is_an_error_that_names_the_other_half() {
    for (there, missing) in [("user", "password"), ("password", "user")] {
        let directory = durable::scratch();
        let path = directory.path().join(format!("courier.logs-{there}"));
        durable::atomic_write(&path, b"x", 0o600).unwrap();
        let credentials = Credentials::in_directory("courier", Some(directory.path().into()));
        let url = "http://loki.example.org/";
        let receiver = Receiver::new("logs", url, None, Duration::from_secs(5), &credentials);
        assert_eq!(
            receiver.unwrap_err().to_string(),
            format!(
                "there is a credential courier.logs-{there}, but no courier.logs-{missing}: give both, or courier.logs-token instead"
            )
        );
    }
}

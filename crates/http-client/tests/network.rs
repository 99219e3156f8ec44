//! Servers and networks as they are: silent, slow, cut off, elsewhere, behind a proxy, or not who they say they are.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use base64::Engine;
use http_client::{Cause, Client, Error, FilePart, Method, Options, Request, Stage};

/// The variable with the address that this process must request; see [`in_a_process_with`].
const ASK: &str = "HTTP_CLIENT_TEST_ASKS";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn options() -> Options {
    Options {
        connect: Duration::from_secs(5),
        whole: Some(Duration::from_secs(20)),
        idle: Duration::from_millis(200),
        ..Options::new("http-client-tests", Duration::from_secs(20))
    }
}

/// What every question brings along, and what only whoever is asked may see.
const SECRET: &str = "Bearer of a secret";

fn get(url: &str) -> Result<String, Error> {
    let question = Request::get(url).header("authorization", SECRET);
    let answer = Client::new(&options()).send(question)?;
    Ok(String::from_utf8(answer.bytes(1 << 20)?).unwrap())
}

/// A server that hands each connection to `serve`, and ends with the test.
fn server(serve: impl Fn(Heard, &mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if let Some(heard) = Heard::from(&mut stream) {
                serve(heard, &mut stream);
            }
        }
    });
    address
}

/// A request as it arrived.
struct Heard {
    line: String,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Heard {
    fn from(stream: &mut impl Read) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0);
        let length = lines.iter().find_map(|header| {
            let (name, value) = header.split_once(": ")?;
            (name.eq_ignore_ascii_case("content-length")).then(|| value.parse().ok())?
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        Some(Heard {
            line,
            headers: lines,
            body,
        })
    }
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

#[test]
fn whoever_is_asked_hears_who_asks() {
    let server = server(|heard, stream| {
        assert!(heard.headers.iter().any(|header| {
            header.to_lowercase()
                == concat!("user-agent: http-client-tests/", env!("CARGO_PKG_VERSION"))
        }));
        assert_eq!(heard.body, b"words");
        say(
            stream,
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 99999\r\ncontent-length: 4\r\n\r\nbusy",
        );
    });
    let request = Request::post(format!("http://{server}/"), "words");
    let answer = Client::new(&options()).send(request).unwrap();
    assert_eq!(answer.status(), 503, "an answer, like any other");
    assert_eq!(answer.status_line(), "503 Service Unavailable");
    assert_eq!(
        answer.seconds("retry-after"),
        Some(Duration::from_secs(3600))
    );
    assert_eq!(answer.excerpt(3), "bus");
}

#[test]
fn a_server_may_say_until_when_to_wait_by_its_own_clock() {
    for (date, until, seconds) in [
        (
            "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
            "Wed, 21 Oct 2015 07:30:05 GMT",
            Some(125),
        ),
        (
            "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
            "Wednesday, 21-Oct-15 07:30:05 GMT",
            Some(125),
        ),
        (
            "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
            "Wed, 21 Oct 2015 07:00:00 GMT",
            Some(0),
        ),
        (
            "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\n",
            "Wed, 21 Oct 2026 07:00:00 GMT",
            Some(3600),
        ),
        ("Date: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "soon", None),
        // A server without a clock has no date, and cannot mean one.
        ("", "Wed, 21 Oct 2015 07:30:05 GMT", None),
    ] {
        let server = server(move |_, stream| {
            say(
                stream,
                &format!(
                    "HTTP/1.1 429 Wait\r\n{date}Retry-After: {until}\r\nContent-Length: 0\r\n\r\n"
                ),
            );
        });
        let request = Request::get(format!("http://{server}/"));
        let answer = Client::new(&options()).send(request).unwrap();
        let pause = answer.seconds("retry-after");
        assert_eq!(pause, seconds.map(Duration::from_secs), "{date}{until}");
    }
}

#[test]
fn nobody_there_is_told_with_the_host_and_may_pass() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let error = get(&format!("http://{address}/secret?key=secret")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{address}: the connection was refused")
    );
    assert!(error.is_transient());
}

#[test]
fn a_host_that_dns_does_not_know_may_be_known_later() {
    let error = get("http://nobody.invalid/").unwrap_err();
    let is_known = matches!(
        error.cause,
        Cause::NoSuchHost | Cause::Slow(Stage::Connect, _)
    );
    assert!(is_known, "{error}");
    assert!(error.is_transient());
    assert!(error.to_string().starts_with("nobody.invalid: "), "{error}");
}

#[test]
fn what_is_no_address_is_never_asked_for() {
    let error = get("ftp://nas/x").unwrap_err();
    assert_eq!(error.cause, Cause::BadAddress);
    assert!(!error.is_transient());
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let server = server(|_, stream| {
        // Until the client closes the connection.
        let _ = stream.read(&mut [0]);
    });
    let began = Instant::now();
    let error = get(&format!("http://{server}/")).unwrap_err();
    assert_eq!(error.cause, Cause::Slow(Stage::Idle, options().idle));
    assert!(error.is_timeout() && error.is_transient());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_stops_in_the_middle_is_given_up_and_what_came_is_kept() {
    let server = server(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        let _ = stream.read(&mut [0]);
    });
    let request = Request::get(format!("http://{server}/"));
    let mut answer = Client::new(&options()).send(request).unwrap();
    let mut body = Vec::new();
    let error = answer.append_to(&mut body, 1000).unwrap_err();
    assert_eq!(error.cause, Cause::Slow(Stage::Idle, options().idle));
    assert_eq!(body, b"half");
}

#[test]
fn what_is_larger_than_the_buffers_is_sent_and_arrives_whole() {
    let server = server(|heard, stream| {
        let length = heard.body.len();
        say(
            stream,
            &format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
        );
        stream.write_all(&heard.body).unwrap();
    });
    let small = Options {
        buffer: 4096,
        ..options()
    };
    let sent: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let request = Request::post(format!("http://{server}/"), sent.clone());
    let answer = Client::new(&small).send(request).unwrap();
    assert!(answer.bytes(sent.len()).unwrap() == sent);
}

#[test]
fn a_server_that_never_comes_to_an_end_is_given_up_as_well() {
    let server = server(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"more").is_ok() {}
    });
    let url = format!("http://{server}/");
    let patience = Options {
        whole: Some(Duration::from_millis(300)),
        ..options()
    };
    let mut answer = Client::new(&patience).send(Request::get(&*url)).unwrap();
    let error = loop {
        if let Err(error) = answer.read(&mut [0; 4096]) {
            break error;
        }
    };
    drop(answer);
    assert_eq!(
        error.cause,
        Cause::Slow(Stage::Whole, Duration::from_millis(300))
    );
    assert_eq!(get(&url).unwrap_err().cause, Cause::TooLong(1 << 20));
}

#[test]
fn a_connection_that_is_cut_is_told_from_one_that_ends() {
    let server =
        server(|_, stream| say(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"));
    let error = get(&format!("http://{server}/")).unwrap_err();
    assert!(matches!(error.cause, Cause::Cut(_)), "{error}");
    assert!(error.is_transient());
}

#[test]
fn questions_are_redirected_and_what_was_brought_is_not() {
    let server = server(|heard, stream| match heard.line.split(' ').nth(1) {
        Some("/there") => say(stream, OK),
        Some("/circle") => say(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: /circle\r\ncontent-length: 0\r\n\r\n",
        ),
        _ => say(
            stream,
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n",
        ),
    });
    assert_eq!(get(&format!("http://{server}/here")).unwrap(), "ok");
    let error = get(&format!("http://{server}/circle")).unwrap_err();
    assert_eq!(error.cause, Cause::Redirects);
    assert!(!error.is_transient());
    let post = Request::post(format!("http://{server}/here"), "words");
    assert_eq!(Client::new(&options()).send(post).unwrap().status(), 307);
}

#[test]
fn a_part_of_a_file_is_sent_as_it_is_read() {
    let server = server(|heard, stream| {
        let whole: Vec<u8> = (0..300_000).map(|at| at as u8).collect();
        match heard.body == whole[1000..250_000] {
            true => say(stream, OK),
            false => say(
                stream,
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            ),
        }
    });
    let mut file = tempfile::tempfile().unwrap();
    let whole: Vec<u8> = (0..300_000).map(|at| at as u8).collect();
    file.write_all(&whole).unwrap();
    let file = Arc::new(file);
    let url = format!("http://{server}/");
    let part = FilePart::new(file.clone(), 1000..250_000);
    // A retry sends the body from its start.
    for part in [part.clone(), part] {
        let answer = Client::new(&options())
            .send(Request::post(&*url, part))
            .unwrap();
        assert_eq!(answer.status(), 200);
    }
    let beyond = FilePart::new(file, 250_000..350_000);
    let error = Client::new(&options()).send(Request::post(&*url, beyond));
    let error = error.unwrap_err();
    assert!(matches!(error.cause, Cause::Unreadable(_)), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn whoever_watches_a_file_being_sent_may_end_it() {
    let server = server(|_, stream| say(stream, OK));
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 300_000]).unwrap();
    let file = Arc::new(file);
    let url = format!("http://{server}/");
    let send = |last: u64| {
        let watched = Arc::new(AtomicU64::new(0));
        let telling = watched.clone();
        let watch = Arc::new(move |at| {
            telling.store(at, Relaxed);
            match at <= last {
                true => Ok(()),
                false => Err(std::io::Error::other("that is enough")),
            }
        });
        let part = FilePart::new(file.clone(), 0..300_000).watched(watch);
        let request = Request::new(Method::PATCH, &*url).body(part);
        let sent = Client::new(&options()).send(request);
        (sent.map(|answer| answer.status()), watched.load(Relaxed))
    };
    assert_eq!(send(300_000), (Ok(200), 300_000));
    let (outcome, at) = send(100_000);
    let enough = Cause::Unreadable("that is enough".into());
    assert_eq!(outcome.unwrap_err().cause, enough);
    assert!((100_001..300_000).contains(&at), "{at}");
}

/// The output of a client that requests `url` in a process with these environment variables.
fn in_a_process_with(variables: &[(&str, &str)], url: &str) -> String {
    let this = std::env::current_exe().unwrap();
    let asked = Command::new(this)
        .args(["--exact", "a_process_that_asks", "--nocapture"])
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env(ASK, url)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    let (_, answer) = said
        .split_once("answer: ")
        .unwrap_or_else(|| panic!("{said}"));
    answer.lines().next().unwrap().to_owned()
}

#[test]
fn a_process_that_asks() {
    if let Ok(url) = std::env::var(ASK) {
        match get(&url) {
            Ok(text) => println!("answer: {text}"),
            Err(error) => println!("answer: {error:?}"),
        }
    }
}

#[test]
fn the_proxy_of_the_environment_is_asked() {
    let proxy = server(|heard, stream| match &*heard.line {
        // Both ways of using a proxy.
        "GET http://somewhere.invalid/x HTTP/1.1" => say(stream, OK),
        "CONNECT somewhere.invalid:80 HTTP/1.1" => {
            say(stream, "HTTP/1.1 200 OK\r\n\r\n");
            let heard = Heard::from(stream).unwrap();
            assert_eq!(heard.line, "GET /x HTTP/1.1");
            say(stream, OK);
        }
        _ => say(
            stream,
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        ),
    });
    let proxy = format!("http://{proxy}");
    let variables = [("HTTP_PROXY", &*proxy), ("http_proxy", &*proxy)];
    assert_eq!(
        in_a_process_with(&variables, "http://somewhere.invalid/x"),
        "ok"
    );
}

/// A server with TLS that hands each request to `serve`, and the file of the authority that vouches for it as `localhost`.
fn with_tls(
    folder: &std::path::Path,
    serve: impl Fn(Heard) -> String + Send + 'static,
) -> (u16, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = folder.join("authorities.pem");
    let encoded = base64::engine::general_purpose::STANDARD.encode(own.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    std::fs::write(&file, pem).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.cert.der().clone()],
            own.signing_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, stream.unwrap());
            if let Some(heard) = Heard::from(&mut stream) {
                stream.write_all(serve(heard).as_bytes()).unwrap();
                stream.flush().unwrap();
            }
        }
    });
    (port, file.display().to_string())
}

#[test]
fn a_secret_follows_a_redirect_to_the_same_host_and_to_no_other() {
    let has_it = |heard: &Heard| {
        let header = format!("authorization: {SECRET}");
        heard
            .headers
            .iter()
            .any(|line| line.eq_ignore_ascii_case(&header))
    };
    let said = |words: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{words}",
            words.len()
        )
    };
    let other = server(move |heard, stream| {
        say(
            stream,
            &said(if has_it(&heard) {
                "stolen"
            } else {
                "nothing to steal"
            }),
        );
    });
    let moved = |to: &str| {
        format!("HTTP/1.1 301 Moved Permanently\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
    };
    let folder = tempfile::tempdir().unwrap();
    let (port, file) = with_tls(folder.path(), move |heard| {
        match heard.line.split(' ').nth(1) {
            Some("/v1/sites") => moved("/v2/sites"),
            Some("/away") => moved(&format!("http://{other}/")),
            Some("/v2/sites") if has_it(&heard) => OK.into(),
            _ => "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".into(),
        }
    });
    let variables = [("SSL_CERT_FILE", &*file)];
    let ask =
        |path: &str| in_a_process_with(&variables, &format!("https://localhost:{port}{path}"));
    assert_eq!(ask("/v1/sites"), "ok");
    assert_eq!(ask("/away"), "nothing to steal");
}

#[test]
fn a_certificate_is_trusted_if_the_environment_says_so_and_else_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (port, file) = with_tls(folder.path(), |_| OK.into());
    let url = format!("https://localhost:{port}/");
    let error = get(&url).unwrap_err();
    assert!(matches!(error.cause, Cause::Untrusted(_)), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(in_a_process_with(&[("SSL_CERT_FILE", &file)], &url), "ok");
}

#[test]
fn a_file_of_authorities_that_is_none_is_named_before_anybody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    let name = file.display().to_string();
    let variables = [("SSL_CERT_FILE", &*name)];
    let of = |content: &str| {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
    };
    for (content, trouble) in [
        (None, "cannot be read"),
        (Some(String::new()), "has no certificate"),
        (Some("Authorities\n".into()), "has no certificate"),
        (Some(of("!")), "has a certificate that cannot be read"),
        (Some(of("AAAA")), "has a certificate that cannot be read"),
    ] {
        if let Some(content) = &content {
            std::fs::write(&file, content).unwrap();
        }
        // Nobody is there, and nobody is missed.
        let said = in_a_process_with(&variables, "https://127.0.0.1:9/");
        let told = format!("SSL_CERT_FILE names {name}, which {trouble}");
        assert!(said.contains(&told), "{content:?}: {said}");
        assert!(said.contains("unset SSL_CERT_FILE"), "{said}");
    }
    // Without TLS nobody has to be trusted.
    let plain = server(|_, stream| say(stream, OK));
    let url = format!("http://{plain}/");
    assert_eq!(in_a_process_with(&variables, &url), "ok");
}

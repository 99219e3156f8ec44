use super::*;
use std::io::Write;
use std::net::TcpListener;

#[test]
fn declarations_are_read() {
    let text = r#"{"deadline":60,"checks":{"a":{"http":"http://127.0.0.1:8080/health"},
        "b":{"command":"true"},"c":{"unit":"ssh.service"}}}"#;
    let health: Health = serde_json::from_str(text).unwrap();
    assert_eq!((health.deadline, health.checks.len()), (60, 3));
    assert_eq!(health.checks["c"], Check::Unit("ssh.service".into()));
    assert_eq!(
        Health::load(&Root::new("/nonexistent")).unwrap(),
        Health::default()
    );
}

#[test]
fn failed_and_crashing_units_are_problems_unless_they_were_before() {
    let unit = |name: &str, active: &str, sub: &str| Listed {
        name: name.into(),
        active: active.into(),
        sub: sub.into(),
    };
    let units = [
        unit("a.service", "active", "running"),
        unit("b.service", "failed", "failed"),
        unit("c.service", "activating", "auto-restart"),
        unit("d.service", "failed", "failed"),
    ];
    let forgiven = BTreeSet::from(["d.service".to_owned()]);
    assert_eq!(
        unit_problems(&units, &forgiven),
        [
            Problem::Failed("b.service".into()),
            Problem::Crashing("c.service".into())
        ]
    );
}

#[test]
fn http_is_well_with_a_2xx_and_nothing_else() {
    let answer = |status: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/health", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").unwrap();
            String::from_utf8_lossy(&request).into_owned()
        });
        let result = http(&address);
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /health HTTP/1.1\r\n")
        );
        result
    };
    answer("200 OK").unwrap();
    let error = answer("503 Service Unavailable").unwrap_err().to_string();
    assert!(error.ends_with("answers 503"), "{error}");
    assert!(http("http://127.0.0.1:1/").is_err());
    assert!(http("https://127.0.0.1/").is_err());
}

#[test]
fn a_command_is_well_when_it_succeeds() {
    Check::Command("test 1 = 1".into()).run().unwrap();
    let error = Check::Command("exit 3".into())
        .run()
        .unwrap_err()
        .to_string();
    assert!(error.contains("exit 3"), "{error}");
}

#[test]
fn a_service_that_ends_again_and_again_ends_the_wait() {
    let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
        counts
            .iter()
            .map(|(unit, n)| ((*unit).to_owned(), *n))
            .collect()
    };
    let then = counts(&[("a.service", 3), ("old.service", 90)]);
    let now = counts(&[
        ("a.service", 7),
        ("b.service", 5),
        ("old.service", 99),
        ("new.service", 1),
    ]);
    let forgiven = BTreeSet::from(["old.service".to_owned()]);
    let restarted = since(&then, &now, &forgiven);
    assert_eq!(
        restarted,
        counts(&[("a.service", 4), ("b.service", 5), ("new.service", 1)])
    );
    let problems = looping(&restarted);
    let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(
        told,
        ["b.service was restarted 5 times and ended each time"]
    );
    // Started anew by somebody, a service is counted from the beginning.
    assert_eq!(
        since(
            &counts(&[("a.service", 9)]),
            &counts(&[("a.service", 1)]),
            &forgiven
        ),
        counts(&[])
    );
}

#[test]
fn what_failed_is_quoted() {
    let unhealthy = Unhealthy {
        seconds: 12,
        problems: vec![
            Problem::Failed("bell.service".into()),
            Problem::System("starting".into()),
        ],
        words: BTreeMap::from([("bell.service".into(), "error: the bell is broken".into())]),
    };
    assert_eq!(
        unhealthy.to_string(),
        "not healthy after 12 s: bell.service failed, saying “error: the bell is broken”; the system is starting"
    );
}

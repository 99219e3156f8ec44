use super::*;
use crate::failure::Failure;
use bucket::{Error, Refusal};
use fake_s3::{FakeS3, KEY, SECRET};
use jiff::{SignedDuration, Timestamp};
use std::fs::File;
use std::sync::Mutex;

/// Larger files are uploaded in parts.
const PART: u64 = 16 << 20;

/// A client for a bucket on this server, with very short pauses between retries.
pub(crate) fn client(server: &FakeS3, bucket: &str) -> Client {
    with(server.port(), bucket, KEY, SECRET, Timestamp::now)
}

fn with(port: u16, bucket: &str, key: &str, secret: &str, clock: fn() -> Timestamp) -> Client {
    let to = format!("s3://{bucket}/fleet?endpoint=127.0.0.1:{port}&scheme=http");
    let variable = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some(key.to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(secret.to_owned()),
        _ => None,
    };
    open_with(&to, variable, |settings| {
        settings.patience = Patience {
            attempts: 4,
            first: Duration::ZERO,
            longest: Duration::ZERO,
        };
        settings.clock = clock;
    })
    .unwrap()
}

/// A server with one bucket, `lab`, and the folder that holds its objects.
pub(crate) fn server() -> (tempfile::TempDir, FakeS3) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join(fake_s3::BUCKET)).unwrap();
    let server = FakeS3::serve(root.path()).unwrap();
    (root, server)
}

#[test]
fn what_is_put_is_there_and_what_is_not_is_not() {
    let (root, server) = server();
    let client = client(&server, fake_s3::BUCKET);
    assert_eq!(client.get("channels/a.json").unwrap(), None);
    assert!(!client.has("channels/a.json").unwrap());
    client.put("channels/a.json", b"one").unwrap();
    client.put("channels/a.json", b"two").unwrap();
    assert_eq!(client.get("channels/a.json").unwrap().unwrap(), b"two");
    assert!(client.has("channels/a.json").unwrap());
    let file = root.path().join("lab/fleet/channels/a.json");
    assert_eq!(std::fs::read(file).unwrap(), b"two");
}

#[test]
fn what_is_big_goes_up_in_parts_and_again_what_got_lost() {
    let (root, server) = server();
    let client = client(&server, fake_s3::BUCKET);
    let big = root.path().join("big");
    let bytes: Vec<u8> = (0..PART * 2 + 5).map(|n| (n / 999) as u8).collect();
    std::fs::write(&big, &bytes).unwrap();
    // The server is too busy for the first request of the upload, and the first part arrives damaged.
    server.refuse(1);
    server.corrupt(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    client
        .upload("images/big", &big, move |up| {
            telling.lock().unwrap().push(up)
        })
        .unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.last(), Some(&(bytes.len() as u64)));
    let first_part = server.asked().into_iter();
    let first_part = first_part.filter(|asked| asked.contains("partNumber=1"));
    assert_eq!(first_part.count(), 2, "nothing got lost");
    let there = std::fs::read(root.path().join("lab/fleet/images/big")).unwrap();
    assert!(there == bytes, "{} bytes, others", there.len());
}

#[test]
fn what_is_given_up_leaves_what_was_there_and_no_parts() {
    let (root, server) = server();
    let client = client(&server, fake_s3::BUCKET);
    client.put("images/big", b"before").unwrap();
    let big = root.path().join("big");
    File::create(&big).unwrap().set_len(PART + 1).unwrap();
    server.fail(Some("partNumber=2"));
    server.asked();
    let failure = client.upload("images/big", &big, |_| ()).unwrap_err();
    let failure = failure.downcast::<Failure>().unwrap();
    assert!(
        failure
            .what
            .contains("cannot write s3://lab/fleet/images/big"),
        "{failure}"
    );
    assert!(failure.hint.contains("what is up already stays"));
    assert_eq!(client.get("images/big").unwrap().unwrap(), b"before");
    let asked = server.asked();
    assert!(
        asked.iter().any(|asked| asked.starts_with("DELETE ")),
        "{asked:?}"
    );
}

#[test]
fn trouble_is_called_by_its_name() {
    let (_root, server) = server();
    let port = server.port();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deserted = nobody.local_addr().unwrap().port();
    drop(nobody);
    let late = || Timestamp::now() - SignedDuration::from_hours(24 * 365);
    let early = || Timestamp::now() + SignedDuration::from_hours(2);
    let key = |key, secret| with(port, fake_s3::BUCKET, key, secret, Timestamp::now);
    let clock = |clock| with(port, fake_s3::BUCKET, KEY, SECRET, clock);
    for (client, what, hint) in [
        (
            client(&server, "none"),
            "there is no bucket none on 127.0.0.1:",
            "aws s3 mb s3://none",
        ),
        (
            key("AKIDOTHER", SECRET),
            "AKIDOTHER",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            key(KEY, "wrong"),
            "knows the access key AKIDLICHEN, with another secret",
            "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            with(deserted, fake_s3::BUCKET, KEY, SECRET, Timestamp::now),
            "cannot be reached",
            "?endpoint=HOST",
        ),
        (
            clock(late),
            "this machine's clock shows",
            "timedatectl set-ntp true",
        ),
        (
            clock(early),
            "this machine's clock shows",
            "timedatectl set-ntp true",
        ),
    ] {
        let failure = client.put("x", b"").unwrap_err().downcast::<Failure>();
        let failure = failure.unwrap();
        assert!(
            failure.what.starts_with("cannot write s3://"),
            "{}",
            failure.what
        );
        assert!(failure.what.contains(what), "{}", failure.what);
        assert!(failure.hint.contains(hint), "{}", failure.hint);
    }
}

#[test]
fn a_bucket_of_another_region_is_told_with_its_region() {
    let (_root, server) = server();
    let client = client(&server, fake_s3::BUCKET);
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong</Message>\
                <Region>eu-west-1</Region></Error>";
    let refusal = Refusal::new(400, body, None, None);
    let failure = explain(&client, "write x", &Error::Refused(refusal));
    let failure = failure.downcast::<Failure>().unwrap();
    assert!(failure.what.contains("not in the region us-east-1"));
    assert_eq!(failure.hint, "--to 's3://lab/fleet/?region=eu-west-1'");
}

use super::*;
use crate::failure::Failure;
use fake_s3::{FakeS3, KEY, SECRET};

/// A client that loses no time, of a bucket on this server.
pub(crate) fn client(server: &FakeS3, bucket: &str) -> Client {
    with(server.port(), bucket, KEY, SECRET)
}

fn with(port: u16, bucket: &str, key: &str, secret: &str) -> Client {
    let to = format!("s3://{bucket}/fleet?endpoint=127.0.0.1:{port}&scheme=http");
    let variable = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" => Some(key.to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(secret.to_owned()),
        _ => None,
    };
    let mut client = open(&to, variable).unwrap();
    client.pauses = &[Duration::ZERO; 3];
    client
}

/// A server with one bucket, `lab`, and the folder that it is.
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
    server.fail(Some("partNumber=2"));
    let mut told = Vec::new();
    let mut tries = 0;
    client
        .upload("images/big", &big, |up| {
            // Once, it is too busy for the second part.
            tries += u32::from(up < *told.last().unwrap_or(&0));
            if tries > 0 {
                server.fail(None);
            }
            told.push(up);
        })
        .unwrap();
    assert_eq!(told.last(), Some(&(bytes.len() as u64)));
    assert!(tries > 0, "nothing got lost: {:?}", server.asked());
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
    let mut late = client(&server, fake_s3::BUCKET);
    late.clock = || Timestamp::now() - jiff::SignedDuration::from_hours(24 * 365);
    let mut early = client(&server, fake_s3::BUCKET);
    early.clock = || Timestamp::now() + jiff::SignedDuration::from_hours(2);
    for (client, what, hint) in [
        (
            client(&server, "none"),
            "there is no bucket none on 127.0.0.1:",
            "aws s3 mb s3://none",
        ),
        (
            with(port, fake_s3::BUCKET, "AKIDOTHER", SECRET),
            "AKIDOTHER",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            with(port, fake_s3::BUCKET, KEY, "wrong"),
            "knows the access key AKIDLICHEN, with another secret",
            "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            with(deserted, fake_s3::BUCKET, KEY, SECRET),
            "can't be reached",
            "?endpoint=HOST",
        ),
        (late, "the clock here says", "timedatectl set-ntp true"),
        (early, "the clock here says", "timedatectl set-ntp true"),
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
    let refusal = Refusal::of(400, |_| None, body);
    let failure = explain(&client, "write x", Trouble::Refused(refusal));
    let failure = failure.downcast::<Failure>().unwrap();
    assert!(failure.what.contains("not in the region us-east-1"));
    assert_eq!(failure.hint, "--to 's3://lab/fleet/?region=eu-west-1'");
}

use super::*;

/// Made by `nix-store --generate-binary-cache-key fleet-1`.
const SECRET: &str = "fleet-1:3OLEVu9K1mf2IbnsLpIQncrZbuBIw3A0yefHEEcgS7UmwOi+hdKiskUQaPERAuyMA5tqCMiZccVQ/DCyTVe3SQ==";
const PUBLIC: &str = "fleet-1:JsDovoXSorJFEGjxEQLsjAObagjImXHFUPwwsk1Xt0k=";

fn key() -> SecretKey {
    SecretKey::parse(SECRET).unwrap()
}

fn channel(sequence: u64, toplevel: &str) -> Channel {
    Channel {
        format: FORMAT,
        appliance: "climate".into(),
        channel: "stable".into(),
        sequence,
        toplevel: toplevel.into(),
        published: "2026-11-24T21:50:00Z".into(),
        description: "more \"room\"\n".into(),
    }
}

#[test]
fn keys_are_those_of_nix() {
    assert_eq!(key().public(), PUBLIC);
    for bad in ["", "fleet-1", "fleet-1:AAAA", PUBLIC] {
        let error = SecretKey::parse(bad).map(|_| ()).unwrap_err();
        assert!(matches!(error, ChannelError::BadKey(_)), "{bad}: {error}");
    }
}

#[test]
fn what_was_signed_is_what_is_read() {
    let signed = channel(7, "/nix/store/a").sign(&key());
    let keys = ["other-1:bm90IGEga2V5", PUBLIC];
    assert_eq!(
        Channel::open(signed.as_bytes(), &keys).unwrap(),
        channel(7, "/nix/store/a")
    );
    // The layout of the JSON does not matter.
    let compact: serde_json::Value = serde_json::from_str(&signed).unwrap();
    Channel::open(compact.to_string().as_bytes(), &keys).unwrap();
}

/// A channel in an early format, which must stay readable.
#[test]
fn the_first_format_stays_readable() {
    let text = include_bytes!("../fixtures/channel-v1/stable.json");
    let channel = Channel::open(text, &[PUBLIC]).unwrap();
    assert_eq!(
        (channel.sequence, channel.toplevel.as_str()),
        (
            1764021000,
            "/nix/store/00000000000000000000000000000000-lichen-climate"
        )
    );
}

#[test]
fn whatever_was_changed_is_noticed() {
    let signed = channel(7, "/nix/store/a").sign(&key());
    for (from, to) in [
        ("\"climate\"", "\"camera\""),
        ("\"stable\"", "\"beta\""),
        (": 7", ": 8"),
        ("/nix/store/a", "/nix/store/b"),
        ("2026", "2027"),
        ("room", "roof"),
    ] {
        let changed = signed.replace(from, to);
        assert_ne!(changed, signed);
        assert_eq!(
            Channel::open(changed.as_bytes(), &[PUBLIC]),
            Err(ChannelError::BadSignature("fleet-1".into())),
            "{from}"
        );
    }
}

#[test]
fn what_is_no_channel_is_told_apart() {
    let signed = channel(7, "/nix/store/a").sign(&key());
    let other_name = PUBLIC.replace("fleet-1", "fleet-2");
    let other_key = format!("fleet-1:{}", BASE64_STANDARD.encode([1; 32]));
    type Is = fn(&ChannelError) -> bool;
    let cases: [(&str, String, &[&str], Is); 8] = [
        (
            "no keys",
            signed.clone(),
            &[],
            |e| matches!(e, ChannelError::UnknownKey(n) if n == "fleet-1"),
        ),
        ("another name", signed.clone(), &[&other_name], |e| {
            matches!(e, ChannelError::UnknownKey(_))
        }),
        ("another key", signed.clone(), &[&other_key], |e| {
            matches!(e, ChannelError::BadSignature(_))
        }),
        ("a key cut short", signed.clone(), &[&PUBLIC[..30]], |e| {
            matches!(e, ChannelError::UnknownKey(_))
        }),
        (
            "cut short",
            signed[..signed.len() / 2].to_owned(),
            &[PUBLIC],
            |e| matches!(e, ChannelError::NotOne(_)),
        ),
        (
            "no signature",
            signed.replace("fleet-1:", ""),
            &[PUBLIC],
            |e| matches!(e, ChannelError::NotOne(_)),
        ),
        ("to come", signed.replace(": 1,", ": 2,"), &[PUBLIC], |e| {
            *e == ChannelError::Format(2)
        }),
        ("a web page", "<html>".into(), &[PUBLIC], |e| {
            matches!(e, ChannelError::NotOne(_))
        }),
    ];
    for (what, text, keys, is) in cases {
        let error = Channel::open(text.as_bytes(), keys).unwrap_err();
        assert!(is(&error), "{what}: {error}");
    }
}

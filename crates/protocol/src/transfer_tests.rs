use super::*;
use base64::prelude::{BASE64_STANDARD, Engine};

fn header() -> Header {
    let info = |name: &str| PathInfo {
        path: format!("/nix/store/{}-{name}", "a".repeat(32)),
        nar_hash: "sha256:x".into(),
        nar_size: 7,
        references: vec![format!("/nix/store/{}-b", "b".repeat(32))],
        signatures: vec!["fleet-1:sig".into()],
        ca: None,
    };
    let part = |name, coming, bytes| Part {
        info: info(name),
        coming,
        bytes,
    };
    let base = "/nix/store/old".to_owned();
    Header {
        parts: vec![
            part("a", Coming::Present, 0),
            part("b", Coming::Whole, 3),
            part("c", Coming::Delta { base }, 4),
        ],
    }
}

#[test]
fn a_header_comes_through_and_half_of_one_does_not() {
    let mut stream = Vec::new();
    header().write(&mut stream).unwrap();
    assert_eq!(Header::read(&mut stream.as_slice()).unwrap(), header());
    for cut in 0..stream.len() {
        assert!(
            Header::read(&mut &stream[..cut]).is_err(),
            "cut after {cut}"
        );
    }
    stream[14] = b'2';
    let error = Header::read(&mut stream.as_slice()).unwrap_err();
    assert!(error.to_string().contains("another format"), "{error}");
}

#[test]
fn a_path_is_described_as_nix_reads_it() {
    let info = &header().parts[0].info;
    let expected = format!(
        "StorePath: {}\nURL: nar/a\nCompression: none\nNarHash: sha256:x\nNarSize: 7\nReferences: {}-b\nSig: fleet-1:sig\n",
        info.path,
        "b".repeat(32)
    );
    assert_eq!(info.narinfo("nar/a"), expected);
}

#[test]
fn only_a_store_path_is_taken_for_one() {
    let part = |path: &str| PathInfo {
        path: path.into(),
        ..header().parts[0].info.clone()
    };
    let hash = "a".repeat(32);
    assert_eq!(
        part(&format!("/nix/store/{hash}-x.y")).hash_part(),
        Some(hash.as_str())
    );
    for path in [
        "/etc/passwd",
        "/nix/store/short-x",
        &format!("/nix/store/{hash}-"),
        &format!("/nix/store/{hash}-x/../y"),
        &format!("/nix/store/{hash}-x\ny"),
    ] {
        assert_eq!(part(path).hash_part(), None, "{path:?}");
    }
}

/// A stream of format 1. Devices in use read no other format, and later ones must still read it. Printed by
/// [`a_stream_is_printed`]; it must not be replaced as long as the format is the same.
const STREAM_1: &str = include_str!("../fixtures/stream-v1.base64");

/// The archives of [`STREAM_1`]: the base of the delta, the one sent whole, and the one sent as a delta.
fn archives() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let base = b"the archive that the device has. ".repeat(20);
    let whole = b"an archive that comes whole".to_vec();
    let new = [&base[..], b"and a line more"].concat();
    (base, whole, new)
}

#[test]
fn a_stream_of_format_1_is_still_read() {
    use crate::delta;
    let bytes = BASE64_STANDARD
        .decode(STREAM_1.split_whitespace().collect::<String>())
        .unwrap();
    let mut stream = bytes.as_slice();
    let header = Header::read(&mut stream).unwrap();
    let (base, whole, new) = archives();
    let comings: Vec<_> = header.parts.iter().map(|part| &part.coming).collect();
    let old = "/nix/store/old".to_owned();
    assert_eq!(
        comings,
        [
            &Coming::Present,
            &Coming::Whole,
            &Coming::Delta { base: old }
        ]
    );
    assert_eq!(header.parts[0].info, super::tests::header().parts[0].info);
    for (part, base, expected) in [
        (&header.parts[1], &[][..], whole),
        (&header.parts[2], &base[..], new),
    ] {
        let (bytes, rest) = stream.split_at(part.bytes as usize);
        stream = rest;
        let mut archive = Vec::new();
        delta::apply(base, bytes, part.info.nar_size, &mut archive).unwrap();
        assert_eq!(archive, expected);
    }
    assert!(stream.is_empty(), "nothing comes after the last part");
}

#[test]
#[ignore = "prints the fixture of a stream, for a format to come"]
fn a_stream_is_printed() {
    let (base, whole, new) = archives();
    let parts = [
        crate::delta::make(&[], &whole).unwrap(),
        crate::delta::make(&base, &new).unwrap(),
    ];
    let mut header = header();
    for (part, (bytes, archive)) in
        (header.parts[1..].iter_mut()).zip(parts.iter().zip([&whole, &new]))
    {
        (part.bytes, part.info.nar_size) = (bytes.len() as u64, archive.len() as u64);
    }
    let mut stream = Vec::new();
    header.write(&mut stream).unwrap();
    stream.extend(parts.concat());
    let text = BASE64_STANDARD.encode(stream);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(100)
        .map(String::from_utf8_lossy)
        .collect();
    println!("{}", lines.join("\n"));
}

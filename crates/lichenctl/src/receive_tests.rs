use super::*;
use crate::patient::Patient;
use proptest::prelude::*;
use protocol::transfer::PathInfo;
use std::collections::BTreeMap;
use std::time::Duration;

const OLD: &[u8] = &[7; 3000];

fn path(name: &str) -> String {
    format!("/nix/store/{:a<32}-{name}", name)
}

fn part(name: &str, content: &[u8], coming: Coming) -> (Part, Vec<u8>) {
    let base = if matches!(coming, Coming::Delta { .. }) {
        OLD
    } else {
        b""
    };
    let bytes = delta::make(base, content).unwrap();
    let info = PathInfo {
        path: path(name),
        nar_hash: "sha256:x".into(),
        nar_size: content.len() as u64,
        references: Vec::new(),
        signatures: Vec::new(),
        ca: None,
    };
    (
        Part {
            info,
            coming,
            bytes: bytes.len() as u64,
        },
        bytes,
    )
}

/// Two paths, one whole and one as a delta, as a host sends them.
fn stream() -> (BTreeMap<&'static str, Vec<u8>>, Vec<u8>) {
    let contents = BTreeMap::from([
        ("new", [OLD, b"and more"].concat()),
        ("other", b"all of it".repeat(50)),
    ]);
    let parts = [
        part("new", &contents["new"], Coming::Delta { base: path("old") }),
        part("other", &contents["other"], Coming::Whole),
    ];
    let header = Header {
        parts: parts.iter().map(|(part, _)| part.clone()).collect(),
    };
    let mut stream = Vec::new();
    header.write(&mut stream).unwrap();
    parts.iter().for_each(|(_, bytes)| stream.extend(bytes));
    (contents, stream)
}

fn dump(base: &str) -> io::Result<Vec<u8>> {
    if base == path("old") {
        Ok(OLD.to_vec())
    } else {
        Err(io::Error::other(format!("{base} is not valid")))
    }
}

/// The part of [`take_in`] before Nix is called.
fn received(stream: &[u8], folder: &Path) -> Result<Vec<(String, String)>> {
    let stream = &mut &*stream;
    let header = Header::read(stream).map_err(|error| ReceiveError::Stream(error.to_string()))?;
    fits(&header, 1 << 30)?;
    rebuild(&header, folder, stream, &dump)
}

fn archive(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    fs::read(folder.join(format!("{name:a<32}.nar")))
}

#[test]
fn what_was_sent_is_there_for_nix() {
    let dir = durable::scratch();
    let (contents, stream) = stream();
    assert_eq!(received(&stream, dir.path()).unwrap(), []);
    for (name, content) in contents {
        assert_eq!(archive(dir.path(), name).unwrap(), content);
        let info = fs::read_to_string(dir.path().join(format!("{name:a<32}.narinfo"))).unwrap();
        assert!(info.contains(&format!("URL: {name:a<32}.nar\n")), "{info}");
    }
}

#[test]
fn a_stream_cut_anywhere_is_an_error_that_says_so() {
    let dir = durable::scratch();
    let (_, stream) = stream();
    for cut in 0..stream.len() {
        let error = received(&stream[..cut], dir.path()).unwrap_err();
        assert!(
            error.downcast_ref::<ReceiveError>().is_some(),
            "cut after {cut}: {error:#}"
        );
    }
}

proptest! {
    #[test]
    fn a_damaged_stream_never_makes_another_archive(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let dir = durable::scratch();
        let (contents, mut stream) = stream();
        let at = at.index(stream.len());
        stream[at] ^= 1 << bit;
        // If a damaged header is still valid, its path, hash or size differs, which Nix checks.
        let header = Header::read(&mut stream.as_slice()).ok();
        let same = header.filter(|header| header.parts.iter().zip(["new", "other"]).all(|(part, name)| part.info.path == path(name)));
        if let Ok(again) = received(&stream, dir.path()) && same.is_some() {
            for (name, content) in contents {
                if !again.iter().any(|(failed, _)| *failed == path(name)) {
                    prop_assert_eq!(archive(dir.path(), name)?, content);
                }
            }
        }
    }
}

#[test]
fn a_delta_whose_base_is_not_here_or_is_another_is_asked_for_again() {
    let dir = durable::scratch();
    let delta = |base: &str| {
        part(
            "new",
            &[OLD, b"and more"].concat(),
            Coming::Delta { base: path(base) },
        )
    };
    for (part, bytes) in [delta("gone"), {
        let mut damaged = delta("old");
        let last = damaged.1.len() - 1;
        damaged.1[last] ^= 1;
        damaged
    }] {
        let header = Header { parts: vec![part] };
        let again = rebuild(&header, dir.path(), &mut bytes.as_slice(), &dump).unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].0, path("new"));
    }
}

#[test]
fn without_room_nothing_is_begun() {
    let (part, _) = part("new", &[1; 5000], Coming::Whole);
    let header = Header { parts: vec![part] };
    fits(&header, MARGIN + 10_000).unwrap();
    let error = fits(&header, MARGIN + 9_999).unwrap_err();
    assert!(error.to_string().starts_with("DATA has no room"), "{error}");
    fits(&Header { parts: Vec::new() }, 0).unwrap();
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let dir = durable::scratch();
    let (mut part, bytes) = part("new", b"x", Coming::Whole);
    part.info.path = "/nix/store/../../etc/passwd".into();
    let error = rebuild(
        &Header { parts: vec![part] },
        dir.path(),
        &mut bytes.as_slice(),
        &dump,
    )
    .unwrap_err();
    assert!(error.to_string().contains("is not a store path"), "{error}");
}

#[test]
fn what_a_cut_left_is_removed_first() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    let left = root.at(FOLDER).join("half.nar");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::create_dir_all(root.at("run")).unwrap();
    passing(&left).unwrap();
    receive(&root, &mut io::empty()).unwrap_err();
    assert!(!left.exists());
}

#[test]
fn a_sender_that_falls_silent_holds_up_nobody_for_ever() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    fs::create_dir_all(root.at("nix")).unwrap();
    let (_, stream) = stream();
    for sent in [0, stream.len() - 1] {
        let (from, mut sender) = io::pipe().unwrap();
        sender.write_all(&stream[..sent]).unwrap();
        let mut from = Patient::new(from, Duration::from_millis(300));
        let told = receive(&root, &mut from).unwrap_err().to_string();
        assert!(told.contains("the sender has said nothing"), "{told}");
        // Generations can be changed again, while the sender is still there.
        drop(GenerationsLock::wait(&root).unwrap());
        drop(sender);
    }
}

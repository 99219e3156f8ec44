use super::*;
use anyhow::Result;
use std::collections::BTreeMap;
use std::io::{Read, Write};

const CLIMATE: &[u8] = b"a history of temperatures";

/// A backup of two services, and the key that opens it.
fn backup(copies: &[(&str, &[u8])]) -> (Vec<u8>, Identity) {
    let key = Identity::generate();
    let manifest = Manifest {
        appliance: "climate".into(),
        hostname: "rack7".into(),
        generation: Some(3),
        time: 1_764_000_000,
        states: (copies.iter())
            .map(|(name, copy)| State::of(name, "1", *copy).unwrap())
            .collect(),
        ..Manifest::default()
    };
    let copies: BTreeMap<_, _> = copies.iter().copied().collect();
    let open = |state: &State| Ok(copies[state.name.as_str()]);
    let archive = write(Vec::new(), &[key.recipient()], &manifest, open).unwrap();
    (archive, key)
}

fn restored(archive: &[u8], key: &Identity) -> Result<(Manifest, Vec<Vec<u8>>)> {
    let mut copies = Vec::new();
    let plain = decrypt(archive, std::slice::from_ref(key))?;
    let manifest = read_into(plain, &mut copies)?;
    Ok((manifest, copies))
}

fn read_into(plain: impl Read, copies: &mut Vec<Vec<u8>>) -> Result<Manifest> {
    let shared = std::cell::RefCell::new(copies);
    struct Last<'a, 'b>(&'a std::cell::RefCell<&'b mut Vec<Vec<u8>>>);
    impl Write for Last<'_, '_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().last_mut().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    read(
        plain,
        |_| Ok(()),
        |_| {
            shared.borrow_mut().push(Vec::new());
            Ok(Last(&shared))
        },
    )
}

fn refusal(archive: &[u8], key: &Identity) -> BackupError {
    let error = restored(archive, key).expect_err("it was taken");
    error.downcast().expect("another kind of error")
}

/// Bytes that no compression makes shorter.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state =
            (state.wrapping_mul(6_364_136_223_846_793_005)).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn what_goes_in_comes_out_whatever_its_size() {
    for size in [1, 65_535, 65_536, 65_537, 3 * 65_536, 1_000_000] {
        let long = noise(1, size);
        let (archive, key) = backup(&[("climate", CLIMATE), ("postgresql", &long)]);
        let (manifest, copies) = restored(&archive, &key).unwrap();
        assert_eq!(copies, [CLIMATE, &long], "{size}");
        assert_eq!(
            (manifest.hostname.as_str(), manifest.generation),
            ("rack7", Some(3))
        );
        assert!(!archive.windows(7).any(|bytes| bytes == b"climate"));
    }
}

#[test]
fn one_byte_changed_anywhere_is_refused_and_named() {
    let (archive, key) = backup(&[("climate", CLIMATE)]);
    let mut parts = BTreeMap::<String, usize>::new();
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 1;
        match refusal(&changed, &key) {
            BackupError::Damaged { part, .. } => *parts.entry(part).or_default() += 1,
            // The first four bytes say what it is, and a key that was changed fits nobody.
            BackupError::NotABackup => *parts.entry("beginning".into()).or_default() += 1,
            BackupError::AnotherKey(_) => *parts.entry("key".into()).or_default() += 1,
            other => panic!("byte {at}: {other}"),
        }
    }
    assert_eq!(parts.values().sum::<usize>(), archive.len());
    assert_eq!(parts["beginning"], 4);
    // What is no base64 any more is damage, and not the key of somebody else.
    assert!(
        parts["key"] > 60 && parts["the beginning"] > 100,
        "{parts:?}"
    );
}

#[test]
fn damage_is_named_by_where_it_is_and_whose_data_it_hits() {
    let (first, second) = (noise(1, 200_000), noise(2, 200_000));
    let (archive, key) = backup(&[("climate", &first), ("postgresql", &second)]);
    let hit = |at: usize| {
        let mut changed = archive.clone();
        changed[at] ^= 0x80;
        refusal(&changed, &key).to_string()
    };
    let told = hit(150_000);
    assert!(
        told.starts_with("the data of climate cannot be read, because the file is damaged"),
        "{told}"
    );
    let (from, to) = told
        .split_once("between its bytes ")
        .unwrap()
        .1
        .split_once(" and ")
        .unwrap();
    let from: usize = from.parse().unwrap();
    let to: usize = to.split(' ').next().unwrap().parse().unwrap();
    assert!((from..to).contains(&150_000), "{told}");
    let told = hit(archive.len() - 80_000);
    assert!(told.starts_with("the data of postgresql"), "{told}");
}

#[test]
fn a_backup_that_is_cut_short_is_refused_wherever_it_was_cut() {
    let long = noise(1, 150_000);
    let (archive, key) = backup(&[("climate", &long)]);
    let cuts = (0..400)
        .step_by(3)
        .chain((400..archive.len()).step_by(997))
        .chain([archive.len() - 1]);
    for cut in cuts {
        match refusal(&archive[..cut], &key) {
            BackupError::Damaged { .. } => assert!(cut > 0),
            BackupError::NotABackup => assert_eq!(cut, 0),
            other => panic!("cut at {cut}: {other}"),
        }
    }
    let mut longer = archive.clone();
    longer.push(0);
    assert!(matches!(
        refusal(&longer, &key),
        BackupError::Damaged { .. }
    ));
    // Cut between two pieces, nothing is changed, and only the end is missing.
    let code = archive.windows(5).position(|bytes| bytes == b"\n--- ");
    let first = code.unwrap() + 5 + 43 + 1 + 16;
    let told = refusal(&archive[..first + 65_536 + 16], &key).to_string();
    assert!(told.contains("before its end"), "{told}");
}

#[test]
fn what_is_decrypted_is_checked_again() {
    let (archive, key) = backup(&[("climate", CLIMATE)]);
    let mut plain = Vec::new();
    decrypt(archive.as_slice(), &[key])
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    read_into(plain.as_slice(), &mut Vec::new()).unwrap();
    let mut refused = 0;
    for at in 4..plain.len() {
        let mut changed = plain.clone();
        changed[at] ^= 1;
        let mut copies = Vec::new();
        match read_into(changed.as_slice(), &mut copies) {
            // zstd has bits that mean nothing.
            Ok(_) => assert_eq!(copies, [CLIMATE], "byte {at}"),
            Err(error) => {
                let damaged = matches!(error.downcast_ref(), Some(BackupError::Damaged { .. }));
                assert!(damaged, "byte {at}: {error:#}");
                refused += 1;
            }
        }
    }
    assert!(refused > plain.len() - 20, "{refused} of {}", plain.len());
    for cut in 4..plain.len() {
        assert!(
            read_into(&plain[..cut], &mut Vec::new()).is_err(),
            "cut at {cut}"
        );
    }
    let told = read_into(archive.as_slice(), &mut Vec::new()).unwrap_err();
    assert!(
        matches!(told.downcast_ref(), Some(BackupError::Encrypted)),
        "{told:#}"
    );
    let told = read_into(b"notes".as_slice(), &mut Vec::new()).unwrap_err();
    assert!(
        matches!(told.downcast_ref(), Some(BackupError::NotABackup)),
        "{told:#}"
    );
}

#[test]
fn each_of_several_keys_opens_it_and_no_other() {
    let keys = [Identity::generate(), Identity::generate()];
    let stranger = Identity::generate();
    let recipients: Vec<_> = keys.iter().map(Identity::recipient).collect();
    let manifest = Manifest::default();
    let archive = write(Vec::new(), &recipients, &manifest, |_| Ok(CLIMATE)).unwrap();
    for key in &keys {
        assert_eq!(restored(&archive, key).unwrap().0, manifest);
    }
    let told = refusal(&archive, &stranger).to_string();
    assert!(told.contains(&stranger.recipient().to_string()), "{told}");
}

#[test]
fn a_newer_format_is_not_guessed_at() {
    let key = Identity::generate();
    let manifest = Manifest {
        format: FORMAT + 1,
        ..Manifest::default()
    };
    let archive = write(Vec::new(), &[key.recipient()], &manifest, |_| Ok(CLIMATE)).unwrap();
    assert!(matches!(refusal(&archive, &key), BackupError::Newer(_)));
}

#[test]
fn keys_are_written_as_age_writes_them() {
    let file = "# created: 2026-11-30T11:00:00Z\n# public key: age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\n\
                AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";
    let keys = Identity::all_in(file).unwrap();
    let public = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    assert_eq!(keys[0].recipient().to_string(), public);
    assert_eq!(public.parse(), Ok(keys[0].recipient()));
    assert!(file.ends_with(&keys[0].file()), "{}", keys[0].file());
    assert!(!format!("{keys:?}").contains("SECRET"));
    for (at, _) in public.char_indices() {
        let mut wrong = public.to_owned();
        let other = if &public[at..=at] == "q" { "p" } else { "q" };
        wrong.replace_range(at..=at, other);
        assert_eq!(wrong.parse::<Recipient>(), Err(KeyError::Public(wrong)));
    }
    for wrong in ["", "# nothing\n", public, "AGE-SECRET-KEY-1gfpyysj"] {
        assert_eq!(
            Identity::all_in(wrong).unwrap_err(),
            KeyError::Secret,
            "{wrong}"
        );
    }
}

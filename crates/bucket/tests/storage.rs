//! A storage that fails in the ways that storages and networks do.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bucket::{Bucket, Entry, Error, Keys, Ledger, Patience, Reason, Settings, Upload};

const MIB: u64 = 1 << 20;
const PART: u64 = 5 * MIB;
const KEY: &str = "2026/video.mp4";
/// If this variable is set, this process is the one that uploads.
const UPLOADER: &str = "BUCKET_TEST_UPLOADS";

/// A storage with one bucket, and a device with one file and a ledger.
struct Scene {
    storage: fake_s3::Bucket,
    folder: tempfile::TempDir,
    ledger: Ledger,
}

impl Scene {
    fn with_a_file_of(bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let contents: Vec<u8> = (0..bytes).map(|at| (at / 997 * 31) as u8).collect();
        fs::write(folder.path().join("video.mp4"), contents).unwrap();
        fs::create_dir(folder.path().join("uploads")).unwrap();
        let ledger = Ledger::new(folder.path().join("uploads"));
        Scene {
            storage: fake_s3::Bucket::start().unwrap(),
            folder,
            ledger,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("video.mp4")
    }

    /// A client as a program has it that has just started: it knows only the file and the ledger.
    fn bucket(&self) -> Bucket {
        bucket(&self.storage.url(), fake_s3::SECRET)
    }

    fn upload(&self) -> Result<bucket::Object, Error> {
        let upload = Upload {
            part_bytes: PART,
            ledger: Some((&self.ledger, "video.mp4")),
            progress: None,
        };
        self.bucket().upload(KEY, &self.file(), &upload)
    }

    /// Whether the object is the file.
    fn is_there(&self) -> bool {
        let object = fs::read(self.storage.folder().join(KEY));
        object.is_ok_and(|object| object == fs::read(self.file()).unwrap())
    }

    /// The number of parts sent since the last call.
    fn parts_sent(&self) -> usize {
        let asked = self.storage.asked().into_iter();
        asked.filter(|asked| asked.contains("partNumber=")).count()
    }

    fn parts_remembered(&self) -> usize {
        match self.ledger.get("video.mp4") {
            Some(Entry::Uploading { parts, .. }) => parts.len(),
            _ => 0,
        }
    }
}

fn bucket(endpoint: &str, secret: &str) -> Bucket {
    patient_bucket(3, endpoint, secret)
}

fn patient_bucket(attempts: u32, endpoint: &str, secret: &str) -> Bucket {
    let settings = Settings {
        patience: Patience {
            attempts,
            first: Duration::from_millis(1),
            longest: Duration::from_millis(1),
        },
        idle: Duration::from_secs(30),
        ..Settings::new("bucket-tests", endpoint, fake_s3::BUCKET)
    };
    Bucket::new(settings, Keys::new(fake_s3::KEY, secret)).unwrap()
}

#[test]
fn a_refusal_costs_one_attempt_however_much_was_to_be_sent() {
    for bytes in [1000, 100_000, 300_000, 1_000_000, 5_000_000] {
        let scene = Scene::with_a_file_of(bytes);
        let bucket = patient_bucket(2, &scene.storage.url(), fake_s3::SECRET);
        for round in 0..10 {
            scene.storage.refuse(1);
            let uploaded = bucket.upload(KEY, &scene.file(), &Upload::default());
            uploaded.unwrap_or_else(|error| panic!("{bytes} bytes, round {round}: {error}"));
        }
    }
}

#[test]
fn an_upload_that_is_cut_off_in_the_middle_goes_on_after_a_restart() {
    let scene = Scene::with_a_file_of(3 * PART + 1);
    // Only the request that begins the upload and two parts get through.
    scene.storage.die_in(3);
    let error = scene.upload().unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error}");
    let there = scene.parts_remembered();
    assert!(there >= 1, "nothing is remembered");
    scene.parts_sent();

    scene.storage.up();
    let object = scene.upload().unwrap();
    assert_eq!(scene.parts_sent(), 4 - there, "only what was missing");
    assert!(scene.is_there());
    assert_eq!(object.bytes, 3 * PART + 1);
    assert!(scene.ledger.is_synced("video.mp4"));
}

#[test]
fn a_storage_that_dies_at_any_request_ends_with_the_file() {
    let scene = Scene::with_a_file_of(2 * PART + 1);
    for request in 1.. {
        scene.ledger.clear("video.mp4").unwrap();
        scene.storage.die_in(request);
        let outcome = scene.upload();
        if !scene.storage.is_dead() {
            outcome.unwrap();
            assert!(
                request > 5,
                "it was never asked: begin, three parts, complete"
            );
            break;
        }
        assert!(outcome.unwrap_err().is_transient());
        scene.storage.up();
        scene.upload().unwrap();
        assert!(scene.is_there(), "after a death at request {request}");
    }
}

#[test]
fn a_storage_that_is_too_busy_in_the_middle_gets_no_part_twice() {
    let scene = Scene::with_a_file_of(2 * PART + 1);
    scene.storage.fail(Some("partNumber=3"));
    let error = scene.upload().unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Passing));
    assert_eq!(scene.parts_remembered(), 2);
    scene.parts_sent();

    scene.storage.fail(None);
    scene.upload().unwrap();
    assert_eq!(scene.parts_sent(), 1);
    assert!(scene.is_there());
}

#[test]
fn a_file_that_has_changed_since_is_uploaded_anew() {
    let scene = Scene::with_a_file_of(2 * PART + 1);
    scene.storage.die_in(3);
    scene.upload().unwrap_err();
    assert!(scene.parts_remembered() >= 1);
    scene.storage.up();
    let mut other = fs::read(scene.file()).unwrap();
    other[0] ^= 1;
    fs::write(scene.file(), other).unwrap();
    scene.storage.asked();
    scene.upload().unwrap();
    let asked = scene.storage.asked();
    let like = |part: &str| asked.iter().filter(|asked| asked.contains(part)).count();
    assert_eq!((like("partNumber="), like("DELETE ")), (3, 1), "{asked:?}");
    assert!(scene.is_there());
}

#[test]
fn bytes_damaged_on_their_way_are_noticed_and_sent_again() {
    for size in [1000, 2 * PART + 1] {
        let scene = Scene::with_a_file_of(size);
        scene.storage.corrupt(1);
        scene.upload().unwrap();
        assert!(scene.is_there());
    }
}

#[test]
fn a_storage_that_damages_everything_never_gets_a_file_marked_as_safe() {
    let scene = Scene::with_a_file_of(1000);
    scene.storage.corrupt(u32::MAX);
    let error = scene.upload().unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(!scene.ledger.is_synced("video.mp4"));
    assert!(!scene.is_there());
}

#[test]
fn a_busy_storage_is_asked_again_and_not_for_ever() {
    let scene = Scene::with_a_file_of(1000);
    scene.storage.refuse(2);
    scene.upload().unwrap();
    assert_eq!(scene.storage.requests(), 3);

    scene.storage.refuse(u32::MAX);
    let error = scene.upload().unwrap_err();
    assert_eq!(error.reason(), Some(&Reason::Passing));
    assert_eq!(error.to_string(), "the storage answered 503");
    assert_eq!(scene.storage.requests(), 6);
}

#[test]
fn a_wrong_secret_is_told_at_once_with_what_to_do() {
    let scene = Scene::with_a_file_of(1000);
    let bucket = bucket(&scene.storage.url(), "a guess");
    let error = bucket.put("x", b"x").unwrap_err();
    assert_eq!(scene.storage.requests(), 1, "asking again would not help");
    assert_eq!(error.reason(), Some(&Reason::WrongSecret));
    assert_eq!(
        error.to_string(),
        "the storage answered 403 (SignatureDoesNotMatch)"
    );
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("secret does not belong to this access key"),
        "{hint}"
    );
}

#[test]
fn what_is_not_there_is_no_error_and_a_bucket_that_is_not_there_is_one() {
    let scene = Scene::with_a_file_of(0);
    let bucket = scene.bucket();
    assert_eq!(bucket.get("nothing", 10).unwrap(), None);
    assert_eq!(bucket.head("nothing").unwrap(), None);
    let etag = bucket.put("some", b"words").unwrap();
    assert_eq!(bucket.get("some", 10).unwrap().unwrap(), b"words");
    assert_eq!(bucket.head("some").unwrap().unwrap().etag, etag);
    assert!(bucket.get("some", 4).is_err(), "longer than was asked for");

    let elsewhere = Settings::new("bucket-tests", &scene.storage.url(), "none");
    let keys = Keys::new(fake_s3::KEY, fake_s3::SECRET);
    let error = Bucket::new(elsewhere, keys).unwrap().get("x", 10);
    assert_eq!(error.unwrap_err().reason(), Some(&Reason::NoBucket));
}

#[test]
fn without_a_ledger_an_upload_that_fails_is_taken_back() {
    let scene = Scene::with_a_file_of(2 * PART);
    scene.bucket().put(KEY, b"before").unwrap();
    scene.storage.fail(Some("partNumber=2"));
    let upload = Upload {
        part_bytes: PART,
        ..Upload::default()
    };
    let outcome = scene.bucket().upload(KEY, &scene.file(), &upload);
    assert!(outcome.unwrap_err().is_transient());
    let asked = scene.storage.asked();
    assert!(
        asked.iter().any(|asked| asked.starts_with("DELETE ")),
        "{asked:?}"
    );
    assert_eq!(scene.bucket().get(KEY, 10).unwrap().unwrap(), b"before");
}

#[test]
fn progress_is_told_up_to_the_last_byte() {
    let scene = Scene::with_a_file_of(2 * PART + 7);
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    let upload = Upload {
        part_bytes: PART,
        ledger: None,
        progress: Some(Arc::new(move |up| {
            telling.lock().unwrap().push(up);
            Ok(())
        })),
    };
    scene.bucket().upload(KEY, &scene.file(), &upload).unwrap();
    let told = told.lock().unwrap();
    assert!(told.is_sorted());
    assert_eq!(told.last(), Some(&(2 * PART + 7)));
}

#[test]
fn a_large_file_takes_little_memory() {
    // The storage keeps what it gets in memory, so the upload runs and is measured in a separate process.
    if let Ok(endpoint) = std::env::var(UPLOADER) {
        return upload_and_tell_memory(&endpoint);
    }
    let scene = Scene::with_a_file_of(0);
    fs::File::create(scene.file())
        .unwrap()
        .set_len(96 * MIB)
        .unwrap();
    let this = std::env::current_exe().unwrap();
    let uploader = std::process::Command::new(this)
        .args(["--exact", "a_large_file_takes_little_memory", "--nocapture"])
        .env(UPLOADER, scene.storage.url())
        .env("FILE", scene.file())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&uploader.stdout).into_owned();
    assert!(uploader.status.success(), "{said}");
    let (_, grown) = said.split_once("grown by ").expect("it says by how much");
    let grown: u64 = grown.split(' ').next().unwrap().parse().unwrap();
    println!("an upload of 96 MiB in parts of 16 MiB took {grown} kB of memory");
    // That is less than one part.
    assert!(grown < 8 << 10, "{grown} kB for parts of 16 MiB");
    assert!(scene.is_there());
}

fn upload_and_tell_memory(endpoint: &str) {
    let bucket = bucket(endpoint, fake_s3::SECRET);
    bucket
        .put("before", b"so that a connection and its buffers are there")
        .unwrap();
    let before = peak_memory();
    let file = std::env::var("FILE").unwrap();
    bucket
        .upload(KEY, Path::new(&file), &Upload::default())
        .unwrap();
    println!("grown by {} kB", peak_memory() - before);
}

/// The peak memory of this process, in kB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let (_, peak) = status.split_once("VmHWM:").unwrap();
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

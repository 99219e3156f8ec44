//! A bucket as a further target.

use super::*;
use fake_s3::{BUCKET, Bucket, KEY, SECRET};

/// A device that is to bring its backups to this bucket.
fn device_with(bucket: &Bucket) -> Device {
    let device = device("one");
    device.brings_to(bucket);
    device
        .root
        .put("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    device.secrets(KEY, SECRET);
    device
}

impl Device {
    fn brings_to(&self, bucket: &Bucket) {
        let key = Identity::generate().recipient();
        let text = format!(
            r#"{{"recipients":["{key}"],"keep":2,"s3":{{"endpoint":"{}","bucket":"{BUCKET}","region":"us-east-1","prefix":"fleet/"}}}}"#,
            bucket.url()
        );
        self.root.put(CONFIG, text);
    }

    fn secrets(&self, key: &str, secret: &str) {
        let folder = "var/lib/lichen/credentials";
        self.root
            .put(format!("{folder}/backup.s3-access-key-id"), key);
        self.root.put(
            format!("{folder}/backup.s3-secret-access-key"),
            format!("{secret}\n"),
        );
    }
}

/// The objects of a device's card.
fn objects(bucket: &Bucket, id: &str) -> Vec<String> {
    let folder = bucket.folder().join("fleet/rack7").join(id);
    let mut names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn backups_are_brought_to_a_bucket_and_none_is_removed_there() {
    let bucket = Bucket::start().unwrap();
    let device = device_with(&bucket);
    for _ in 0..3 {
        keep(&device.root).unwrap();
    }
    assert_eq!(device.kept().len(), 2);
    let there = objects(&bucket, "01234567");
    assert_eq!(
        there,
        [1, 2, 3].map(|n| format!("rack7-{n:04}.tar.zst.age"))
    );
    let newest = bucket.folder().join("fleet/rack7/01234567").join(&there[2]);
    let here = device.root.at(FOLDER).join(&there[2]);
    assert_eq!(fs::read(newest).unwrap(), fs::read(here).unwrap());
    let put = bucket
        .asked()
        .iter()
        .filter(|asked| asked.starts_with("PUT"))
        .count();
    assert_eq!(put, 3, "each was sent once");

    // What the bucket has removed is not brought again.
    let first = bucket.folder().join("fleet/rack7/01234567").join(&there[1]);
    fs::remove_file(first).unwrap();
    keep(&device.root).unwrap();
    assert_eq!(objects(&bucket, "01234567").len(), 3);
    let there = objects(&bucket, "01234567");

    // A new card of the same name, whose numbers begin anew, overwrites nothing.
    let new = device_with(&bucket);
    new.root
        .put("etc/machine-id", "fedcba9876543210fedcba9876543210\n");
    keep(&new.root).unwrap();
    assert_eq!(objects(&bucket, "fedcba98"), ["rack7-0001.tar.zst.age"]);
    assert_eq!(objects(&bucket, "01234567"), there);
}

#[test]
fn what_could_not_be_brought_stays_on_data_is_told_and_is_brought_later() {
    let bucket = Bucket::start().unwrap();
    let device = device_with(&bucket);
    device.secrets(KEY, "wrong");
    let told = format!("{:#}", keep(&device.root).unwrap_err());
    assert!(
        told.contains("cannot bring rack7-0001.tar.zst.age to the bucket lab"),
        "{told}"
    );
    assert_eq!(device.kept(), ["rack7-0001.tar.zst.age"]);
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(1));
    let age = sample(&device.root, "lichen_backup_last_success_age_seconds");
    assert!(age.unwrap() < 60, "it is on DATA, and was verified");

    fs::remove_dir_all(device.root.at("var/lib/lichen/credentials")).unwrap();
    let error = keep(&device.root).unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("backup.s3-access-key-id"), "{told}");
    assert!(hints::of(&error).unwrap().contains("[secrets]"));

    device.secrets(KEY, SECRET);
    keep(&device.root).unwrap();
    // Also the one that leaves DATA now.
    assert_eq!(objects(&bucket, "01234567").len(), 3);
    assert_eq!(device.kept().len(), 2);
    assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(0));
}

#[test]
fn an_upload_is_tried_again_without_another_backup() {
    let bucket = Bucket::start().unwrap();
    let device = device_with(&bucket);
    device.secrets(KEY, "wrong");
    let wait = |_| device.secrets(KEY, SECRET);
    Run::new(&device.root, &AGAIN, wait).keep().unwrap();
    assert_eq!(device.kept(), ["rack7-0001.tar.zst.age"]);
    assert_eq!(objects(&bucket, "01234567"), device.kept());
}

#[test]
fn whoever_is_ended_while_it_uploads_has_made_a_backup_and_is_told_to_have_failed() {
    for n in 0.. {
        let bucket = Bucket::start().unwrap();
        let device = device_with(&bucket);
        let done = cut::at(n, || keep(&device.root).unwrap());
        assert!(done.is_none(), "it was never cut while it uploaded");
        if objects(&bucket, "01234567").is_empty() {
            continue;
        }
        assert!(sample(&device.root, "lichen_backup_size_bytes").unwrap() > 300);
        let age = sample(&device.root, "lichen_backup_last_success_age_seconds");
        assert!(age.unwrap() < 60, "{age:?}");
        // What another test has just started holds our lock as well, until it runs its program.
        let deadline = Instant::now() + Duration::from_secs(30);
        while sample(&device.root, "lichen_backup_failed") != Some(1) {
            assert!(Instant::now() < deadline, "nobody is told");
            std::thread::yield_now();
        }
        keep(&device.root).unwrap();
        assert_eq!(sample(&device.root, "lichen_backup_failed"), Some(0));
        break;
    }
}

#[test]
fn backups_are_brought_on_after_the_folder_was_cleared_by_hand() {
    let bucket = Bucket::start().unwrap();
    let device = device_with(&bucket);
    for _ in 0..3 {
        keep(&device.root).unwrap();
    }
    for (_, file) in shelf::on(&device.root.at(FOLDER)).unwrap() {
        fs::remove_file(file).unwrap();
    }
    keep(&device.root).unwrap();
    assert_eq!(device.kept(), ["rack7-0004.tar.zst.age"]);
    assert_eq!(objects(&bucket, "01234567").len(), 4);
}

#[test]
fn another_bucket_gets_what_is_on_data() {
    let (first, second) = (Bucket::start().unwrap(), Bucket::start().unwrap());
    let device = device_with(&first);
    keep(&device.root).unwrap();
    device.brings_to(&second);
    keep(&device.root).unwrap();
    assert_eq!(objects(&second, "01234567"), device.kept());
    assert_eq!(device.kept().len(), 2);
}

#[test]
fn a_key_that_may_not_list_the_bucket_is_enough() {
    let bucket = Bucket::start().unwrap();
    let device = device_with(&bucket);
    bucket.deny(Some("HEAD "));
    keep(&device.root).unwrap();
    assert_eq!(objects(&bucket, "01234567"), device.kept());
}

#[test]
fn an_upload_that_was_cut_goes_on_where_it_was() {
    let bucket = Bucket::start().unwrap();
    let device = device_with(&bucket);
    // Two parts.
    device.root.put("var/lib/notes/file", noise(20 << 20));
    bucket.deny(Some("partNumber=2"));
    keep(&device.root).unwrap_err();
    let sent = |asked: Vec<String>, part: &str| {
        let of_file = |asked: &&String| asked.contains("rack7-0001") && asked.contains(part);
        asked.iter().filter(of_file).count()
    };
    assert_eq!(sent(bucket.asked(), "partNumber=1"), 1);

    bucket.deny(None);
    device.fill("small");
    keep(&device.root).unwrap();
    let asked = bucket.asked();
    assert_eq!(sent(asked.clone(), "partNumber=1"), 0);
    assert_eq!(sent(asked, "partNumber=2"), 1);
    assert_eq!(objects(&bucket, "01234567"), device.kept());
}

/// Bytes that do not compress.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let noise = std::iter::repeat_with(&mut next).flatten().take(length);
    noise.collect()
}

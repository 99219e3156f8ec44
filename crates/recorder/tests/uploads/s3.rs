//! S3: the shared client does the work, and has stories of its own; here is what the queue adds.

use serde_json::json;

use crate::scene::{MIB, Scene, settings};

const PART: u64 = 5 * MIB;

fn scene(bucket: &fake_s3::Bucket) -> (tempfile::TempDir, Scene) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings("s3", &bucket.url());
    settings["chunk_bytes"] = json!(PART);
    let scene = Scene::new(folder.path(), &settings);
    (folder, scene)
}

#[test]
fn an_upload_that_a_storage_interrupts_goes_on_with_the_parts_that_it_has() {
    let bucket = fake_s3::Bucket::start().unwrap();
    let (_folder, scene) = scene(&bucket);
    bucket.fail(Some("partNumber=2"));
    let running = scene.start();
    let video = scene.video(1, 2 * PART + 1);
    running.uploads.add(video.clone());
    let why = running.failed(1);
    // A storage may cut the connection before its answer is read.
    assert!(why.contains("503") || why.contains("was cut"), "{why}");
    bucket.asked();
    bucket.fail(None);
    running.uploads.wake();
    running.completed(1);
    let asked = bucket.asked();
    let first = asked.iter().filter(|asked| asked.contains("partNumber=1"));
    assert_eq!(first.count(), 0, "the first part is there already");
    let object = std::fs::read(bucket.folder().join("gym/1.mp4")).unwrap();
    assert!(object == std::fs::read(video.path).unwrap());
}

#[test]
fn an_object_that_was_complete_before_a_power_cut_is_not_sent_again() {
    let bucket = fake_s3::Bucket::start().unwrap();
    let (folder, scene) = scene(&bucket);
    let running = scene.start();
    running.uploads.add(scene.video(1, 1000));
    running.completed(1);
    drop(running);
    bucket.asked();
    // As if the queue had not come to record it.
    let database = rusqlite::Connection::open(folder.path().join("recorder.sqlite")).unwrap();
    let changed = database.execute("UPDATE uploads SET status = 'uploading'", []);
    assert_eq!(changed, Ok(1));
    let running = scene.start();
    running.completed(1);
    let asked = bucket.asked();
    assert!(
        matches!(&asked[..], [only] if only.starts_with("HEAD ")),
        "{asked:?}"
    );
}

#[test]
fn a_storage_that_damages_everything_never_completes() {
    let bucket = fake_s3::Bucket::start().unwrap();
    let (_folder, scene) = scene(&bucket);
    bucket.corrupt(u32::MAX);
    let running = scene.start();
    running.uploads.add(scene.video(1, 1000));
    let why = running.failed(1);
    assert!(why.contains("400") || why.contains("differs"), "{why}");
    bucket.corrupt(0);
    running.uploads.wake();
    running.completed(1);
}

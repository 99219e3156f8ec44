use super::*;
use crate::s3;
use protocol::channel::{Channel, FORMAT, SecretKey};
use std::fs;
use std::path::Path;

/// A channel with these generations.
pub(super) fn channel(sequence: u64, toplevel: &str) -> Channel {
    Channel {
        format: FORMAT,
        appliance: "climate".into(),
        channel: "stable".into(),
        sequence,
        toplevel: toplevel.into(),
        published: "2026-11-24T21:50:00Z".into(),
        description: String::new(),
    }
}

/// Seed 0…0 and its public key, as Nix writes them.
pub(super) fn key() -> SecretKey {
    SecretKey::parse("test-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7aie8zrakLWKjqNAqbw1zZTIVdx3iQ6Y6wEihi1naKQ==").unwrap()
}

/// A folder, open for publishing.
pub(super) fn folder(path: &Path) -> Place {
    Place::open(&path.display().to_string(), Path::new("")).unwrap()
}

#[test]
fn a_folder_is_made_and_anything_else_refused_before_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("a/b");
    let place = Place::open(&format!("file://{}", new.display()), Path::new("")).unwrap();
    assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 0);
    fs::write(dir.path().join("file"), "").unwrap();
    for bad in [
        "https://example.org",
        "a?b",
        &format!("{}/file/x", dir.path().display()),
    ] {
        let error = Place::open(bad, Path::new("")).err().unwrap();
        assert!(error.is::<crate::failure::Failure>(), "{bad}: {error:#}");
    }
}

#[test]
fn only_what_is_new_goes_up_and_nothing_before_what_it_names() {
    let (root, server) = s3::tests::server();
    let work = tempfile::tempdir().unwrap();
    let work = work.path().join("publish");
    let puts = || -> Vec<String> {
        let asked = server.asked().into_iter();
        let put = asked.filter_map(|asked| {
            let path = asked.strip_prefix("PUT /lab/fleet/")?;
            Some(path.split('?').next()?.to_owned())
        });
        put.collect()
    };
    let publish = |archives: &[&str], sequence: u64| -> anyhow::Result<()> {
        let place = Place::bucket(s3::tests::client(&server, "lab"), &work)?;
        for archive in archives {
            let narinfo = format!("{archive}.narinfo");
            // Nix writes nothing that exists already.
            if place.bring(&narinfo)?.is_none() {
                place.write(&format!("nar/{archive}.nar.zst"), archive.as_bytes())?;
                place.write(&narinfo, b"URL: ...")?;
            }
        }
        let image = place.folder().with_extension("img");
        fs::write(&image, "an image")?;
        place.add(&format!("images/{sequence}.img.zst"), &image)?;
        place.settle()?;
        let channel = channel(sequence, "/nix/store/a").sign(&key());
        place.announce("channels/climate/stable.json", channel.as_bytes())?;
        Ok(())
    };
    publish(&["one", "two"], 1).unwrap();
    assert_eq!(
        puts(),
        [
            "nix-cache-info",
            "images/1.img.zst",
            "nar/one.nar.zst",
            "nar/two.nar.zst",
            "one.narinfo",
            "two.narinfo",
            "channels/climate/stable.json",
        ]
    );

    // If publishing is interrupted, the earlier announcement and the files written so far remain.
    let published =
        || fs::read_to_string(root.path().join("lab/fleet/channels/climate/stable.json"));
    let before = published().unwrap();
    server.fail(Some("PUT /lab/fleet/nar/three"));
    publish(&["two", "three"], 2).unwrap_err();
    assert_eq!(published().unwrap(), before);
    assert!(!root.path().join("lab/fleet/three.narinfo").exists());
    puts();

    server.fail(None);
    publish(&["two", "three"], 2).unwrap();
    assert_eq!(
        puts(),
        [
            "nix-cache-info",
            "nar/three.nar.zst",
            "three.narinfo",
            "channels/climate/stable.json",
        ]
    );
    assert_ne!(published().unwrap(), before);
}

#[test]
fn a_web_server_may_read_what_was_published_under_any_umask() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("climate.img.zst");
    fs::write(&image, "image").unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let place = folder(&dir.path().join("web"));
    place.write("channels/climate", b"channel").unwrap();
    place.add("images/climate.img.zst", &image).unwrap();
    for (name, expected) in [
        ("", 0o755),
        ("channels", 0o755),
        ("channels/climate", 0o644),
        ("images/climate.img.zst", 0o644),
    ] {
        let found = fs::metadata(dir.path().join("web").join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, expected, "{name}");
    }
}

//! Stories of merging: packages made here, entries as Nix writes them, the tar read back.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use super::*;
use crate::spec::Spec;

#[test]
fn two_packages_become_one_sorted_archive_without_times() {
    let mut tree = Tree::new(&[], &[]);
    let second = package(&[("./usr/bin/b", "b", 0o755, 0)]);
    let first = package(&[("./usr/bin/a", "a", 0o4755, 0), ("./etc/x", "x", 0o640, 42)]);
    tree.add_archive(&second, "second.deb").unwrap();
    tree.add_archive(&first, "first.deb").unwrap();
    let written = entries(tree);
    let paths: Vec<&str> = written.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        ["etc", "etc/x", "usr", "usr/bin", "usr/bin/a", "usr/bin/b"]
    );
    assert!(written.iter().all(|e| e.mtime == 0));
    let set_user_id = written.iter().find(|e| e.path == "usr/bin/a").unwrap();
    assert_eq!(set_user_id.mode, 0o4755);
    let owned = written.iter().find(|e| e.path == "etc/x").unwrap();
    assert_eq!((owned.mode, owned.gid), (0o640, 42));
}

#[test]
fn the_order_of_packages_changes_nothing() {
    let one = package(&[("./usr/bin/a", "a", 0o755, 0)]);
    let two = package(&[("./usr/bin/b", "b", 0o755, 0)]);
    let compose = |order: [&[u8]; 2]| {
        let mut tree = Tree::new(&[], &[]);
        for data in order {
            tree.add_archive(data, "some.deb").unwrap();
        }
        bytes(tree)
    };
    assert_eq!(compose([&one, &two]), compose([&two, &one]));
}

#[test]
fn two_packages_with_the_same_file_are_refused_by_name() {
    let mut tree = Tree::new(&[], &[]);
    let data = package(&[("./usr/bin/awk", "", 0o755, 0)]);
    tree.add_archive(&data, "mawk.deb").unwrap();
    let error = tree.add_archive(&data, "gawk.deb").unwrap_err().to_string();
    assert_eq!(error, "usr/bin/awk is in both mawk.deb and gawk.deb");
}

#[test]
fn an_entry_replaces_what_a_package_brought_and_knows_owners_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("passwd"), "climate:x:971:971::/:/x\n").unwrap();
    std::fs::write(dir.join("group"), "shadow:x:42:\n").unwrap();
    let spec: Spec = serde_json::from_value(serde_json::json!({
        "accounts": dir,
        "entries": [
            { "path": "etc/shadow", "text": "new", "mode": "0640", "group": "shadow" },
            { "path": "bin/x", "link": "y", "user": "climate" },
        ],
    }))
    .unwrap();
    let owners = spec.owners().unwrap();
    let mut tree = Tree::new(&[], &[]);
    tree.add_archive(&package(&[("./etc/shadow", "old", 0o600, 0)]), "a.deb")
        .unwrap();
    for entry in &spec.entries {
        tree.add_entry(entry, &owners).unwrap();
    }
    let written = entries(tree);
    let shadow = written.iter().find(|e| e.path == "etc/shadow").unwrap();
    assert_eq!(
        (shadow.body.as_str(), shadow.mode, shadow.gid),
        ("new", 0o640, 42)
    );
    let link = written.iter().find(|e| e.path == "usr/bin/x").unwrap();
    assert_eq!((link.uid, link.link.as_deref()), (971, Some("y")));
    assert!(owners.uid(Some("nobody-here")).is_err());
}

#[test]
fn what_is_left_out_wins_over_what_is_taken() {
    let take = ["usr/**".to_owned()];
    let leave = ["usr/share/{doc,man}{,/**}".to_owned()];
    let mut tree = Tree::new(&take, &leave);
    let data = package(&[
        ("./etc/x", "", 0o644, 0),
        ("./usr/bin/a", "", 0o755, 0),
        ("./usr/share/doc/a/copyright", "", 0o644, 0),
    ]);
    tree.add_archive(&data, "a.deb").unwrap();
    let written = entries(tree);
    let paths: Vec<&str> = written.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["usr", "usr/bin", "usr/bin/a"]);
}

struct Written {
    path: String,
    body: String,
    link: Option<String>,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
}

/// A package's data archive: path, content, mode, group.
fn package(files: &[(&str, &str, u32, u64)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, body, mode, gid) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(*gid);
        header.set_mtime(1_700_000_000);
        header.set_size(body.len() as u64);
        tar.append_data(&mut header, path, body.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn bytes(tree: Tree) -> Vec<u8> {
    let mut out = Vec::new();
    tree.write(&mut out).unwrap();
    out
}

fn entries(tree: Tree) -> Vec<Written> {
    let bytes = bytes(tree);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut body = String::new();
        entry.read_to_string(&mut body).unwrap();
        let header = entry.header();
        let path = entry.path().unwrap().display().to_string();
        Written {
            path: path.trim_end_matches('/').to_owned(),
            link: entry.link_name().unwrap().map(|l| l.display().to_string()),
            mode: header.mode().unwrap(),
            uid: header.uid().unwrap(),
            gid: header.gid().unwrap(),
            mtime: header.mtime().unwrap(),
            body,
        }
    };
    archive.entries().unwrap().map(read).collect()
}

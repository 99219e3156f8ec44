use super::*;

/// Two results of one step, made by a shell in two folders.
fn results(first: &str, second: &str) -> (tempfile::TempDir, Vec<String>) {
    let place = tempfile::tempdir().unwrap();
    for (name, script) in [("one", first), ("other", second)] {
        let made = crate::command::run(
            program("sh")
                .args(["-euc", script, place.path().join(name).to_str().unwrap()])
                .current_dir(place.path()),
        );
        assert!(made.unwrap().status.success());
    }
    let found = between(
        "thing",
        &place.path().join("one"),
        &place.path().join("other"),
    );
    (place, found.unwrap())
}

#[test]
fn equal_results_differ_in_nothing() {
    let script = r#"mkdir "$0"; echo 1 > "$0/file"; ln -s file "$0/link""#;
    assert!(results(script, script).1.is_empty());
}

#[test]
fn a_differing_file_is_named_with_its_folder_and_the_byte() {
    let (_place, found) = results(
        r#"mkdir -p "$0/boot"; echo same > "$0/same"; echo abcd > "$0/boot/Image""#,
        r#"mkdir -p "$0/boot"; echo same > "$0/same"; echo abXd > "$0/boot/Image""#,
    );
    assert_eq!(found, ["thing/boot/Image: from byte 2 on"]);
}

#[test]
fn a_file_that_goes_on_differs_where_the_other_ends() {
    let (_place, found) = results(r#"printf abc > "$0""#, r#"printf abcdef > "$0""#);
    assert_eq!(found, ["thing: from byte 3 on"]);
}

#[test]
fn what_is_in_one_result_only_or_of_another_kind_is_told() {
    let (_place, found) = results(
        r#"mkdir "$0"; echo 1 > "$0/gone"; echo 1 > "$0/kind"; ln -s a "$0/link"; echo 1 > "$0/run""#,
        r#"mkdir "$0"; mkdir "$0/kind"; ln -s b "$0/link"; echo 1 > "$0/run"; chmod +x "$0/run""#,
    );
    assert_eq!(
        found,
        [
            "thing/gone: a file, then nothing",
            "thing/kind: a file, then a folder",
            "thing/link: a link to a, then a link to b",
            "thing/run: a file, then a program",
        ]
    );
}

/// `between` two archives of the same name.
fn archives(first: &[(&str, &str)], second: &[(&str, &str)]) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let archive = |name: &str, members: &[(&str, &str)]| {
        let folder = place.path().join(name);
        fs::create_dir(&folder).unwrap();
        for (member, text) in members {
            fs::write(folder.join(member), text).unwrap();
        }
        let names = members.iter().map(|(member, _)| member);
        let tar = crate::command::bytes_of(
            program("tar")
                .args(["--create", "--mtime=@1", "--directory"])
                .arg(&folder)
                .args(names),
        );
        let path = place.path().join(format!("{name}.archive"));
        fs::write(&path, zstd::encode_all(tar.unwrap().as_slice(), 1).unwrap()).unwrap();
        path
    };
    let (one, other) = (archive("one", first), archive("other", second));
    between("deps.tar.zst", &one, &other).unwrap()
}

#[test]
fn an_archive_is_looked_into() {
    let found = archives(
        &[("dep-lib-crc32c", "a b c"), ("lib.rlib", "code")],
        &[("dep-lib-crc32c", "b a c"), ("lib.rlib", "code")],
    );
    assert_eq!(found, ["deps.tar.zst/dep-lib-crc32c: from byte 0 on"]);
}

#[test]
fn an_archive_that_holds_the_same_in_another_order_differs_all_the_same() {
    let (a, b) = (("a", "1"), ("b", "2"));
    let found = archives(&[a, b], &[b, a]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("deps.tar.zst: from byte "),
        "{found:?}"
    );
}

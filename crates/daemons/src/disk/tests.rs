use super::*;

const LEFT: [Left; 3] = [Left::Synced, Left::Written, Left::Names];

fn write(file: &str, at: Option<u64>, data: &[u8]) -> Change {
    Change::Write {
        file: file.into(),
        at,
        data: data.to_vec(),
    }
}

fn open(file: &str) -> Change {
    Change::Open {
        file: file.into(),
        truncate: false,
    }
}

fn sync(file: &str) -> Change {
    Change::Sync {
        file: file.into(),
        data_only: false,
    }
}

fn rename(from: &str, to: &str) -> Change {
    Change::Rename {
        from: from.into(),
        to: to.into(),
    }
}

fn after(changes: &[Change]) -> Disk {
    let mut disk = Disk::default();
    for change in changes {
        disk.apply(change).unwrap();
    }
    disk
}

/// All that a cut may leave of a file: what some hundred do.
fn contents(disk: &Disk, file: &str) -> std::collections::BTreeSet<Option<Vec<u8>>> {
    let some = (0..300).map(Left::Some);
    let all = LEFT.into_iter().chain(some).map(|left| {
        let remains = disk.remains(left);
        let content = remains.get(Path::new(file)).cloned().flatten();
        content.map(|content| content.into_owned())
    });
    all.collect()
}

fn text(content: &str) -> Option<Vec<u8>> {
    Some(content.into())
}

#[test]
fn what_was_synced_is_there_and_what_was_not_may_be_missing() {
    let written = [
        open("a"),
        write("a", None, b"one"),
        sync("a"),
        write("a", None, b"two"),
    ];
    assert_eq!(
        contents(&after(&written[..2]), "a"),
        [None, text(""), text("one")].into()
    );
    assert_eq!(contents(&after(&written[..3]), "a"), [text("one")].into());
    assert_eq!(
        contents(&after(&written), "a"),
        [text("one"), text("onetwo")].into()
    );
}

#[test]
fn a_name_may_be_there_before_the_data_unless_these_were_synced() {
    let careless = [open("new"), write("new", None, b"data"), rename("new", "a")];
    assert!(contents(&after(&careless), "a").contains(&text("")));
    let careful = [
        open("new"),
        write("new", None, b"data"),
        sync("new"),
        rename("new", "a"),
    ];
    assert_eq!(contents(&after(&careful), "a"), [None, text("data")].into());
    // The folder makes the name durable, as does the file.
    for path in ["", "a"] {
        let mut durable = careful.to_vec();
        durable.push(sync(path));
        assert_eq!(
            contents(&after(&durable), "a"),
            [text("data")].into(),
            "{path:?}"
        );
    }
}

#[test]
fn names_come_to_the_disk_in_their_order() {
    let disk = after(&[
        open("a"),
        open("b"),
        Change::Remove { file: "a".into() },
        open("c"),
    ]);
    for left in LEFT.into_iter().chain((0..300).map(Left::Some)) {
        let remains = disk.remains(left);
        let there: Vec<_> = remains.keys().filter_map(|path| path.to_str()).collect();
        let beginnings: [&[&str]; 5] = [&[], &["a"], &["a", "b"], &["b"], &["b", "c"]];
        assert!(beginnings.contains(&&there[..]), "{there:?}");
    }
}

#[test]
fn syncing_the_data_of_a_file_that_keeps_its_length_makes_no_name_durable() {
    let mut changes = vec![
        open("log"),
        write("log", None, b"0000"),
        sync("log"),
        open("other"),
    ];
    changes.push(write("log", Some(0), b"1"));
    changes.push(Change::Sync {
        file: "log".into(),
        data_only: true,
    });
    let disk = after(&changes);
    assert_eq!(contents(&disk, "log"), [text("1000")].into());
    assert!(contents(&disk, "other").contains(&None));
    // One that grows needs the journal, in which the other's name stands before it.
    changes.extend([write("log", None, b"0"), sync("log")]);
    assert_eq!(contents(&after(&changes), "other"), [text("")].into());
}

#[test]
fn blocks_that_were_overwritten_come_to_the_disk_in_any_order() {
    let disk = after(&[
        open("a"),
        write("a", None, &[0; 8192]),
        sync("a"),
        write("a", Some(0), &[1; 4096]),
        write("a", Some(4096), &[2; 4096]),
    ]);
    let seen = contents(&disk, "a");
    assert!(seen.iter().flatten().all(|content| content.len() == 8192));
    let second_alone = seen.iter().flatten().any(|a| a[0] == 0 && a[8191] == 2);
    assert!(second_alone && seen.len() == 4, "{}", seen.len());
}

#[test]
fn what_is_written_after_a_length_that_is_not_there_is_not_there_either() {
    let truncate = Change::Open {
        file: "a".into(),
        truncate: true,
    };
    let disk = after(&[
        open("a"),
        write("a", None, b"old"),
        sync("a"),
        truncate,
        write("a", Some(0), b"anew"),
    ]);
    assert_eq!(
        contents(&disk, "a"),
        [text("old"), text(""), text("anew")].into()
    );
}

#[test]
fn a_folder_is_renamed_with_what_is_in_it() {
    let folder = Change::Folder {
        folder: "tmp".into(),
    };
    let disk = after(&[
        folder,
        open("tmp/a"),
        write("tmp/a", None, b"1"),
        rename("tmp", "done"),
    ]);
    let remains = disk.remains(Left::Written);
    let there: Vec<_> = remains.keys().filter_map(|path| path.to_str()).collect();
    assert_eq!(there, ["done", "done/a"]);
}

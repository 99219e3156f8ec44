use super::*;
use durable::atomic_write;

struct Device {
    _dir: tempfile::TempDir,
    root: Root,
}

/// A device with one service, which has `data` in a file.
fn device(data: &str) -> Device {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    for folder in ["boot/gen", "proc", "run", "var/lib/notes", "etc/lichen"] {
        fs::create_dir_all(root.at(folder)).unwrap();
    }
    let device = Device { _dir: dir, root };
    device.write(data);
    device
}

impl Device {
    fn write(&self, data: &str) {
        atomic_write(&self.root.at("var/lib/notes/file"), data.as_bytes(), 0o644).unwrap();
    }

    fn read(&self) -> Option<String> {
        fs::read_to_string(self.root.at("var/lib/notes/file")).ok()
    }

    /// The data of newer versions that are kept.
    fn newer(&self) -> Vec<String> {
        let folder = self.root.at(FOLDER).join("notes");
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let kept = entries.filter(|e| e.file_name().to_string_lossy().starts_with("newer-"));
        kept.map(|e| fs::read_to_string(e.path().join("file")).unwrap())
            .collect()
    }

    fn boot(&self, toplevel: &str, version: &str) {
        let arguments = format!("lichen.generation=1 lichen.toplevel={toplevel}\n");
        atomic_write(&self.root.at("proc/cmdline"), arguments.as_bytes(), 0o644).unwrap();
        let text = format!(
            r#"{{"notes":{{"version":"{version}","directory":"/var/lib/notes","user":"notes",
                "backup":"cat var/lib/notes/file","restore":"cat > $DIRECTORY/file"}}}}"#
        );
        let text = text.replace("cat var", &format!("cat {}", self.root.at("var").display()));
        atomic_write(&self.root.at(FILE), text.as_bytes(), 0o644).unwrap();
    }

    fn declared(&self) -> Declared {
        Declared::read(&self.root.at(FILE)).unwrap()
    }
}

fn notes(version: &str, backup: &str) -> Declared {
    let service = Service {
        version: version.into(),
        directory: "/var/lib/notes".into(),
        user: "notes".into(),
        backup: backup.into(),
        restore: "cat > $DIRECTORY/file".into(),
    };
    Declared(BTreeMap::from([("notes".into(), service)]))
}

#[test]
fn what_is_due_when_a_generation_runs() {
    // A change: the generation it leads to, whether that ran, the versions, and the generation that was copied.
    type Row<'a> = (&'a str, bool, &'a str, &'a str, u64);
    type Due = Option<Option<u64>>;
    let change = |(to, ran, from, version, copy): Row<'_>| Change {
        to: to.into(),
        ran,
        services: BTreeMap::from([(
            "notes".into(),
            Versions {
                from: from.into(),
                to: version.into(),
                copy: Some(Generation(copy)),
            },
        )]),
    };
    let (b, c) = (("b", true, "1", "2", 1), ("c", true, "2", "3", 2));
    let nothing: Due = None;
    // The changes; the running generation and its version; the copy that is due, if any; how many changes stay open.
    let table: [(&[Row<'_>], &str, &str, Due, usize); 10] = [
        (&[], "a", "1", nothing, 0),
        (&[b], "b", "2", nothing, 1),
        (&[b], "a", "1", Some(Some(1)), 0),
        (&[("b", false, "1", "2", 1)], "a", "1", nothing, 0),
        (&[b, c], "c", "3", nothing, 2),
        (&[b, c], "b", "2", Some(Some(2)), 1),
        (&[b, c], "a", "1", Some(Some(1)), 0),
        (&[b, ("c", true, "2", "1", 2)], "a", "1", nothing, 0),
        (
            &[b, ("c", true, "2", "1", 2), ("d", true, "1", "2", 3)],
            "a",
            "1",
            Some(Some(3)),
            0,
        ),
        (&[b], "x", "0", Some(None), 0),
    ];
    for (rows, toplevel, version, due, open) in table {
        let changes: Vec<_> = rows.iter().copied().map(change).collect();
        let (found, kept) = decide(&changes, toplevel, &notes(version, "true"));
        let found = found
            .first()
            .map(|(_, copy)| copy.map(|generation| generation.0));
        assert_eq!(
            (found, kept.len()),
            (due, open),
            "{rows:?}, {toplevel} runs"
        );
    }
}

#[test]
fn without_a_copy_there_is_no_change_except_back() {
    let device = device("one");
    let (old, new) = (notes("1", "echo half; exit 3"), notes("2", "true"));
    let make = |must| back_up(&device.root, Some(Generation(1)), &old, "b", &new, must);
    let error = format!("{:#}", make(Must::Have).unwrap_err());
    assert!(
        error.contains("cannot copy the data of notes") && error.contains("nothing was changed"),
        "{error}"
    );
    assert_eq!(copy::version(&device.root, "notes", Generation(1)), None);
    assert_eq!(
        make(Must::Try).unwrap().unwrap().services["notes"].copy,
        None
    );
    let same = back_up(
        &device.root,
        Some(Generation(1)),
        &old,
        "b",
        &old,
        Must::Have,
    );
    assert_eq!(same.unwrap(), None);
}

#[test]
fn a_generation_that_was_left_is_found_with_its_copy_until_it_goes() {
    let device = device("one");
    device.boot("a", "1");
    let (old, new) = (device.declared(), notes("2", "true"));
    back_up(
        &device.root,
        Some(Generation(1)),
        &old,
        "b",
        &new,
        Must::Have,
    )
    .unwrap();
    let offered = || offered(&device.root, Generation(1), &new, &old);
    assert_eq!(offered().len(), 1);
    // Somebody switches by hand, with a reboot.
    device.write("two");
    at_next_boot(&device.root, "b", &new, &offered()).unwrap();
    at_boot(&device.root).unwrap();
    assert_eq!(
        (device.read().as_deref(), device.newer()),
        (Some("one"), vec!["two".to_owned()])
    );
    forget(&device.root, Generation(1)).unwrap();
    assert!(offered().is_empty());
}

#[test]
fn whatever_is_cut_the_old_generation_gets_its_data_back_and_the_newer_are_kept() {
    for n in 0.. {
        let device = device("one");
        device.boot("a", "1");
        let (old, new) = (device.declared(), notes("2", "true"));
        let root = &device.root;
        let done = cut::at(n, || {
            let change = back_up(root, Some(Generation(1)), &old, "b", &new, Must::Have).unwrap();
            open(root, change, true).unwrap();
            // The new generation migrates the data, and is not healthy afterwards.
            device.write("two");
            for due in returning(root, "a", &old).unwrap() {
                restore(root, &due).unwrap();
            }
            returned(root, "a").unwrap();
        });
        let migrated = device.read().as_deref() != Some("one") || !device.newer().is_empty();
        at_boot(root).unwrap();
        assert_eq!(device.read().as_deref(), Some("one"), "cut {n}");
        assert_eq!(
            device.newer().contains(&"two".to_owned()),
            migrated,
            "cut {n}"
        );
        assert_eq!(changes(root).unwrap(), []);
        if done.is_some() {
            break;
        }
    }
}

#[test]
fn a_trial_that_is_blessed_keeps_its_data_and_one_that_fails_does_not() {
    for blessed in [true, false] {
        let device = device("one");
        device.boot("a", "1");
        let (old, root) = (device.declared(), &device.root);
        device.boot("b", "2");
        let new = device.declared();
        let change = back_up(root, Some(Generation(1)), &old, "b", &new, Must::Have).unwrap();
        open(root, change, false).unwrap();
        at_boot(root).unwrap();
        device.write("two");
        if blessed {
            settle(root, "b").unwrap();
        }
        device.boot("a", "1");
        at_boot(root).unwrap();
        let expected = if blessed { "two" } else { "one" };
        assert_eq!(device.read().as_deref(), Some(expected));
    }
}

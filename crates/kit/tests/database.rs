//! A service's file outlives damage, and is copied and replaced while the service runs.

#![expect(
    clippy::disallowed_methods,
    reason = "what a test writes need not survive a cut"
)]

use std::path::{Path, PathBuf};

use kit::database::{Database, Schema};
use tempfile::TempDir;

const RINGS: Schema = Schema {
    name: "bell",
    application: 0x4c69_5269,
    version: 1,
    counted: "rings",
    tables: "CREATE TABLE rings (at INTEGER PRIMARY KEY) STRICT;
        CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;",
};

const OTHERS: Schema = Schema {
    application: 7,
    ..RINGS
};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bell.db");
    (folder, path)
}

fn ring(bell: &mut Database, times: std::ops::Range<i64>) {
    let all = bell.transaction().unwrap();
    for at in times {
        all.execute("INSERT INTO rings VALUES (?1)", [at]).unwrap();
    }
    all.commit().unwrap();
}

fn rings(bell: &Database) -> i64 {
    let count = "SELECT count(*) FROM rings";
    bell.query_row(count, [], |row| row.get(0)).unwrap()
}

fn problem<V: std::fmt::Debug>(outcome: anyhow::Result<V>) -> String {
    format!("{:#}", outcome.unwrap_err())
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[4096 * 4..4096 * 6].fill(0x5a);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_file_that_is_none_is_set_aside_and_a_new_one_begun() {
    let (_folder, path) = folder();
    for text in ["this was never a database".to_owned(), "x".repeat(100_000)] {
        std::fs::write(&path, &text).unwrap();
        let (mut bell, aside) = RINGS.open_or_set_aside(&path, false).unwrap();
        ring(&mut bell, 0..1);
        assert_eq!(std::fs::read_to_string(aside.unwrap()).unwrap(), text);
        bell.close();
    }
}

#[test]
fn damage_in_the_middle_is_found_after_a_pulled_plug_and_when_suspected() {
    for suspect in [false, true] {
        let (_folder, path) = folder();
        let mut bell = RINGS.open(&path).unwrap();
        ring(&mut bell, 0..20_000);
        bell.close();
        damage(&path);
        if !suspect {
            std::fs::write(kit::database::beside(&path, "-wal"), [0; 64]).unwrap();
        }
        let (bell, aside) = RINGS.open_or_set_aside(&path, suspect).unwrap();
        assert!(aside.is_some_and(|aside| aside.exists()));
        assert_eq!(rings(&bell), 0);
    }
}

#[test]
fn the_file_of_another_program_or_of_a_later_version_is_left_alone() {
    let (_folder, path) = folder();
    OTHERS.open(&path).unwrap().close();
    let said = problem(RINGS.open_or_set_aside(&path, false));
    assert!(said.contains("belongs to another program"), "{said}");
    let later = OTHERS.open(&path).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    later.close();
    let said = problem(OTHERS.open_or_set_aside(&path, false));
    assert!(
        said.contains("has version 99, but this program supports version 1 only"),
        "{said}"
    );
}

#[test]
fn two_programs_see_each_other_and_what_is_kept_under_a_key() {
    let (_folder, path) = folder();
    let mut one = RINGS.open(&path).unwrap();
    let two = RINGS.open(&path).unwrap();
    assert!(!one.changed_by_others().unwrap());
    let keep = "INSERT INTO settings VALUES ('tone', '440'), ('old', 'none of JSON')";
    two.execute(keep, []).unwrap();
    assert!(one.changed_by_others().unwrap());
    assert!(!one.changed_by_others().unwrap());
    let [tone, old, unknown] = ["tone", "old", "unknown"].map(|key| one.setting::<u32>(key));
    assert_eq!((tone.unwrap(), old.unwrap(), unknown.unwrap()), (440, 0, 0));
}

#[test]
fn what_was_backed_up_is_restored_under_a_running_service() {
    let (folder, path) = folder();
    let backup = folder.path().join("backup");
    let mut bell = RINGS.open(&path).unwrap();
    ring(&mut bell, 0..10);
    assert_eq!(RINGS.back_up(&path, &backup).unwrap(), 10);
    assert!(!bell.changed_by_others().unwrap());
    ring(&mut bell, 10..20);
    let prepare = |copy: &rusqlite::Connection| {
        copy.execute("DELETE FROM rings WHERE at = 0", [])?;
        Ok(())
    };
    assert_eq!(RINGS.restore(&backup, &path, prepare).unwrap(), 10);
    assert!(bell.changed_by_others().unwrap());
    assert_eq!(rings(&bell), 9);
    ring(&mut bell, 20..25);
    assert_eq!(rings(&bell), 14);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 4, "no scratch is left");
}

#[test]
fn a_damaged_or_foreign_backup_is_refused_and_the_file_kept() {
    let (folder, path) = folder();
    let backup = folder.path().join("backup");
    let mut bell = RINGS.open(&path).unwrap();
    ring(&mut bell, 0..20_000);
    let refused = || problem(RINGS.restore(&backup, &path, |_| Ok(())));
    refused();
    RINGS.back_up(&path, &backup).unwrap();
    damage(&backup);
    refused();
    std::fs::write(&backup, "not a database at all, just some text").unwrap();
    refused();
    std::fs::remove_file(&backup).unwrap();
    OTHERS.open(&backup).unwrap().close();
    assert!(refused().contains("belongs to another program"));
    assert_eq!(rings(&bell), 20_000);
}

/// A folder of the user 1500, and one that only root can enter. None where this test is not root's.
fn of_a_service() -> Option<(TempDir, PathBuf, PathBuf)> {
    use std::os::unix::fs::{PermissionsExt, chown};
    let folder = tempfile::tempdir().unwrap();
    let [own, root] = ["service", "root"].map(|name| folder.path().join(name));
    for path in [folder.path(), &own, &root] {
        let _ = std::fs::create_dir(path);
    }
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&root, PermissionsExt::from_mode(0o700)).unwrap();
    chown(&own, Some(1500), Some(1500)).ok()?;
    Some((folder, own, root))
}

#[test]
fn root_restores_and_copies_as_the_service_which_owns_what_comes_of_it() {
    use std::os::unix::fs::MetadataExt;
    let Some((_folder, own, root)) = of_a_service() else {
        return;
    };
    let (live, backup) = (own.join("bell.db"), root.join("backup"));
    let source = root.join("source.db");
    ring(&mut RINGS.open(&source).unwrap(), 0..10);
    RINGS.back_up(&source, &backup).unwrap();
    assert_eq!(RINGS.restore(&backup, &live, |_| Ok(())).unwrap(), 10);
    assert_eq!(std::fs::metadata(&live).unwrap().uid(), 1500);

    let copy = root.join("copy");
    assert_eq!(RINGS.back_up(&live, &copy).unwrap(), 10);
    let copy = std::fs::metadata(&copy).unwrap();
    assert_eq!((copy.uid(), copy.mode() & 0o777), (0, 0o600));
    assert_eq!(std::fs::read_dir(&own).unwrap().count(), 1);
}

#[test]
fn a_link_that_a_service_lays_leads_root_nowhere() {
    let Some((_folder, own, root)) = of_a_service() else {
        return;
    };
    let backup = root.join("backup");
    ring(&mut RINGS.open(&root.join("source.db")).unwrap(), 0..10);
    RINGS.back_up(&root.join("source.db"), &backup).unwrap();
    // What is not there yet, and another program's database.
    let others = root.join("others.db");
    OTHERS.open(&others).unwrap().close();
    for (link, to) in [("new.db", root.join("new")), ("old.db", others.clone())] {
        let live = own.join(link);
        std::os::unix::fs::symlink(&to, &live).unwrap();
        problem(RINGS.restore(&backup, &live, |_| Ok(())));
        problem(RINGS.back_up(&live, &root.join("copy")));
    }
    assert!(!root.join("new").exists());
    OTHERS.open(&others).unwrap().close();
}

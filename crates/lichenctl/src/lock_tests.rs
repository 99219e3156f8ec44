use super::*;

#[test]
fn the_second_is_turned_away_until_the_first_is_done() {
    let dir = durable::scratch();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let root = Root::new(dir.path());
    let first = GenerationsLock::take(&root).unwrap();
    assert!(GenerationsLock::take(&root).unwrap_err().is::<Busy>());
    drop(first);
    GenerationsLock::wait(&root).unwrap();
}

#[test]
fn who_is_not_root_cannot_hold_it() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    // As an earlier generation has left it.
    root.put(FILE, "");
    std::fs::set_permissions(root.at(FILE), Permissions::from_mode(0o644)).unwrap();
    for lock in [FILE, "run/lichen/another"] {
        drop(open(&root, lock).unwrap());
        let mode = std::fs::metadata(root.at(lock))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{lock}");
    }
}

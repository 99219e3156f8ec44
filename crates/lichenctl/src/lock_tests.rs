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

#[test]
fn who_is_turned_away_learns_who_has_it_and_since_when() {
    let dir = durable::scratch();
    let root = Root::new(dir.path());
    root.put("proc/uptime", "100.00 0.00\n");
    let first = GenerationsLock::take(&root).unwrap();
    root.put("proc/uptime", "120.00 0.00\n");
    let busy = GenerationsLock::take(&root).unwrap_err().to_string();
    let process = format!("(process {})", std::process::id());
    assert!(
        busy.contains("for 20 s") && busy.ends_with(&process),
        "{busy}"
    );
    drop(first);

    let told = holder("100 712 switch 192.0.2.7\n", 120);
    assert_eq!(
        told,
        ": `switch`, for 20 s, asked for from 192.0.2.7 (process 712)"
    );
    assert_eq!(
        holder("100 712 update \n", 100),
        ": `update`, for 0 s (process 712)"
    );
    // As an earlier version leaves it, and as nothing should.
    assert_eq!(holder("", 1), "");
    assert_eq!(holder("500 1 switch \n", 1), "");
}
